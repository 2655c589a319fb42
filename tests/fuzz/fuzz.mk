# libFuzzer targets: tests/fuzz/fuzz_NAME.c, seeds in tests/fuzz/corpus/NAME.
#   make fuzz FUZZ_SECS=60      every target for that long      make fuzz-build      only build
#   make fuzz FUZZ=virtq        one target
# What the runs find goes to build/fuzz/corpus, and never into the seeds.
comma := ,
FUZZ_CC   = clang
FUZZ_SECS = 60
FUZZ      = *
FUZZ_SAN  = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
F         = $(BUILD)/fuzz
FUZZ_SRC  = $(wildcard tests/fuzz/fuzz_$(FUZZ).c)
FUZZ_BIN  = $(FUZZ_SRC:tests/fuzz/%.c=$(F)/%)
FUZZ_OBJ  = $(patsubst %.c,$(F)/%.o,$(filter-out vmm/cli/main.c,$(SRC)) $(FAKES))
FUZZ_CFLAGS = -O1 -g -fno-omit-frame-pointer $(FUZZ_SAN)

.PHONY: fuzz-build
.SECONDARY: $(FUZZ_OBJ)
fuzz-build: $(FUZZ_BIN)

$(F)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(FUZZ_CC) $(BASE) $(subst =fuzzer$(comma),=fuzzer-no-link$(comma),$(FUZZ_CFLAGS)) \
		-DMINIVMM_VERSION='"$(VERSION)"' -c -o $@ $<

$(F)/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_OBJ)
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(FUZZ_CC) $(BASE) $(FUZZ_CFLAGS) -o $@ $< $(FUZZ_OBJ) $(LIBS)

fuzz: fuzz-build
	$(Q)for t in $(FUZZ_BIN); do \
		name=$${t##*/fuzz_}; mkdir -p $(F)/corpus/$$name tests/fuzz/corpus/$$name; \
		echo "  RUN   $$name for $(FUZZ_SECS) s"; \
		$$t -max_total_time=$(FUZZ_SECS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
			-print_final_stats=1 -artifact_prefix=$(F)/$$name- \
			$(F)/corpus/$$name tests/fuzz/corpus/$$name 2>&1 | \
			tee $(F)/$$name.log | grep -E 'number_of_executed|ERROR|SUMMARY' || true; \
		! grep -qE 'ERROR|SUMMARY' $(F)/$$name.log || exit 1; \
	done

-include $(shell find $(F) -name '*.d' 2>/dev/null)
