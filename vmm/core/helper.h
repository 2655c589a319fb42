/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A second thread for the main thread while it builds the machine: does one thing at a time beside
 * it.
 *
 * Its last job may last: vCPU 0 runs in it. A thread takes 60 us to start, longer than to wake.
 *
 * Threads: everything here is the main thread's. A job may use what the main thread leaves alone
 * until helper_wait() has returned.
 */
#ifndef VMM_CORE_HELPER_H
#define VMM_CORE_HELPER_H

#include <pthread.h>

struct helper;

/* NULL: there can be no thread. All functions take that: jobs are then done at once, here. */
struct helper *helper_new(void);
/* After the jobs that were given. */
void helper_free(struct helper *);

/* Starts fn(arg), after the job before it. */
void helper_run(struct helper *, void (*fn)(void *), void *arg);
pthread_t helper_thread(const struct helper *);
/* Returns when the last job is done. */
void helper_wait(struct helper *);

#endif
