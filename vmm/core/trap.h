/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the accesses of one vCPU that came to our process, by region and register.
 *
 * The table has a fixed size and is filled in the order of the first accesses, so only the used
 * part takes memory. If a guest accesses more registers than fit, the rest is counted by page; if
 * there are too many pages, by region.
 *
 * The slots of a region that is gone are used again: what they have counted is added up in one
 * slot.
 *
 * Threads: the vCPU's thread adds (in bus.c); any thread may read. The main loop forgets.
 */
#ifndef VMM_CORE_TRAP_H
#define VMM_CORE_TRAP_H

#include <stdbool.h>
#include <stdint.h>

struct io_region;

#define TRAP_REGISTERS 512 /* slots for registers; the following ones are for pages, then regions \
			    */
#define TRAP_PAGES 640
#define TRAP_SLOTS 704
#define TRAP_INDEX 1024

enum trap_scope { TRAP_REGISTER, TRAP_PAGE, TRAP_REGION };

struct trap_slot {
	const struct io_region *region; /* NULL: the slot is not in use now */
	uint64_t off; /* of the register, or of the page (4096 bytes); 0 for a region */
	uint64_t scope;
	uint64_t reads, writes, ticks;
};

struct trap_table {
	bool timed;
	bool forgot; /* there are new slots of regions that are gone */
	unsigned n;  /* slots that are or were in use */
	unsigned unused;
	struct trap_slot *gone; /* where they are added up; NULL: there is none yet */
	uint64_t lost;		/* accesses that found no slot */
	uint16_t index[TRAP_INDEX];
	struct trap_slot slot[TRAP_SLOTS];
};

/* off: of the register within the region. ticks: the duration; 0 if it is not measured. */
void trap_count(struct trap_table *, const struct io_region *, uint64_t off, bool write,
		uint64_t ticks);
static inline const struct io_region *trap_region(const struct trap_slot *s)
{
	return __atomic_load_n(&s->region, __ATOMIC_RELAXED);
}

/* The number of slots that trap_read() can read. */
unsigned trap_slots(const struct trap_table *);
/* Copies one. False: it is not in use now. */
bool trap_read(const struct trap_slot *, struct trap_slot *copy);

/* The memory of a region that is on no bus any more is about to go: what was counted is a removed
 * device's from now on. */
void trap_forget(struct trap_table *, const struct io_region *);

#endif
