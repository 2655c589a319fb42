/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end of a character device: the terminal, a pty, a file, a unix socket, or nothing.
 *
 * Threads: chardev_write(), chardev_hold() and chardev_want() may be called on any thread. All
 * other functions, and the callbacks of the front end, run on the main loop.
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
	/* How many bytes input() can take now. */
	size_t (*room)(void *);
	void (*input)(void *, const uint8_t *, size_t);
	/* The user typed Ctrl-A x. */
	void (*quit)(void *);
	/* More output may come, after chardev_ask() said no. Optional. */
	void (*ready)(void *);
	void *opaque;
	/* The output files of the run (outfile.h). NULL: a file is truncated as soon as it is
	 * opened. */
	struct outputs *outputs;
};

#define CHARDEV_SPECS "stdio, pty, file:PATH[,max=SIZE], unix:PATH or null; SIZE is at least 64K"
/* True if spec has the form of CHARDEV_SPECS. */
bool chardev_spec_ok(const char *spec);
/* Checks everything of chardev_open() that can be checked without creating or changing a file, and
 * claims the file in `outputs`. */
int chardev_check(const char *spec, struct outputs *, struct error *);
/* front is copied. Its callbacks run on the thread of the main loop. */
struct chardev *chardev_open(struct evloop *, const char *spec, const struct chardev_front *,
			     struct error *);
void chardev_close(struct chardev *);
/* Takes all bytes and never waits for a reader. What the reader has not read yet is kept; above a
 * limit, bytes are dropped (outq.h). Writing to a regular file takes as long as its file system
 * needs. */
void chardev_write(struct chardev *, const void *, size_t);
/* If the reader is too far behind, holds the calling vCPU for a while. The caller holds no lock. */
void chardev_hold(struct chardev *);
/* True: the reader keeps up, write more. False: wait for ready(). Main loop. */
bool chardev_ask(struct chardev *);
/* The front end calls this when it has room again after room() returned 0. */
void chardev_want(struct chardev *);

#endif
