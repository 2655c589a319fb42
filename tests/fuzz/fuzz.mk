# libFuzzer targets: tests/fuzz/fuzz_NAME.c, seeds in tests/fuzz/corpus/NAME.
#   make fuzz FUZZ_SECS=60      every target for that long      make fuzz-build      only build
#   make fuzz FUZZ=virtq        one target
# New inputs that the runs find go to build/fuzz/corpus, never to the seeds.
comma := ,
FUZZ_CC   = clang
FUZZ_SECS = 60
FUZZ      = *
FUZZ_SAN  = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
F         = $(BUILD)/fuzz
FUZZ_SRC  = $(wildcard tests/fuzz/fuzz_$(FUZZ).c)
FUZZ_BIN  = $(FUZZ_SRC:tests/fuzz/%.c=$(F)/%)
FUZZ_OBJ  = $(patsubst %.c,$(F)/%.o,$(filter-out vmm/cli/main.c,$(SRC)) $(FAKES))
# The coverage counters cost a tenth of the time; a separate build would cost more.
FUZZ_CFLAGS = -O1 -g -fno-omit-frame-pointer $(FUZZ_SAN) -fprofile-instr-generate -fcoverage-mapping

.PHONY: fuzz-build
.SECONDARY: $(FUZZ_OBJ)
fuzz-build: $(FUZZ_BIN)

$(F)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(FUZZ_CC) $(BASE) $(subst =fuzzer$(comma),=fuzzer-no-link$(comma),$(FUZZ_CFLAGS)) \
		-DMINIVMM_VERSION='"$(VERSION)"' -c -o $@ $<

# In these targets, devices with threads work without them: see inline_thread.h.
wrap = $(1:%=-Wl,--wrap=%)
threads = iothread_new iothread_resume iothread_pause iothread_leave iothread_free iothread_wanted
$(F)/fuzz_virtio_blk: FUZZ_LINK = $(call wrap,$(threads) blk_uring_ops)
$(F)/fuzz_virtio_net: FUZZ_LINK = $(call wrap,$(threads) tap_open tap_add_queue tap_attach_queue worker_wake)
$(F)/fuzz_xhci: FUZZ_LINK = $(call wrap,iothread_new iothread_resume iothread_free iothread_wanted)
$(F)/fuzz_evdev: FUZZ_LINK = $(call wrap,iothread_new iothread_resume iothread_pause iothread_free iothread_wanted)
$(F)/fuzz_usb_host: FUZZ_LINK = $(call wrap,worker_wake)
$(F)/fuzz_vhost_user: FUZZ_LINK = $(call wrap,$(threads) connect sendmsg pthread_cond_timedwait)

$(F)/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_OBJ) $(NUMA)
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(FUZZ_CC) $(BASE) $(FUZZ_CFLAGS) $(FUZZ_LINK) -o $@ $< $(FUZZ_OBJ) $(LIBS)

fuzz: fuzz-build
	$(Q)FUZZ_CC="$(FUZZ_CC)" tests/fuzz/run $(F) $(FUZZ_SECS) $(FUZZ_BIN)

-include $(shell find $(F) -name '*.d' 2>/dev/null)
