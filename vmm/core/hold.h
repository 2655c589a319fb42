/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds a vCPU inside a device's callback, because a reader on the host is slow. The wait ends at
 * once if the vCPU must pause or end. A device may hold a vCPU only while it holds no lock.
 *
 * Threads: vCPU threads. On other threads the functions do not wait.
 */
#ifndef VMM_CORE_HOLD_H
#define VMM_CORE_HOLD_H

#include <stdbool.h>

enum hold {
	HOLD_READY, /* fd is ready, or has an error */
	HOLD_TIME,  /* the time has passed */
	HOLD_OVER,  /* the thread must not wait, or must stop waiting */
};

/* The calling thread may be held while *wanted (atomic) is 0. A thread that changes *wanted must
 * then send this thread the signal `kick`, which must have a handler. */
void hold_allow(const int *wanted, int kick);
/* True if the calling thread is a vCPU's that must pause or end, so that long work must stop
 * now. */
bool hold_is_over(void);
/* Waits until fd (-1: none) is ready for these poll() events. */
enum hold hold_until(int fd, short events, unsigned ms);

#endif
