/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/block/burst.h"

/* Bursts between two trials that find nothing. A moment that is lost for one request is a part of
 * its latency, so it must be rarer than one in a hundred. Many requests share it. */
#define REST_MAX      255u
#define REST_MAX_MANY 63u

unsigned blk_burst_goal(struct blk_burst *b, unsigned max)
{
	unsigned size = b->size ? b->size : 1;

	if (b->rest)
		b->rest--;
	else
		size *= 2;
	return size < max ? size : max;
}

unsigned blk_longer_rest(unsigned rests, bool many, unsigned max)
{
	unsigned next = many ? 2 * rests + 1 : 4 * rests + 3;

	return next < max ? next : max;
}

void blk_burst_learn(struct blk_burst *b, unsigned goal, unsigned n)
{
	bool more = n > b->size, many = n >= BLK_MANY;

	if (!more && n >= goal)
		return;
	if (more && n >= goal)
		b->rests /= 2;
	else if (!more)
		b->rests = blk_longer_rest(b->rests, many, many ? REST_MAX_MANY : REST_MAX);
	b->rest = more && n >= goal ? 0 : b->rests;
	b->size = n;
}
