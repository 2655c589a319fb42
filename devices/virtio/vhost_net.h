/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's virtio-net data path: rings, kicks and interrupts handed over to /dev/vhost-net. A
 * descriptor of it serves one pair of queues. */
#ifndef DEVICES_VIRTIO_VHOST_NET_H
#define DEVICES_VIRTIO_VHOST_NET_H

#include <stdint.h>

struct guest_mem;
struct virtio_device;

/* -errno when there is no vhost-net to be had; *features: what it supports. */
int vhost_net_open(uint64_t *features);
/* Starts queues `first` (rx) and the next (tx) between the guest and the tap device. Waits for
 * locks of the kernel's. */
int vhost_net_start(int vhost_fd, int tap_fd, const struct guest_mem *, struct virtio_device *,
		    unsigned first);
/* Waits for everything in flight. vhost_net_start() goes on where this left off. */
void vhost_net_stop(int vhost_fd, struct virtio_device *, unsigned first);

#endif
