/* SPDX-License-Identifier: BSD-2-Clause */
/* The control queue of a network card: what its commands ask for (VIRTIO 1.2 §5.1.6.5). */
#ifndef DEVICES_VIRTIO_NET_COMMAND_H
#define DEVICES_VIRTIO_NET_COMMAND_H

#include <stdint.h>

struct virtq_chain;

/* What the commands change; 0 or -errno. */
struct net_command_ops {
	/* 1 and more; the upper bound is the callee's to check. */
	int (*set_pairs)(void *arg, unsigned pairs);
	int (*set_mac)(void *arg, const uint8_t mac[6]);
	/* A subset of the accepted features. */
	int (*set_offloads)(void *arg, uint64_t offloads);
};

/* The features of frames to the guest that it may switch off and on later. */
extern const uint64_t net_offload_features;

/* Carries the command of a chain out and writes the answer there. Returns how many bytes it wrote.
 * features: accepted by the driver; a command of another is answered with VIRTIO_NET_ERR. */
uint32_t net_command(const struct virtq_chain *, uint64_t features, const struct net_command_ops *,
		     void *arg);

#endif
