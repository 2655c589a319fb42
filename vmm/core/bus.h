/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PIO and MMIO dispatch.
 *
 * A region is a range with callbacks. The bus checks size and [off, off + size) before each call.
 * An access that is too wide for the region is split. One that is too narrow, or that finds no
 * region, reads all ones, and a write is dropped, as on hardware.
 *
 * Threads and lock order (stated once, here): any thread may dispatch. A thread that has called
 * bus_join(), as vCPUs do, takes no lock of the bus, and writes nothing that other threads read
 * except in bus_del(). Other threads look up under the bus lock and drop it before the callback.
 * The callback runs under the region's own `lock` if the region has one. The order is: topology
 * (main loop) -> region/device lock -> bus lock, irq table lock -> log. Never take a device lock
 * while holding the bus lock or a second device's lock. bus_del() waits until no callback of the
 * region runs. If a callback takes its own region off the bus, bus_del() does not wait.
 */
#ifndef VMM_CORE_BUS_H
#define VMM_CORE_BUS_H

#include <pthread.h>

#include "vmm/core/addr.h"

/* The description of an access that traps, for statistics. */
struct io_place {
	char device[32], where[64]; /* "0000:01:00.0", "BAR 0" */
	char cause[96];		    /* why the access leaves the guest; "": it is emulated */
	uint64_t off;		    /* offset of the register within `where` */
};

struct io_region_ops {
	/* off is relative to the region. size is 1, 2, 4 or 8, within min_size..max_size.
	 * Little-endian value. */
	uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
	void (*write)(void *opaque, uint64_t off, unsigned size, uint64_t val);
	uint8_t min_size, max_size; /* 0 means 1 and 8 */
};

struct io_region {
	const char *name; /* for --stats and messages */
	uint64_t base, size;
	const struct io_region_ops *ops;
	void *opaque;
	pthread_mutex_t *lock; /* NULL: the callbacks are thread-safe on their own */
	int priority;	       /* where regions overlap, the highest wins (default 0) */
	/* Optional: describes a place in the region in more detail than its name and the offset,
	 * which are already in *place. Without it the place is an address. Called on the main loop
	 * without a lock, while other threads may move the region. */
	void (*explain)(const struct io_region *, uint64_t off, struct io_place *place);
	/* for the bus only */
	unsigned refs; /* threads in a callback that have not joined */
	bool mapped;
	struct io_region *under; /* while the view is made */
};

struct bus;
struct trap_table;

/* A thread that has joined. It notes here which regions' callbacks it is in, the outermost first.
 * Only the thread itself writes to this cache line, unless bus_del() waits for it. */
#define BUS_DEPTH 4 /* callbacks within callbacks; deeper ones are counted in refs */
struct bus_member {
	uintptr_t inside[BUS_DEPTH]; /* a region; bit 0: bus_del() waits for it */
	struct bus_seat {
		struct bus *bus;
		struct bus_member *next; /* of the same bus */
	} seat[2];
} __attribute__((aligned(64)));

struct bus *bus_new(uint64_t limit /* first address past the end: 0x10000 for PIO */);
void bus_free(struct bus *);

/* The caller owns the region and keeps it in place until bus_del(). -EEXIST: same-priority overlap;
 * -ERANGE: beyond the limit or empty. */
int bus_add(struct bus *, struct io_region *);
void bus_del(struct bus *, struct io_region *);

uint64_t bus_read(struct bus *, uint64_t addr, unsigned size);
void bus_write(struct bus *, uint64_t addr, unsigned size, uint64_t val);

/* From now on, the accesses of the calling thread to these two buses find their regions without a
 * lock. The caller zeroes *m before, and keeps it until bus_part(), which the thread must call
 * before it ends. */
void bus_join(struct bus_member *m, struct bus *pio, struct bus *mmio);
void bus_part(struct bus_member *m);

/* From now on, the accesses of the calling thread are counted in *t. An access that finds no region
 * is counted for a region "nothing". */
void bus_count_traps(struct trap_table *t);
/* Describes an access that was counted for this region, for statistics. Main loop. */
void bus_explain(const struct io_region *, uint64_t off, struct io_place *place);

/* An address whose *writes* signal an eventfd inside the kernel (ioeventfd). len 0: any size (MMIO
 * only). datamatch < 0: any value. KVM does this through bus_set_doorbell_ops(). Without such ops
 * (unit tests), bus_write() signals the eventfd itself. */
struct doorbell {
	uint64_t addr;
	unsigned len;
	int64_t datamatch;
	int fd; /* not owned */
};
struct doorbell_ops {
	int (*add)(void *opaque, const struct doorbell *);
	void (*del)(void *opaque, const struct doorbell *);
};
void bus_set_doorbell_ops(struct bus *, const struct doorbell_ops *, void *opaque);
int bus_doorbell_add(struct bus *, const struct doorbell *);
void bus_doorbell_del(struct bus *, const struct doorbell *);

/* Calls fn for every mapped region, also for those that others hide, in no particular order. fn
 * must not call the bus. */
void bus_each(struct bus *, void (*fn)(void *, const struct io_region *), void *arg);

#endif
