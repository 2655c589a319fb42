/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding a processor back inside a device's callback, because somebody outside is slow. The
 * waiting ends at once when the processor's thread is wanted elsewhere (a pause, the end), so a
 * device may do it where it holds no lock, and nowhere else.
 *
 * Threads: a processor's. On any other there is no waiting.
 */
#ifndef VMM_CORE_HOLD_H
#define VMM_CORE_HOLD_H

#include <stdbool.h>

enum hold {
	HOLD_READY, /* fd is ready, or in error */
	HOLD_TIME,  /* the time is up */
	HOLD_OVER,  /* the thread must not wait (any longer) */
};

/* The calling thread may be held as long as *wanted (atomic) is 0. Whoever changes that sends it
 * the signal `kick` afterwards, which has a handler. */
void hold_allow(const int *wanted, int kick);
/* Whether the calling thread is a processor's that is wanted elsewhere, so that what takes long has
 * to be put off. */
bool hold_is_over(void);
/* Waits until fd (-1: none) is ready for these poll() events. */
enum hold hold_until(int fd, short events, unsigned ms);

#endif
