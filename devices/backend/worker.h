/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that is there only while it has something to do.
 *
 * For work that comes a few times in the life of a machine, and may wait in the kernel for longer
 * than a lock of ours may be held. Between the calls it takes no memory and is no thread.
 *
 * The thread runs where the main thread does, whoever woke it.
 *
 * Threads: worker_wake() from any one at a time (under a lock of the caller's, or from the work
 * itself); init and end from the owner.
 */
#ifndef DEVICES_BACKEND_WORKER_H
#define DEVICES_BACKEND_WORKER_H

#include <pthread.h>
#include <stdbool.h>

struct worker {
	const char *name; /* the caller's; at most 15 characters are seen by the system */
	void (*work)(void *);
	void *arg;
	pthread_mutex_t lock;
	bool alive, wanted, joinable;
	pthread_t tid;
};

void worker_init(struct worker *, const char *name, void (*work)(void *), void *arg);
/* From now on work() is called at least once, on the thread. False: no thread can be had; nothing
 * is called. */
bool worker_wake(struct worker *);
/* Waits for what was asked for. */
void worker_end(struct worker *);

#endif
