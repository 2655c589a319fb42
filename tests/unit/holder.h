/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that holds a lock, as a processor holds the root lock while the kernel resets a device:
 * for as long as the test wants, and no longer than 3 s, if the test waits for the lock itself. */
#ifndef HOLDER_H
#define HOLDER_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

struct holder {
	pthread_mutex_t *lock;
	pthread_t thread;
	pthread_barrier_t held;
	_Atomic bool enough, too_long;
};

static inline void *holder_run(void *arg)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct holder *h = arg;

	pthread_mutex_lock(h->lock);
	pthread_barrier_wait(&h->held);
	for (unsigned i = 0; i < 3000 && !h->enough; i++)
		nanosleep(&ms, NULL);
	h->too_long = !h->enough;
	pthread_mutex_unlock(h->lock);
	return NULL;
}

static inline void holder_start(struct holder *h)
{
	h->enough = h->too_long = false;
	pthread_barrier_init(&h->held, NULL, 2);
	pthread_create(&h->thread, NULL, holder_run, h);
	pthread_barrier_wait(&h->held);
}

/* False: it did not hold the lock until now. */
static inline bool holder_stop(struct holder *h)
{
	h->enough = true;
	pthread_join(h->thread, NULL);
	pthread_barrier_destroy(&h->held);
	return !h->too_long;
}

#endif
