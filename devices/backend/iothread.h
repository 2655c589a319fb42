/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A named thread that runs one body at a time: paused, running, or gone.
 *
 *   new -> paused -> resume() -> running -> pause() or leave() -> paused ... -> free()
 *
 * The body loops until iothread_wanted() is false, finishes its requests in flight, and returns. So
 * after pause() this thread does not touch guest memory any more. pause() writes to the wake
 * eventfd; the body must wait on it.
 *
 * If storage hangs, the body may never finish its requests. For this case there is leave(), which
 * asks the body to return and does not wait; paused() is called when it has returned.
 *
 * Threads: resume, pause, leave and free may be called from one thread at a time, never from the
 * body.
 */
#ifndef DEVICES_BACKEND_IOTHREAD_H
#define DEVICES_BACKEND_IOTHREAD_H

#include <stdbool.h>

struct error;
struct iothread;

struct iothread_ops {
	/* Runs on the new thread, before the first resume; may fail. An io_uring ring with a single
	 * issuer must be created here. NULL: nothing to do. */
	int (*init)(void *arg, struct error *);
	void (*run)(void *arg);
	/* Runs on the thread, each time that the body has returned. May be NULL. From here on the
	 * thread may be resumed. */
	void (*paused)(void *arg);
	void (*exit)(void *arg); /* runs on the thread, last; only if init succeeded */
};

/* Starts the thread and waits for init(). name: the kernel keeps its first 15 characters. wake_fd:
 * an eventfd; the caller owns it. NULL with *err set: the thread could not be started, or init()
 * failed. */
struct iothread *iothread_new(const char *name, int wake_fd, const struct iothread_ops *, void *arg,
			      struct error *);
void iothread_resume(struct iothread *);
void iothread_pause(struct iothread *); /* waits until the body has returned */
/* Asks the body to return. True: paused() will be called. False: no body is running. */
bool iothread_leave(struct iothread *);
void iothread_free(struct iothread *); /* pauses the thread and joins it; NULL is allowed */
/* For the body: false once it must return. */
bool iothread_wanted(const struct iothread *);

#endif
