/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events between threads and with the kernel: a counter behind a descriptor, which is readable
 * while it is not zero (eventfd(2)).
 *
 * The descriptors do not block, so neither call sleeps, and a signal cannot interrupt one (no
 * EINTR). EAGAIN is no error: a full counter is readable already, and an empty one has nothing to
 * take.
 *
 * Threads: any.
 */
#ifndef VMM_CORE_EVENTFD_H
#define VMM_CORE_EVENTFD_H

#include <stdbool.h>

/* Not signalled, closed on exec. The descriptor, or -1 with errno. */
int eventfd_new(void);
/* Adds one. False: the counter was full, or fd is -1 or no eventfd. */
bool eventfd_signal(int fd);
/* Takes all that was added. False: there was nothing, or fd is -1. */
bool eventfd_drain(int fd);
/* Whether there is something to take, which stays there. */
bool eventfd_is_set(int fd);

#endif
