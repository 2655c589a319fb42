/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures where the time of a start goes: phases that follow each other, and spans that run at the
 * same time.
 *
 * Threads: main thread. Each phase costs one reading of the clock, and no allocation.
 */
#ifndef VMM_CORE_PHASE_H
#define VMM_CORE_PHASE_H

#include <stddef.h>
#include <stdint.h>

#define PHASE_MAX 16

struct phase_clock {
	uint64_t begin, last; /* ns, CLOCK_MONOTONIC */
	unsigned n;
	struct phase {
		const char *name; /* a literal */
		uint64_t ns;
	} phase[PHASE_MAX];
};

void phase_begin(struct phase_clock *);
/* The time since the last mark belongs to the phase `name`. If the name exists already, the time is
 * added to it. */
void phase_mark(struct phase_clock *, const char *name);
/* Adds a span of ns nanoseconds that ran during one or several phases. */
void phase_span(struct phase_clock *, const char *name, uint64_t ns);
uint64_t phase_total_ns(const struct phase_clock *); /* to the last mark */
/* "start: frame 1.2 ms, ..., total 130.4 ms" */
void phase_text(const struct phase_clock *, char *buf, size_t len);

#endif
