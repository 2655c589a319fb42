/* SPDX-License-Identifier: BSD-2-Clause */
/* CFI flash (Intel command set), 4 KiB blocks: firmware code, read-only, and variable store. */
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
	bool array_mode; /* the ROM slot is (or should be) there; else reads give the status */
	bool slot;	 /* the ROM slot is there */
	uint8_t status;
	uint8_t cycle; /* command whose second cycle is awaited, 0 = none */
	int (*store)(void *, uint64_t off, const void *data, size_t len); /* NULL: none */
	void *store_arg;
	struct log_limit limit;
};

/* Maps size bytes at data (page-aligned, both) as ROM at base and takes writes from mmio. What the
 * guest programs is in data at once. readonly: writes are ignored, as on a ROM. -errno of
 * guest_mem_add() or bus_add(). */
int pflash_init(struct pflash *, const char *name, struct bus *mmio, struct guest_mem *,
		uint64_t base, void *data, uint64_t size, bool readonly);
/* Where what the guest programs and erases goes before it is in data: 0, or -errno, which the guest
 * finds in the status register (program error, erase error) until it clears it. Called on a vCPU
 * thread under the flash's lock. Before vCPUs run. */
void pflash_set_store(struct pflash *,
		      int (*store)(void *, uint64_t off, const void *data, size_t len), void *arg);
void pflash_destroy(struct pflash *);
/* Back to array mode; contents stay. */
void pflash_reset(struct pflash *);

#endif
