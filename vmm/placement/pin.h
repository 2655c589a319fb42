/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins each vCPU to a CPU of the host.
 *
 * The facts come from sysfs; `root` is the prefix of /sys: "" on a real host, a recorded tree in
 * tests. Only pin_allowed() and pin_self() change anything. Threads: any; no state.
 */
#ifndef VMM_PLACEMENT_PIN_H
#define VMM_PLACEMENT_PIN_H

#include <sched.h>
#include <stdbool.h>

#include "vmm/core/error.h"

#define PIN_CPUS 8192u /* the maximum of Linux on x86 (NR_CPUS) */

struct pin_mask {
	cpu_set_t s[PIN_CPUS / CPU_SETSIZE];
};

struct pin_host {
	struct pin_mask present, online;
	struct pin_mask isolated; /* isolcpus=: the scheduler places no task there by itself */
	struct pin_mask node;	  /* the node's CPUs; empty: no node was given */
	struct pin_mask affinity; /* of this process when it started */
	struct pin_mask allowed;  /* vCPUs may be pinned to these */
};

static inline bool pin_has(const struct pin_mask *m, unsigned cpu)
{
	return cpu < PIN_CPUS && CPU_ISSET_S(cpu, sizeof(*m), m->s);
}

static inline void pin_add(struct pin_mask *m, unsigned cpu)
{
	CPU_SET_S(cpu, sizeof(*m), m->s);
}

static inline unsigned pin_count(const struct pin_mask *m)
{
	return (unsigned)CPU_COUNT_S(sizeof(*m), m->s);
}

/* Parses a list such as "2-5,10" in its order: stores the first `max` CPUs and returns how many the
 * list names. -EINVAL: not such a list. */
int pin_list_parse(const char *list, unsigned *cpu, unsigned max);
/* Prints a mask as such a list, truncated to the size of buf. */
void pin_list_print(const struct pin_mask *, char *buf, size_t size);

/* Fills in everything except affinity and allowed. Node -1: any node. */
int pin_read(const char *root, int node, struct pin_host *, struct error *);
/* Fills in affinity and allowed from the calling thread, and lets it run on every CPU of `allowed`.
 * Isolated CPUs are in no affinity by default, but they are allowed, unless somebody chose an
 * affinity for this process. */
int pin_allowed(struct pin_host *, struct error *);

/* Checks that each of the n CPUs exists, is online and is allowed. If not, *error says what to
 * do. */
int pin_check(const struct pin_host *, const unsigned *cpu, unsigned n, struct error *);

/* What pin_choose() could not do. */
enum pin_shortfall {
	PIN_OTHER_NODE = 1, /* the node has too few CPUs */
	PIN_SPLIT_CORES = 2 /* threads of one guest core run on several host cores */
};

/* Chooses n CPUs: first isolated CPUs of the node, then its other CPUs, then those of other nodes.
 * In each of these classes, the core with the lowest CPU comes last, because the host's own work
 * runs there. With threads > 1, each group of `threads` CPUs shares a core; else each CPU has a
 * core of its own while there are enough cores. Returns pin_shortfall bits, or -errno. */
int pin_choose(const char *root, const struct pin_host *, unsigned n, unsigned threads,
	       unsigned *cpu, struct error *);

/* Takes these n CPUs from the calling thread and from all threads that it will start. -ENOSPC: no
 * CPU would be left, and nothing has changed. */
int pin_self(const struct pin_host *, const unsigned *cpu, unsigned n);

#endif
