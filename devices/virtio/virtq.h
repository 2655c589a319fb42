/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueues, the device's side (VIRTIO 1.2 §2.7).
 *
 * The only place where the contents of a ring are looked at. Each guest value is loaded once into
 * a local, checked, and only the local is used: the guest may rewrite its memory at any time.
 * What leaves here is host addresses that are known to lie in guest RAM.
 *
 * A broken ring answers -EINVAL, now and ever after until virtq_init(): the device then sets
 * DEVICE_NEEDS_RESET (virtio_broken()).
 *
 * Threads: a virtq belongs to one thread at a time; the guest's driver is the other party and is
 * met by acquire/release at the two ring indices only.
 */
#ifndef DEVICES_VIRTIO_VIRTQ_H
#define DEVICES_VIRTIO_VIRTQ_H

#include <linux/types.h>
#include <sys/uio.h>

#include "vmm/core/addr.h"

struct guest_mem;

#define VIRTQ_MAX_SIZE 1024 /* entries of a queue */
/* Longest chain taken, after splitting buffers at guest RAM boundaries: 126 data segments
 * (seg_max), header, status, and a little for the splits. */
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
	__le16 ring[]; /* then used_event */
};

struct virtq_used_elem {
	__le32 id;
	__le32 len;
};

struct virtq_used {
	__le16 flags;
	__le16 idx;
	struct virtq_used_elem ring[]; /* then avail_event */
};

struct virtq {
	const struct guest_mem *mem;
	/* Guest memory. */
	const struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t size;
	bool event_idx, indirect; /* as negotiated */
	bool broken;
	uint16_t last_avail; /* next entry of avail->ring to take */
	uint16_t seen_avail; /* avail->idx when last loaded */
	uint16_t next_used;  /* used->idx after the next flush */
	uint16_t flushed;    /* used->idx as the guest sees it */
};

/* What the driver wrote to the transport. */
struct virtq_setup {
	uint16_t size; /* a power of two up to VIRTQ_MAX_SIZE */
	gpa_t desc, avail, used;
	bool event_idx, indirect;
};

/* One request: iov[0 .. nr_out) is what the driver gives, iov[nr_out .. nr_out + nr_in) what it
 * wants filled. Addresses are host addresses within guest RAM; the bytes there may change. */
struct virtq_chain {
	uint16_t head;
	uint16_t nr_out, nr_in;
	size_t out_len, in_len; /* bytes */
	struct iovec iov[VIRTQ_MAX_IOV];
};

/* Resolves the rings. -EINVAL: size, alignment or an address outside RAM (§2.7: 16, 2 and 4). The
 * queue starts empty at index 0. */
int virtq_init(struct virtq *, const struct guest_mem *, const struct virtq_setup *);

/* Takes the next request: 1, 0 when there is none, or -EINVAL for a broken ring. */
int virtq_pop(struct virtq *, struct virtq_chain *);
/* Requests the driver has made available and virtq_pop() has not taken (0 for a broken ring). */
unsigned virtq_pending(struct virtq *);
/* Gives the last `n` popped chains back, as if they had not been taken (rx buffers). */
void virtq_unpop(struct virtq *, unsigned n);

/* Returns a buffer of which the first `len` writable bytes were written. The guest sees it at the
 * next virtq_flush(): one index update and one decision about the interrupt for the whole batch. */
void virtq_push(struct virtq *, uint16_t head, uint32_t len);
/* Publishes what was pushed. True: the driver wants an interrupt for it. */
bool virtq_flush(struct virtq *);

/* Asks the driver for kicks from now on, then looks again: true means that requests have arrived
 * meanwhile and there may be no kick for them. */
bool virtq_enable_kicks(struct virtq *);
/* Kicks are not needed: somebody is looking at the ring. A hint; the driver may still send some. */
void virtq_disable_kicks(struct virtq *);

#endif
