/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/bench/driver.h"

const struct bench_row bench_rows[BENCH_SERIES] = {
	[BENCH_CLOCK] = { "clock, nothing between", 2000, 1, 0 },
	[BENCH_CONFIG_READ] = { "configuration read", 1000, 1, 0 },
	[BENCH_REGISTER_READ] = { "register read", 2000, 1, 0 },
	[BENCH_IRQ_AWAKE] = { "interrupt, awake", 1000, 1, 0 },
	[BENCH_IRQ_ASLEEP] = { "interrupt, asleep", 1000, 1, 0 },
	[BENCH_DMA_READ] = { "DMA of 2 KiB from memory", 5, 1, 2048 },
	[BENCH_DMA_WRITE] = { "DMA of 2 KiB to memory", 5, 1, 2048 },
	[BENCH_DISK_POLLED] = { "4 KiB disk read, polled", 1000, 1, 4096 },
	[BENCH_DISK_IRQ] = { "4 KiB disk read, interrupt", 1000, 1, 4096 },
	[BENCH_DISK_DEEP] = { "32 such reads at once", 200, 32, 32 * 4096 },
};

/* The operation must not begin before the first reading of the clock, and must have ended before
 * the second one. RDTSC does not wait for earlier instructions (Intel SDM 2B, RDTSC), so LFENCE
 * stands on both sides. */
static inline uint64_t ticks(void)
{
	uint64_t now;

	__asm__ volatile("lfence" ::: "memory");
	now = __builtin_ia32_rdtsc();
	__asm__ volatile("lfence" ::: "memory");
	return now;
}

const char *bench_measure(struct bench_env *e, enum bench_series series, bench_op *op,
			  bench_op *after, void *arg)
{
	const struct bench_row *row = &bench_rows[series];
	/* Series with few samples are slow (100 ms each) and need only one round to warm up. */
	uint32_t warm = row->samples > BENCH_WARM_UP ? BENCH_WARM_UP : 1, i;
	const char *why;
	uint64_t t0, t;

	for (i = 0; i < warm + row->samples; i++) {
		if (i == warm)
			e->ops->begin(e, series);
		t0 = ticks();
		why = op(e, arg);
		t = ticks() - t0;
		if (!why && after)
			why = after(e, arg);
		if (why)
			return why;
		e->samples[i < warm ? i : i - warm] = t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
	}
	e->ops->end(e, series, row->samples);
	return NULL;
}
