# `make bench`: the measurements. tests/bench/README.md says how to read them.
BENCH = $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/*_bench.c tests/bench/bare_uring.c))

$(O)/bench/blk_bench: $(addprefix tests/bench/,driver.c driver.h vhost_user.c vhost_user.h)
$(O)/bench/%: tests/bench/%.c $(O)/minivmm.a $(NUMA)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c %.a,$^) $(LIBS)

.PHONY: bench-bins
bench-bins: $(BENCH)

# Each bench prints what it misses; the table at the end has the result. With RECORD=1 the figures become the record.
bench: export RESULTS = $(BUILD)/bench/native
bench:
	$(Q)tests/deps qemu-system-common qemu-system-x86 strace
	$(Q)$(MAKE) -s all bench-bins
	$(Q)mkdir -p $(dir $(RESULTS)) && tests/bench/machine >$(RESULTS)
	-$(Q)tests/bench/start-bench $(O)/minivmm 60
	-$(Q)tests/bench/prefault-bench $(O)/minivmm $(O)/bench/prefault_bench
	-$(Q)tests/bench/stats-bench $(O)/minivmm
	-$(Q)O=$(O) BUILD=$(BUILD) tests/bench/blk-bench
	-$(Q)tests/bench/nested-bench $(if $(RECORD),--write)
	$(if $(RECORD),$(Q)tests/bench/count-compare --write $(RESULTS) tests/bench/native.json)
	$(Q)tests/bench/table $(RESULTS) $(BUILD)/test/nested-bench/*/counts
