/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The accesses of one vCPU that came to our process, by region and register.
 *
 * A table of fixed size, filled in order of appearance, so that it costs memory only for what the
 * guest really traps on. A guest that touches more registers than fit has the rest counted by page,
 * and by region when there are too many of those.
 *
 * Threads: one adds (the vCPU's, in bus.c), any looks.
 */
#ifndef VMM_CORE_TRAP_H
#define VMM_CORE_TRAP_H

#include <stdbool.h>
#include <stdint.h>

struct io_region;

#define TRAP_REGISTERS 512 /* slots that single registers may take; then pages, then regions */
#define TRAP_PAGES     640
#define TRAP_SLOTS     704
#define TRAP_INDEX     1024

enum trap_scope { TRAP_REGISTER, TRAP_PAGE, TRAP_REGION };

struct trap_slot {
	const struct io_region *region;
	uint64_t off; /* of the register, the page (4096) or 0 */
	uint64_t scope;
	uint64_t reads, writes, ticks;
};

struct trap_table {
	bool timed;
	unsigned n;
	uint64_t lost; /* accesses that found no slot */
	uint16_t index[TRAP_INDEX];
	struct trap_slot slot[TRAP_SLOTS];
};

/* off: of the register within the region. ticks: what it took, 0 when not timed. */
void trap_count(struct trap_table *, const struct io_region *, uint64_t off, bool write,
		uint64_t ticks);
/* How many slots may be looked at, with count_read(). Their regions and offsets do not change. */
unsigned trap_slots(const struct trap_table *);

#endif
