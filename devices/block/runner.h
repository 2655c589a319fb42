/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread of a disk's queue. It takes requests in batches from the front end, lets an engine
 * execute them, gives them back, and sleeps when there is nothing to do. The front end is a table
 * of operations; it knows where requests come from (a virtqueue in devices/virtio/blk_queue.c).
 * Threads: one thread at a time may call new, start, stop, leave and free. All operations of the
 * front end, and the functions that they call here, run on the runner's thread. They must not wait
 * for the thread that calls blk_runner_stop(). */
#ifndef DEVICES_BLOCK_RUNNER_H
#define DEVICES_BLOCK_RUNNER_H

#include "devices/block/engine.h"

struct stats;
struct blk_runner;

enum blk_aio { BLK_AIO_AUTO, BLK_AIO_URING, BLK_AIO_LIBAIO };

#define BLK_POLL_USEC 20
#define BLK_POLL_MAX  10000

struct blk_runner_config {
	const char *name; /* the name of the thread: "blk0.1" */
	enum blk_aio aio;
	unsigned poll_usec; /* poll for this time before sleeping; 0: never */
	bool poll_always;   /* otherwise only while it finds something often enough */
	bool timed;	    /* measure latencies */
	/* kick_fd: a non-blocking eventfd that wakes the runner; the caller owns it. `calls` is set
	 * by the runner. */
	struct blk_engine_config engine;
};

struct blk_front_ops {
	/* Takes up to max requests from the guest, and calls blk_runner_submit() for each one that
	 * needs work. Returns how many it took. */
	unsigned (*take)(void *front, unsigned max);
	/* These requests are complete. They are a list, linked by `next`; each one has its result
	 * in `res`. */
	void (*complete)(void *front, struct blk_req *list);
	/* Shows the completed requests to the guest. True: the guest got an interrupt. */
	bool (*publish)(void *front);
	/* True if there are requests to take. */
	bool (*pending)(void *front);
	/* Asks the guest for kicks. False: there are requests to take, perhaps without a kick. */
	bool (*kicks_on)(void *front);
	/* Asks for a kick when n requests can be taken, and returns how many there are now. It is a
	 * hint, too: the runner looks again after a time limit. */
	unsigned (*kick_at)(void *front, unsigned n);
	void (*kicks_off)(void *front); /* a hint: the runner is awake */
	/* The runner does not use the queue any more, and may be started again from here on. */
	void (*left)(void *front);
};

/* Makes the thread and its engine. The table and the front end are used until blk_runner_free().
 * NULL with *err set on failure. */
struct blk_runner *blk_runner_new(const struct blk_runner_config *, const struct blk_front_ops *,
				  void *front, struct error *);
void blk_runner_free(struct blk_runner *);
/* limit: the maximum of requests in flight, not above the engine's depth. The runner uses the front
 * end's queue until blk_runner_stop() returns; then no request is in flight. */
void blk_runner_start(struct blk_runner *, unsigned limit);
void blk_runner_stop(struct blk_runner *);
/* Does not wait for requests in flight, which may never complete if the storage hangs. True: left()
 * will be called, and until then the runner uses the queue. False: it does not use it any more. */
bool blk_runner_leave(struct blk_runner *);

/* For take(). The runner owns the request until complete(). */
void blk_runner_submit(struct blk_runner *, struct blk_req *);
/* Counts a request that the front end itself has failed. */
void blk_runner_refused(struct blk_runner *);

/* Adds the runner's counters to the statistics as a set of this name; they are read until
 * blk_runner_free(). */
void blk_runner_add_stats(const struct blk_runner *, struct stats *, const char *name);
/* Why libaio was chosen automatically; NULL if it was not. */
const char *blk_runner_fallback(const struct blk_runner *);

#endif
