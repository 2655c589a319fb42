/* SPDX-License-Identifier: BSD-2-Clause */
/* A pair of queues of a network card, served by a thread of ours: for a host without vhost-net. */
#ifndef DEVICES_VIRTIO_NET_QUEUES_H
#define DEVICES_VIRTIO_NET_QUEUES_H

struct error;
struct net_queues;
struct virtio_queue;

struct net_queues_config {
	const char *name; /* of the thread; not kept */
	struct virtio_queue *rx, *tx;
	int tap;	      /* not owned */
	void (*gone)(void *); /* the tap device was removed; on the thread */
	void *arg;
};

/* NULL with *err set. */
struct net_queues *net_queues_new(const struct net_queues_config *, struct error *);
void net_queues_start(struct net_queues *); /* does not wait */
/* Waits until the thread touches no guest memory. It has nothing in flight. */
void net_queues_stop(struct net_queues *);
void net_queues_free(struct net_queues *); /* NULL is fine */

#endif
