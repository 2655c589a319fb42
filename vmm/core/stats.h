/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine counts, and where the counters are.
 *
 * A counter is a uint64_t of its owner's: one thread adds to it with count_add() (a load, an add
 * and a store, no locked instruction), any thread reads it with count_read(). It never goes back.
 * Here is only the list of who has which: a device makes a set with a line a counter, and keeps the
 * memory in place until stats_free(). Time is taken only when stats_timed() says so (--stats).
 *
 * Threads: counters as above; the list belongs to the main thread.
 */
#ifndef VMM_CORE_STATS_H
#define VMM_CORE_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* A histogram: bucket 0 counts zeroes, bucket i values from 2^(i-1) to 2^i - 1, the last all above.
 */
#define STATS_BUCKETS 32

static inline uint64_t count_read(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static inline void count_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, count_read(c) + n, __ATOMIC_RELAXED);
}

static inline void count_bucket(uint64_t *buckets, uint64_t value)
{
	unsigned i = value ? 64 - (unsigned)__builtin_clzll(value) : 0;

	count_add(&buckets[i < STATS_BUCKETS ? i : STATS_BUCKETS - 1], 1);
}

/* The processor's clock, for differences; stats_ns() converts them. */
static inline uint64_t stats_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

struct stats;

struct stats_counter {
	const char *name;
	const uint64_t *value;
	unsigned n; /* 1, or STATS_BUCKETS: a histogram */
};

struct stats_set {
	char kind[16], name[32]; /* "disk queue", "blk0.1" */
	struct stats_counter *counter;
	unsigned n;
	struct stats_set *next;
};

/* One way an interrupt takes into the guest. */
struct stats_irq {
	const char *device, *kind; /* "MSI-X", "INTx", "line" */
	const char *path;	   /* who injects: "irqfd", "irqfd, resample", "userspace" */
	unsigned vector;
	bool known; /* count is */
	uint64_t count;
};
typedef void stats_irq_fn(void *arg, const struct stats_irq *);

struct stats_irqs {
	void (*each)(void *opaque, stats_irq_fn *, void *arg);
	void *opaque;
	struct stats_irqs *next;
};

struct stats *stats_new(bool timed);
void stats_free(struct stats *);

/* All of these do nothing with NULL, and when memory is short: statistics are no reason to fail. */
bool stats_timed(const struct stats *);
/* kind and name are copied, names of counters are not. */
struct stats_set *stats_add_set(struct stats *, const char *kind, const char *name);
void stats_add_counter(struct stats_set *, const char *name, const uint64_t *);
void stats_add_histogram(struct stats_set *, const char *name, const uint64_t buckets[]);
/* each() calls its argument for every interrupt it knows of, on the main thread. */
void stats_add_irqs(struct stats *, void (*each)(void *opaque, stats_irq_fn *, void *arg),
		    void *opaque);

/* In the order in which they were added. */
const struct stats_set *stats_sets(const struct stats *);
void stats_each_irq(const struct stats *, stats_irq_fn *, void *arg);
/* Nanoseconds since stats_new(), and in a number of ticks. */
uint64_t stats_uptime_ns(const struct stats *);
uint64_t stats_ns(const struct stats *, uint64_t ticks);

#endif
