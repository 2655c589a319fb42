/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/hold.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

struct held {
	const int *wanted; /* NULL: this thread must not be held */
	int kick;
};

static _Thread_local struct held held;

void hold_allow(const int *wanted, int kick)
{
	held = (struct held){ wanted, kick };
}

bool hold_is_over(void)
{
	return held.wanted && __atomic_load_n(held.wanted, __ATOMIC_SEQ_CST);
}

/* The signal is blocked before `wanted` is checked, and ppoll() unblocks it while it sleeps. So a
 * kick that comes after the check ends the sleep. */
enum hold hold_until(int fd, short events, unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };
	struct pollfd p = { .fd = fd, .events = events };
	sigset_t kick, before;
	int n = -1;

	if (!held.wanted || __atomic_load_n(held.wanted, __ATOMIC_SEQ_CST))
		return HOLD_OVER;
	sigemptyset(&kick);
	sigaddset(&kick, held.kick);
	pthread_sigmask(SIG_BLOCK, &kick, &before);
	if (!__atomic_load_n(held.wanted, __ATOMIC_SEQ_CST))
		n = ppoll(&p, 1, &ts, &before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (n < 0)
		return HOLD_OVER;
	return n > 0 ? HOLD_READY : HOLD_TIME;
}
