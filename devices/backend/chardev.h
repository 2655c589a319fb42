/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's end of a character device: the terminal, a pty, a file, a unix socket, or nothing.
 *
 * Threads: open, close, input and chardev_ask() on the main loop; chardev_write(), chardev_hold()
 * and chardev_want() on any thread.
 */
#ifndef DEVICES_BACKEND_CHARDEV_H
#define DEVICES_BACKEND_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

struct chardev;
struct evloop;
struct outputs;

struct chardev_front {
	/* How many bytes input() would take now. */
	size_t (*room)(void *);
	void (*input)(void *, const uint8_t *, size_t);
	/* The user typed Ctrl-A x. */
	void (*quit)(void *);
	/* More output may come, after chardev_ask() said no. Optional. */
	void (*ready)(void *);
	void *opaque;
	struct outputs *outputs; /* of the run, for a file; NULL: it is emptied at once */
};

#define CHARDEV_SPECS "stdio, pty, file:PATH[,max=SIZE], unix:PATH or null; SIZE is at least 64K"
/* True when spec names a back end: stdio, pty, null, file:PATH[,max=SIZE] or unix:PATH. */
bool chardev_spec_ok(const char *spec);
/* Refuses what chardev_open() would refuse, as far as it shows without making or changing anything,
 * and claims the file. */
int chardev_check(const char *spec, struct outputs *, struct error *);
/* front is copied; its callbacks come on the main loop's thread. */
struct chardev *chardev_open(struct evloop *, const char *spec, const struct chardev_front *,
			     struct error *);
void chardev_close(struct chardev *);
/* Takes all of it and never waits: what the reader does not take in time is kept, or dropped once
 * there is too much of it (outq.h). A regular file takes as long as its file system. */
void chardev_write(struct chardev *, const void *, size_t);
/* Where there is too much already: holds the processor whose access this is. No lock is held. */
void chardev_hold(struct chardev *);
/* Main loop: whether there is not too much already; else ready() says when. */
bool chardev_ask(struct chardev *);
/* The front has room again after room() returned 0. */
void chardev_want(struct chardev *);

#endif
