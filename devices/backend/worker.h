/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that exists only while it has work. It is for work that comes a few times in the life of
 * a machine, and that may wait in the kernel for longer than one of our locks may be held. Between
 * the calls there is no thread, and it uses no memory. The thread runs on the CPUs of the main
 * thread, whoever wakes it. Threads: one thread at a time may call worker_wake() (under a lock of
 * the caller, or from the work itself). The owner calls the others. */
#ifndef DEVICES_BACKEND_WORKER_H
#define DEVICES_BACKEND_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct worker {
	const char *name; /* the caller owns it; the kernel keeps its first 15 characters */
	void (*work)(void *);
	void *arg;
	pthread_mutex_t lock;
	bool alive, wanted, joinable;
	pthread_t tid;
};

void worker_init(struct worker *, const char *name, void (*work)(void *), void *arg);
/* Makes the thread call work() at least once from now on. False: the thread could not be started,
 * and work() is not called. */
bool worker_wake(struct worker *);
/* Waits until all work is done. */
void worker_end(struct worker *);
/* The same, but waits no longer than until this time of evloop_now_ns(). False: the work is not
 * done, and the worker stays as it is. */
bool worker_end_by(struct worker *, uint64_t deadline_ns);

#endif
