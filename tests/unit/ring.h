/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a split ring in a small guest memory, for tests. */
#ifndef TESTS_UNIT_RING_H
#define TESTS_UNIT_RING_H

#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtio/virtq.h"
#include "vmm/core/mem.h"

#define RING_MEM   (1 * MiB)
#define RING_SIZE  8u
#define RING_DESC  0x1000u
#define RING_AVAIL 0x2000u
#define RING_USED  0x3000u
#define RING_DATA  0x10000u

struct ring {
	struct guest_mem *mem;
	char *ram;
	struct virtq vq;
	uint16_t avail_idx, used_idx;
};

static inline struct virtq_desc *ring_desc(struct ring *r)
{
	return (struct virtq_desc *)(r->ram + RING_DESC);
}

static inline struct virtq_avail *ring_avail(struct ring *r)
{
	return (struct virtq_avail *)(r->ram + RING_AVAIL);
}

static inline struct virtq_used *ring_used(struct ring *r)
{
	return (struct virtq_used *)(r->ram + RING_USED);
}

static inline struct virtq_setup ring_setup(bool event_idx)
{
	return (struct virtq_setup){ RING_SIZE,	     GPA(RING_DESC), GPA(RING_AVAIL),
				     GPA(RING_USED), event_idx,	     true };
}

/* Guest RAM from 0 to 1 MiB, and nothing above. It has two ranges that meet at 0x80000 in the
 * guest, but are not adjacent in the host. */
static inline int ring_memory(struct ring *r)
{
	struct mem_range lo = { 0, RING_MEM / 2, NULL, MEM_RAM, true };
	struct mem_range hi = { RING_MEM / 2, RING_MEM / 2, NULL, MEM_RAM, true };

	memset(r, 0, sizeof(*r));
	r->ram = mmap(NULL, 2 * RING_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	r->mem = guest_mem_new();
	lo.host = r->ram;
	hi.host = r->ram + RING_MEM;
	return guest_mem_add(r->mem, &lo) || guest_mem_add(r->mem, &hi);
}

static inline int ring_new(struct ring *r, bool event_idx)
{
	struct virtq_setup s = ring_setup(event_idx);

	return ring_memory(r) || virtq_init(&r->vq, r->mem, &s);
}

static inline void ring_free(struct ring *r)
{
	guest_mem_free(r->mem);
	munmap(r->ram, 2 * RING_MEM);
}

static inline void ring_set(struct ring *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
			    uint16_t next)
{
	ring_desc(r)[i] = (struct virtq_desc){ addr, len, flags, next };
}

static inline void ring_offer(struct ring *r, uint16_t head)
{
	__atomic_store_n(&ring_avail(r)->ring[r->avail_idx++ % RING_SIZE], head, __ATOMIC_RELAXED);
	__atomic_store_n(&ring_avail(r)->idx, r->avail_idx, __ATOMIC_RELEASE);
}

#endif
