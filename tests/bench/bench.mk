# `make bench`: the measurements. tests/bench/README.md says how to read them.
BENCH = $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/*_bench.c))

$(O)/bench/blk_bench: tests/bench/vhost_user.c tests/bench/vhost_user.h
$(O)/bench/%: tests/bench/%.c $(LIBOBJ)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c,$^) $(LIBOBJ) $(LIBS)

.PHONY: bench-bins
bench-bins: $(BENCH)

bench:
	$(Q)tests/deps fio qemu-system-common qemu-system-x86 strace
	$(Q)$(MAKE) -s all bench-bins
	$(Q)tests/bench/start-bench $(O)/minivmm
	$(Q)tests/bench/prefault-bench $(O)/minivmm $(O)/bench/prefault_bench
	$(Q)tests/bench/stats-bench $(O)/minivmm
	$(Q)O=$(O) tests/bench/blk-bench
	$(Q)tests/bench/nested-bench
