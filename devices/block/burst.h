/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Learns how many requests a driver adds to its queue before it waits for them (a burst).
 *
 * A kick wakes the queue's thread at the first request of a burst. If the thread has a CPU of its
 * own, it takes the others while they come. But if it shares the CPU with the vCPU, it takes the
 * CPU away from the driver at once, finds one request, and completes it with an interrupt, and the
 * next request needs a kick again. The thread cannot see that more requests would have come. So it
 * tries: once in a while it gives the driver a moment before it takes the request. If more requests
 * came, the trials go on with twice as many. If the driver added nothing in that moment, it waits
 * for us, and the moment was lost: then the trials become rare.
 */
#ifndef DEVICES_BLOCK_BURST_H
#define DEVICES_BLOCK_BURST_H

#include <stdbool.h>

#define BLK_MANY 4u /* so many requests share the cost of a trial */

struct blk_burst {
	unsigned size;	      /* expected requests; 0 and 1: take the first one at once */
	unsigned rest, rests; /* bursts left until the next trial; the last number of them */
};

/* Trials that find nothing become rarer: how many times to go without one now, after `rests` times
 * before, at most max. many: several requests share the cost of a trial. */
unsigned blk_longer_rest(unsigned rests, bool many, unsigned max);
/* The number of requests, at most `max`, to wait for. 1: do not wait. */
unsigned blk_burst_goal(struct blk_burst *, unsigned max);
/* We have waited for `goal` requests, and `n` have come. If n is smaller, the driver has stopped.
 */
void blk_burst_learn(struct blk_burst *, unsigned goal, unsigned n);

#endif
