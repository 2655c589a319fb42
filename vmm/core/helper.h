/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A second thread that helps the main thread while it builds the machine; it runs one job at a
 * time.
 *
 * Its last job may run for long, because vCPU 0 runs in it: waking a thread is faster than starting
 * a new one, which takes 60 us.
 *
 * Threads: all functions belong to the main thread. A job may use data that the main thread does
 * not touch until helper_wait() has returned.
 */
#ifndef VMM_CORE_HELPER_H
#define VMM_CORE_HELPER_H

#include <pthread.h>

struct helper;

/* NULL: the thread could not be started. All functions accept NULL; jobs then run at once, in the
 * calling thread. */
struct helper *helper_new(void);
/* Waits until all jobs are done, then ends the thread. */
void helper_free(struct helper *);

/* Starts fn(arg) when the previous job is done. */
void helper_run(struct helper *, void (*fn)(void *), void *arg);
pthread_t helper_thread(const struct helper *);
/* Waits until the last job is done. */
void helper_wait(struct helper *);

#endif
