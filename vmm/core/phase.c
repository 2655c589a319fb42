/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/phase.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void phase_begin(struct phase_clock *c)
{
	*c = (struct phase_clock){ .begin = now_ns() };
	c->last = c->begin;
}

void phase_span(struct phase_clock *c, const char *name, uint64_t ns)
{
	unsigned i;

	for (i = 0; i < c->n; i++) {
		if (strcmp(c->phase[i].name, name) == 0) {
			c->phase[i].ns += ns;
			return;
		}
	}
	if (c->n < PHASE_MAX)
		c->phase[c->n++] = (struct phase){ name, ns };
}

void phase_mark(struct phase_clock *c, const char *name)
{
	uint64_t now = now_ns();

	phase_span(c, name, now - c->last);
	c->last = now;
}

uint64_t phase_total_ns(const struct phase_clock *c)
{
	return c->last - c->begin;
}

void phase_text(const struct phase_clock *c, char *buf, size_t len)
{
	size_t at = (size_t)snprintf(buf, len, "start:");
	unsigned i;

	for (i = 0; i < c->n && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, " %s %.1f ms,", c->phase[i].name,
				       (double)c->phase[i].ns / 1e6);
	if (at < len)
		snprintf(buf + at, len - at, " total %.1f ms", (double)phase_total_ns(c) / 1e6);
}
