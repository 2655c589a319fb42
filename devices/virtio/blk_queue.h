/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue of a virtio-blk device: a runner (devices/block/runner.h) that takes its requests from
 * a virtqueue. It knows nothing of PCI: kicks are an eventfd, interrupts a callback, so the bench
 * drives exactly this.
 *
 * Threads: new/start/stop/leave/free from one thread at a time; everything else on the queue's own
 * thread. The callbacks run there and must not wait for whoever calls stop().
 */
#ifndef DEVICES_VIRTIO_BLK_QUEUE_H
#define DEVICES_VIRTIO_BLK_QUEUE_H

#include "devices/block/runner.h"

struct virtq;
struct blk_queue;

#define BLK_SERIAL_LEN	     20 /* VIRTIO_BLK_ID_BYTES */
#define BLK_SEG_MAX	     126
#define BLK_MAX_DISCARD_SECT (1u << 22) /* 2 GiB in one request */
#define BLK_MAX_ZEROES_SECT  (1u << 19) /* 256 MiB: may have to be written out */

struct blk_queue_config {
	struct blk_runner_config run; /* engine.depth: the queue's size */
	char serial[BLK_SERIAL_LEN];  /* not terminated when full */
};

struct blk_queue_ops {
	void (*notify)(void *arg); /* the driver wants an interrupt */
	void (*broken)(void *arg); /* the ring is broken; called once a start */
	/* The queue has left its ring, as blk_queue_leave() asked for, and may be started again.
	 * May be NULL. */
	void (*left)(void *arg);
};

/* Makes the thread and its engine. NULL with *err filled. */
struct blk_queue *blk_queue_new(const struct blk_queue_config *, struct error *);
void blk_queue_free(struct blk_queue *);
/* The virtq is the queue's until blk_queue_stop() returns; by then nothing is in flight. stable:
 * each write reaches stable storage before it completes (the driver cannot flush). */
void blk_queue_start(struct blk_queue *, struct virtq *, bool stable, const struct blk_queue_ops *,
		     void *arg);
void blk_queue_stop(struct blk_queue *);
/* Does not wait for what is in flight, which may never return when the storage hangs. True: left()
 * will be called, and until then the queue is on its ring; false: it is on none. */
bool blk_queue_leave(struct blk_queue *);
/* For its counters, and for why it uses libaio. */
const struct blk_runner *blk_queue_runner(const struct blk_queue *);

#endif
