/* SPDX-License-Identifier: BSD-2-Clause */
/* CFI flash (Intel command set) with blocks of 4 KiB, for the firmware code (read-only) and for the
 * variable store. */
#ifndef DEVICES_CHIPSET_PFLASH_H
#define DEVICES_CHIPSET_PFLASH_H

#include "vmm/core/bus.h"
#include "vmm/core/log.h"

struct guest_mem;

#define PFLASH_BLOCK 4096

struct pflash {
	const char *name;
	struct bus *mmio;
	struct guest_mem *mem;
	struct io_region region;
	pthread_mutex_t lock;
	uint8_t *data; /* not owned */
	uint64_t base, size;
	bool readonly;
	bool array_mode; /* reads give the contents; false: they give the status */
	bool slot;	 /* the read-only memslot exists */
	uint8_t status;
	uint8_t cycle; /* the command that waits for its second cycle; 0: no command waits */
	int (*store)(void *, uint64_t off, const void *data, size_t len); /* may be NULL */
	void *store_arg;
	struct log_limit limit;
};

/* Maps size bytes at data as ROM at base, and handles writes that come from mmio. size and data are
 * multiples of a page. What the guest programs changes data at once. readonly: writes are ignored.
 * Returns the error of guest_mem_add() or bus_add(). */
int pflash_init(struct pflash *, const char *name, struct bus *mmio, struct guest_mem *,
		uint64_t base, void *data, uint64_t size, bool readonly);
/* Sets a function that stores what the guest programs and erases; it is called before data changes,
 * on a vCPU thread under the lock of the flash. If it returns -errno, data does not change, and the
 * guest sees a program or erase error in the status register until it clears the status. Call this
 * before the vCPUs run. */
void pflash_set_store(struct pflash *,
		      int (*store)(void *, uint64_t off, const void *data, size_t len), void *arg);
void pflash_destroy(struct pflash *);
/* Returns to array mode; the contents stay. */
void pflash_reset(struct pflash *);

#endif
