/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest prints, on its way to a descriptor whose reader may be slow, or gone.
 *
 * Threads: outq_write() and outq_hold() any; the rest the main loop's.
 */
#ifndef DEVICES_BACKEND_OUTQ_H
#define DEVICES_BACKEND_OUTQ_H

#include <pthread.h>
#include <stdint.h>

#include "vmm/core/addr.h"
#include "vmm/core/evloop.h"
#include "vmm/core/nbio.h"

#define OUTQ_SIZE	 (256 * KiB) /* kept for a reader; more is dropped */
#define OUTQ_BUSY	 (64 * KiB)  /* from here on the guest should wait */
#define OUTQ_PATIENCE_MS 2000u	     /* so long, for a reader that takes nothing at all */

struct outq {
	struct evloop *loop;
	pthread_mutex_t lock; /* a leaf: nothing waits under it */
	struct nbio out;
	char *buf; /* a ring, while there is something in it */
	size_t head, used;
	uint64_t dropped; /* since the reader was told last */
	bool busy;	  /* atomic: more than OUTQ_BUSY, and the reader seems to live */
	bool stalled;	  /* it did not read for so long that nobody waits for it */
	bool watched;	  /* the loop looks when there is room, or is going to */
	bool asked;	  /* room() is to be called */
	bool unwatchable; /* epoll does not take the descriptor */
	void (*room)(void *);
	void *arg;
	struct ev_call watch;
	struct ev_source *source;
	struct ev_timer *patience;
	/* While busy: when the reader was seen to take something, and what lay unread in the
	 * descriptor at the last look. */
	uint64_t moved_ns;
	int unread;
	bool lost; /* a regular file took no more, which was said */
	/* of a regular file, with the size it must not pass (0: any); not owned */
	const char *path;
	uint64_t max, size;
};

/* room: optional, on the main loop, after outq_ask() said no. -ENOMEM when it cannot be. */
int outq_init(struct outq *, struct evloop *, void (*room)(void *), void *arg);
/* Gives the reader a moment to take what is left, and says what it did not take. */
void outq_destroy(struct outq *);

/* Where it goes. What waited for the one before is forgotten. */
void outq_attach(struct outq *, struct nbio);
void outq_detach(struct outq *);
/* There may be no reader yet: nobody waits for one before it has read something. */
void outq_expect_nobody(struct outq *);
/* The regular file attached is at `path`. max: it is never longer, and becomes PATH.1; 0: any
 * length. */
void outq_limit(struct outq *, const char *path, uint64_t max);

/* Takes all of it and never waits: written, kept or dropped. */
void outq_write(struct outq *, const void *, size_t);
/* Holds the processor whose output there is too much of, until its reader has caught up or proves
 * dead. The caller holds no lock. */
void outq_hold(struct outq *);
/* Whether more may come. False: room() says when. */
bool outq_ask(struct outq *);

#endif
