/* SPDX-License-Identifier: BSD-2-Clause */
/* A minimal driver for one queue of a modern virtio-pci device. */
#ifndef MICRO_VIRTIO_H
#define MICRO_VIRTIO_H

#include "lib.h"

#define VIRTIO_BAR_AT 0xd0000000u
#define VQ_SIZE	      8

struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

struct vq {
	struct vq_desc desc[VQ_SIZE];
	struct {
		uint16_t flags, idx, ring[VQ_SIZE], event;
	} avail;
	struct {
		volatile uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[VQ_SIZE];
	} __attribute__((aligned(4))) used;
} __attribute__((aligned(4096)));

struct virtio {
	int devfn;
	uint32_t common, device, notify; /* addresses; notify is that of the queue */
	uint32_t notify_multiplier;
	uint16_t queue;
};

/* Finds the device of this virtio type, resets it, accepts VERSION_1, sets up queue 0 and sets
 * DRIVER_OK. Calls skip() if there is no such device. msix_vector 0xffff: no vector. */
void virtio_start(struct virtio *, uint16_t type, struct vq *, uint16_t msix_vector);
/* The same with the queue `index`. */
void virtio_start_queue(struct virtio *, uint16_t type, uint16_t index, struct vq *,
			uint16_t msix_vector);
void virtio_kick(const struct virtio *);
uint8_t virtio_status(const struct virtio *);

#endif
