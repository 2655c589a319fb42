/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread of a disk's queue: it takes requests in batches from the front end, has an engine
 * carry them out, gives them back, and sleeps when there is nothing to do. Where requests come from
 * is the front end's matter (a virtqueue in devices/virtio/blk_queue.c): a table of operations.
 *
 * Threads: new/start/stop/leave/free from one thread at a time. All of the front end's operations,
 * and what they call here, run on the runner's own thread; they must not wait for whoever calls
 * blk_runner_stop().
 */
#ifndef DEVICES_BLOCK_RUNNER_H
#define DEVICES_BLOCK_RUNNER_H

#include "devices/block/engine.h"

struct stats;
struct blk_runner;

enum blk_aio { BLK_AIO_AUTO, BLK_AIO_URING, BLK_AIO_LIBAIO };

#define BLK_POLL_USEC 20

struct blk_runner_config {
	const char *name; /* of the thread: "blk0.1" */
	enum blk_aio aio;
	unsigned poll_usec; /* look at a busy queue this long before sleeping; 0: never */
	bool timed;	    /* measure latencies */
	/* kick_fd: a non-blocking eventfd, not owned, that wakes the runner. calls is the runner's.
	 */
	struct blk_engine_config engine;
};

struct blk_front_ops {
	/* Takes up to max requests from the guest and calls blk_runner_submit() for each that there
	 * is work for. Returns how many it took. */
	unsigned (*take)(void *front, unsigned max);
	/* These are complete, a list by `next`, each with its result in `res`. */
	void (*complete)(void *front, struct blk_req *list);
	/* Shows the guest what has been completed. True: it got an interrupt. */
	bool (*publish)(void *front);
	/* Is there something to take? */
	bool (*pending)(void *front);
	/* Asks the guest for kicks. False: there is something to take, and may be no kick for it.
	 */
	bool (*kicks_on)(void *front);
	void (*kicks_off)(void *front); /* a hint: the runner is awake */
	/* The runner has let go of the queue, and may be started again from here on. */
	void (*left)(void *front);
};

/* Makes the thread and its engine. The table and the front end are used until blk_runner_free().
 * NULL with *err filled. */
struct blk_runner *blk_runner_new(const struct blk_runner_config *, const struct blk_front_ops *,
				  void *front, struct error *);
void blk_runner_free(struct blk_runner *);
/* limit: requests in flight, at most the engine's depth. The front end's queue is the runner's
 * until blk_runner_stop() returns; by then nothing is in flight. */
void blk_runner_start(struct blk_runner *, unsigned limit);
void blk_runner_stop(struct blk_runner *);
/* Does not wait for what is in flight, which may never return when the storage hangs. True: left()
 * will be called, and until then the runner uses the queue; false: it uses none. */
bool blk_runner_leave(struct blk_runner *);

/* For take(). The request is the runner's until complete(). */
void blk_runner_submit(struct blk_runner *, struct blk_req *);
/* Counts a request that the front end failed by itself. */
void blk_runner_refused(struct blk_runner *);

/* Registers what the runner counts as a set of this name; it is read until blk_runner_free(). */
void blk_runner_add_stats(const struct blk_runner *, struct stats *, const char *name);
/* Why the automatic choice fell on libaio; NULL when it did not. */
const char *blk_runner_fallback(const struct blk_runner *);

#endif
