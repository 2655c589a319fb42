/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of a machine's counters.
 *
 * A counter is a uint64_t in the memory of its owner. One thread adds to it with count_add() (a
 * load, an add and a store, no locked instruction); any thread may read it with count_read(). It
 * never decreases. A device makes a set, adds its counters, and keeps their memory until
 * stats_remove() or stats_free(). Time is measured only if stats_timed() is true (--stats).
 *
 * Threads: the list belongs to the main thread.
 */
#ifndef VMM_CORE_STATS_H
#define VMM_CORE_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* In a histogram, bucket 0 counts zeroes, bucket i counts values from 2^(i-1) to 2^i - 1, and the
 * last bucket counts all larger values. */
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

/* The processor's clock (TSC), for time differences; stats_ns() converts them. */
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

/* An interrupt, and the way in which it is injected into the guest. */
struct stats_irq {
	const char *device, *kind; /* "MSI-X", "INTx", "line" */
	const char *path;	   /* the way: "irqfd", "irqfd, resample", "userspace" */
	unsigned vector;
	bool known; /* count is valid */
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

/* All functions accept NULL and then do nothing. If memory is exhausted, they do nothing, too:
 * missing statistics must not make a machine fail. */
bool stats_timed(const struct stats *);
/* kind and name are copied; the names of counters are not. */
struct stats_set *stats_add_set(struct stats *, const char *kind, const char *name);
void stats_add_counter(struct stats_set *, const char *name, const uint64_t *);
void stats_add_histogram(struct stats_set *, const char *name, const uint64_t buckets[]);
/* each() must call the given function for every interrupt that it knows. It runs on the main
 * thread. */
void stats_add_irqs(struct stats *, void (*each)(void *opaque, stats_irq_fn *, void *arg),
		    void *opaque);

/* Before the memory of the counters goes: forgets the sets of that device, which are named DEVICE
 * or DEVICE.anything, and the interrupts that were added with that opaque. */
void stats_remove(struct stats *, const char *device, const void *opaque);

/* All sets, in the order in which they were added. */
const struct stats_set *stats_sets(const struct stats *);
void stats_each_irq(const struct stats *, stats_irq_fn *, void *arg);
/* Nanoseconds since stats_new(); and a number of ticks in nanoseconds. */
uint64_t stats_uptime_ns(const struct stats *);
uint64_t stats_ns(const struct stats *, uint64_t ticks);

#endif
