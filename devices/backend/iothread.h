/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A named thread that runs one body at a time: paused, running, or gone.
 *
 *   new -> paused -> resume() -> running -> pause() or leave() -> paused ... -> free()
 *
 * The body loops until iothread_wanted() is false, finishes what it has in flight, and returns:
 * pause() therefore means that nothing of this thread touches guest memory any more. To get the
 * body's attention pause() writes to the wake eventfd, which the body must be waiting for.
 *
 * A body may take for ever to finish what it has in flight (storage that hangs). leave() therefore
 * asks and does not wait; paused() tells.
 *
 * Threads: resume/pause/leave/free from any one thread at a time; never from the body.
 */
#ifndef DEVICES_BACKEND_IOTHREAD_H
#define DEVICES_BACKEND_IOTHREAD_H

#include <stdbool.h>

struct error;
struct iothread;

struct iothread_ops {
	/* On the thread, before the first resume: may fail. A ring with a single issuer is made
	 * here. NULL: nothing to do. */
	int (*init)(void *arg, struct error *);
	void (*run)(void *arg);
	/* On the thread, each time that the body has returned. NULL: nobody wants to know. The
	 * thread may be resumed from here on. */
	void (*paused)(void *arg);
	void (*exit)(void *arg); /* on the thread, last; only when init succeeded */
};

/* Starts the thread and waits for init(). name: at most 15 characters are seen by the system.
 * wake_fd: an eventfd, not owned. NULL with *err filled when the thread or init() failed. */
struct iothread *iothread_new(const char *name, int wake_fd, const struct iothread_ops *, void *arg,
			      struct error *);
void iothread_resume(struct iothread *);
void iothread_pause(struct iothread *); /* returns when the body has returned */
/* Asks the body to return. True: paused() will be called; false: it runs no body. */
bool iothread_leave(struct iothread *);
void iothread_free(struct iothread *); /* pauses, ends and joins; NULL is fine */
/* For the body: false once it must return. */
bool iothread_wanted(const struct iothread *);

#endif
