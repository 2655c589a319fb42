/* SPDX-License-Identifier: BSD-2-Clause */
/* A unix socket that clients connect to. It replaces a socket that nobody listens on, and is
 * removed at the end if it is still ours. Threads: main loop. */
#ifndef DEVICES_BACKEND_UNIX_LISTENER_H
#define DEVICES_BACKEND_UNIX_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/core/error.h"

struct ev_source;
struct ev_timer;
struct evloop;
struct outputs;

struct unix_listener {
	struct evloop *loop;
	int fd;	    /* -1: not open */
	char *path; /* as it was bound */
	dev_t dev;
	ino_t ino;
	struct ev_source *source;
	struct ev_timer *retry; /* set when accept() failed: then try again */
	bool paused;
	void (*connected)(void *, int fd);
	void *arg;
};

/* The path in an option's argument, for the caller to free. A comma in a path is written twice.
 * QEMU's words may follow (server, server=on, wait=off, nowait): they say what is so here anyway.
 * NULL with *err. */
char *unix_listener_path(const char *arg, struct error *);
/* Checks everything of unix_listener_open() that can be checked without creating or changing a
 * file, and claims the path as an output of the run. */
int unix_listener_check(const char *path, struct outputs *, struct error *);
/* Listens. connected() gets a non-blocking descriptor for each client, and owns it. backlog: how
 * many clients may wait. private: only the owner may connect; otherwise the umask decides. On
 * failure there is nothing to close. */
int unix_listener_open(struct unix_listener *, struct evloop *, const char *path, int backlog,
		       bool private, void (*connected)(void *, int fd), void *arg, struct error *);
/* Sets whether clients wait in the queue instead of being accepted. */
void unix_listener_pause(struct unix_listener *, bool pause);
/* Does nothing if it is all zeroes or not open. */
void unix_listener_close(struct unix_listener *);

#endif
