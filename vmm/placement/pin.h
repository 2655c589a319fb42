/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the host's CPUs the processors of the guest run on, one each.
 *
 * What the host has comes from its sysfs; `root` is what stands before /sys: "" on a real host, a
 * recorded tree in tests. Apart from pin_allowed() and pin_self() nothing here changes anything.
 * Threads: any; no state.
 */
#ifndef VMM_PLACEMENT_PIN_H
#define VMM_PLACEMENT_PIN_H

#include <sched.h>
#include <stdbool.h>

#include "vmm/core/error.h"

#define PIN_CPUS 8192u /* the most that Linux knows */

struct pin_mask {
	cpu_set_t s[PIN_CPUS / CPU_SETSIZE];
};

struct pin_host {
	struct pin_mask present, online;
	struct pin_mask isolated; /* isolcpus=: the scheduler leaves them alone */
	struct pin_mask node;	  /* empty: any will do */
	struct pin_mask affinity; /* of this process when it started */
	struct pin_mask allowed;  /* may be pinned to */
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

/* A list like "2-5,10", in its order: stores the first `max`, returns how many it names. -EINVAL:
 * nonsense. */
int pin_list_parse(const char *list, unsigned *cpu, unsigned max);
/* The same of a mask, cut where buf ends. */
void pin_list_print(const struct pin_mask *, char *buf, size_t size);

/* All but affinity and allowed. Node -1: any. */
int pin_read(const char *root, int node, struct pin_host *, struct error *);
/* Affinity and allowed of the calling thread, which is left on any CPU of `allowed`. Isolated CPUs
 * are in nobody's affinity and yet allowed, unless somebody chose an affinity for us. */
int pin_allowed(struct pin_host *, struct error *);

/* Each of the n CPUs exists, is online and allowed; else one sentence with what to do. */
int pin_check(const struct pin_host *, const unsigned *cpu, unsigned n, struct error *);

/* What pin_choose() could not do. */
enum pin_shortfall {
	PIN_OTHER_NODE = 1, /* the node has too few CPUs */
	PIN_SPLIT_CORES = 2 /* threads of one guest core run on several of the host's */
};

/* Chooses n CPUs: isolated ones of the node, others of the node, other nodes'; last in each the
 * core that has the lowest CPU, where the host's own work is. With threads > 1 each `threads` of
 * them share a core, else each has a core of its own while there are enough. Returns pin_shortfall
 * bits, or -errno. */
int pin_choose(const char *root, const struct pin_host *, unsigned n, unsigned threads,
	       unsigned *cpu, struct error *);

/* The calling thread, and all it will start, onto the CPUs it had without these n. -ENOSPC: none
 * are left, and all of them stay. */
int pin_self(const struct pin_host *, const unsigned *cpu, unsigned n);

#endif
