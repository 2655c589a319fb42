/* SPDX-License-Identifier: BSD-2-Clause */
/* Cleanup at the end of a scope. */
#ifndef VMM_CORE_CLEANUP_H
#define VMM_CORE_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_unlock(pthread_mutex_t **m)
{
	if (*m)
		pthread_mutex_unlock(*m);
}

static inline pthread_mutex_t *scoped_lock_take(pthread_mutex_t *m)
{
	if (m)
		pthread_mutex_lock(m);
	return m;
}

#define scoped_fd   __attribute__((cleanup(cleanup_close))) int
#define scoped_free __attribute__((cleanup(cleanup_free)))
/* Holds the mutex m to the end of the scope. NULL: no mutex. */
#define scoped_lock(m)                                   \
	__attribute__((cleanup(cleanup_unlock), unused)) \
	pthread_mutex_t *scoped_lock_ = scoped_lock_take(m)

#endif
