/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The output queue of a character device. The reader of the descriptor may be slow or gone.
 *
 * Threads: outq_write() and outq_hold() may run on any thread, the others on the main loop.
 */
#ifndef DEVICES_BACKEND_OUTQ_H
#define DEVICES_BACKEND_OUTQ_H

#include <pthread.h>
#include <stdint.h>

#include "vmm/core/addr.h"
#include "vmm/core/evloop.h"
#include "vmm/core/nbio.h"

#define OUTQ_SIZE	 (256 * KiB) /* bytes kept for the reader; more are dropped */
#define OUTQ_BUSY	 (64 * KiB)  /* with more bytes in the queue the guest waits */
#define OUTQ_PATIENCE_MS 2000u	     /* a reader that reads nothing for this time is dead */

struct outq {
	struct evloop *loop;
	pthread_mutex_t lock; /* a leaf lock: nothing waits while it is held */
	struct nbio out;
	char *buf; /* a ring of OUTQ_SIZE bytes, allocated while bytes are kept */
	size_t head, used;
	uint64_t dropped; /* bytes, since the reader was last told */
	bool busy;	  /* at least OUTQ_BUSY bytes and not stalled; atomic */
	bool stalled;	  /* the reader is regarded as dead, and nobody waits for it */
	bool watched;	  /* the main loop waits for room, or was asked to */
	bool asked;	  /* room() must be called when there is room */
	bool unwatchable; /* epoll does not support this descriptor */
	void (*room)(void *);
	void *arg;
	struct ev_call watch;
	struct ev_source *source;
	struct ev_timer *patience;
	/* While busy: the time at which the reader last read something, and the number of unread
	 * bytes in the descriptor at the last look. */
	uint64_t moved_ns;
	int unread;
	bool lost; /* writing to a regular file failed, and the user was told */
	/* Path and maximal size (0: no limit) of a regular file. The caller owns the string. */
	const char *path;
	uint64_t max, size;
};

/* room: optional; called on the main loop, after outq_ask() returned false. 0 or -ENOMEM. */
int outq_init(struct outq *, struct evloop *, void (*room)(void *), void *arg);
/* Gives the reader a short time to read the rest, and logs how many bytes it did not read. */
void outq_destroy(struct outq *);

/* Sets the descriptor to write to. Bytes for the previous one are thrown away. */
void outq_attach(struct outq *, struct nbio);
void outq_detach(struct outq *);
/* For a descriptor that may have no reader yet: nobody waits until a reader has read something. */
void outq_expect_nobody(struct outq *);
/* The attached descriptor is the regular file `path`. When it is `max` bytes long, it is renamed to
 * PATH.1 and a new file begins; 0: no limit. */
void outq_limit(struct outq *, const char *path, uint64_t max);

/* Takes all bytes and never waits for the reader: they are written, kept or dropped. */
void outq_write(struct outq *, const void *, size_t);
/* Holds the calling vCPU while the queue is busy: until the reader has caught up, or is regarded as
 * dead. The caller holds no lock. */
void outq_hold(struct outq *);
/* True: more bytes may be written. False: wait for room(). */
bool outq_ask(struct outq *);

#endif
