/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events between threads and with the kernel: a counter behind a descriptor, which is readable
 * while it is not zero (eventfd(2)).
 *
 * The descriptors are non-blocking, so no call sleeps, and no signal can interrupt one (no EINTR).
 * EAGAIN is not an error: a full counter is already readable, and an empty one has nothing to take.
 *
 * Threads: any.
 */
#ifndef VMM_CORE_EVENTFD_H
#define VMM_CORE_EVENTFD_H

#include <stdbool.h>

/* A new eventfd that is not signalled and is closed on exec. Returns -1 with errno on failure. */
int eventfd_new(void);
/* Adds one to the counter. False: the counter was full, or fd is -1 or not an eventfd. */
bool eventfd_signal(int fd);
/* Sets the counter to zero. False: it was zero before, or fd is -1. */
bool eventfd_drain(int fd);
/* True if the counter is not zero; does not change it. */
bool eventfd_is_set(int fd);

#endif
