/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueues, the device's side (VIRTIO 1.2 §2.7).
 *
 * No other code reads the contents of a ring. The guest may change its memory at any time, so each
 * value is loaded once into a local variable and checked, and only the local variable is used. The
 * host addresses that this code returns always lie in guest RAM.
 *
 * A broken ring returns -EINVAL, and again for each call until virtq_init(). The device then sets
 * DEVICE_NEEDS_RESET (virtio_broken()).
 *
 * Threads: a virtq belongs to one thread at a time. The guest's driver runs at the same time;
 * acquire and release at the two ring indices order the accesses of both sides.
 */
#ifndef DEVICES_VIRTIO_VIRTQ_H
#define DEVICES_VIRTIO_VIRTQ_H

#include <linux/types.h>
#include <sys/uio.h>

#include "vmm/core/mem.h"

#define VIRTQ_MAX_SIZE 1024 /* entries of a queue */
/* The longest chain that is accepted, in pieces: 126 data segments (seg_max), header, status, and
 * some more for buffers that are split at the boundaries of guest RAM. */
#define VIRTQ_MAX_IOV 136

struct virtq_desc {
	__le64 addr;
	__le32 len;
	__le16 flags;
	__le16 next;
};

struct virtq_avail {
	__le16 flags;
	__le16 idx;
	__le16 ring[]; /* used_event follows */
};

struct virtq_used_elem {
	__le32 id;
	__le32 len;
};

struct virtq_used {
	__le16 flags;
	__le16 idx;
	struct virtq_used_elem ring[]; /* avail_event follows */
};

struct virtq {
	const struct guest_mem *mem;
	struct mem_last last[2]; /* buffers of requests below and above 4 GiB */
	/* host addresses of the rings in guest memory */
	const struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t size;
	bool event_idx, indirect; /* as negotiated */
	bool broken;
	uint16_t last_avail; /* the next entry of avail->ring to take */
	uint16_t seen_avail; /* the value of avail->idx that was last loaded */
	uint16_t next_used;  /* the value of used->idx after the next flush */
	uint16_t flushed;    /* the value of used->idx that the guest sees */
};

/* The values that the driver wrote to the transport. */
struct virtq_setup {
	uint16_t size; /* a power of two up to VIRTQ_MAX_SIZE */
	gpa_t desc, avail, used;
	bool event_idx, indirect;
};

/* One request: iov[0 .. nr_out) is data from the driver, iov[nr_out .. nr_out + nr_in) are buffers
 * to fill. The addresses are host addresses in guest RAM, and the guest may change the bytes
 * there. */
struct virtq_chain {
	uint16_t head;
	uint16_t nr_out, nr_in;
	size_t out_len, in_len; /* bytes */
	struct iovec iov[VIRTQ_MAX_IOV];
};

/* Looks up the host addresses of the rings. -EINVAL: the size or an alignment (§2.7: 16, 2 and 4)
 * is wrong, or an address is outside of RAM. The queue starts empty at index 0. */
int virtq_init(struct virtq *, const struct guest_mem *, const struct virtq_setup *);

/* Takes the next request. 1: there was one; 0: there is none; -EINVAL: the ring is broken. */
int virtq_pop(struct virtq *, struct virtq_chain *);
/* The number of requests that virtq_pop() has not taken yet, at most the size of the ring. It is 0
 * after virtq_pop() has returned -EINVAL, but not 0 if the ring is broken and virtq_pop() has yet
 * to find it. */
unsigned virtq_pending(struct virtq *);
/* Returns the last `n` popped chains to the avail ring, as if they had not been taken (rx
 * buffers). */
void virtq_unpop(struct virtq *, unsigned n);

/* Puts a finished request on the used ring; its first `len` writable bytes were written. The guest
 * sees it at the next virtq_flush(), which has one index update and one interrupt for the batch. */
void virtq_push(struct virtq *, uint16_t head, uint32_t len);
/* Makes the pushed requests visible to the guest. True: the driver wants an interrupt. */
bool virtq_flush(struct virtq *);

/* Asks the driver for kicks from now on, then checks the ring again. True: requests have arrived
 * meanwhile, perhaps without a kick. */
bool virtq_enable_kicks(struct virtq *);
/* Asks for a kick when `n` requests are pending (1 to the size of the queue), and returns how many
 * are pending now. A driver without EVENT_IDX cannot be asked for that, and sends no kick: the
 * caller must have a time limit. */
unsigned virtq_kick_at(struct virtq *, unsigned n);
/* For a ring that another process has served, and does not serve now. The process may have been
 * killed at any moment, so only what the driver sees counts. */
/* The number of requests that are not finished. */
unsigned virtq_unfinished(const struct virtq *);
/* True: as far as the ring still shows, requests were finished in the order in which they came. */
bool virtq_in_order(const struct virtq *);
/* last_avail is behind the last finished request, if requests are finished in their order. */
void virtq_resume(struct virtq *);

/* Tells the driver that kicks are not needed, because the ring is being polled. It is only a hint:
 * the driver may send kicks nevertheless. */
void virtq_disable_kicks(struct virtq *);

#endif
