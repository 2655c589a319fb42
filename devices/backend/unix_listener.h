/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A unix socket that clients connect to. It takes the place of one that nobody listens on any more,
 * and is removed at the end if it is still ours.
 *
 * Threads: the main loop's.
 */
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
	struct ev_timer *retry; /* a client could not be accepted */
	bool paused;
	void (*connected)(void *, int fd);
	void *arg;
};

/* Refuses what unix_listener_open() would refuse, as far as it shows without making or changing
 * anything, and claims the path as an output of the run. */
int unix_listener_check(const char *path, struct outputs *, struct error *);
/* Listens. connected() gets each client, non-blocking, to keep. backlog: how many may wait.
 * private: only the owner may connect, else whoever the umask lets. On failure there is nothing to
 * close. */
int unix_listener_open(struct unix_listener *, struct evloop *, const char *path, int backlog,
		       bool private, void (*connected)(void *, int fd), void *arg, struct error *);
/* Whether clients wait in the queue instead of being accepted. */
void unix_listener_pause(struct unix_listener *, bool pause);
/* Of one that is all zeroes or not open: nothing. */
void unix_listener_close(struct unix_listener *);

#endif
