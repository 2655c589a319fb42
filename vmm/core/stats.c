/* SPDX-License-Identifier: BSD-2-Clause */
/* See stats.h. The rate of the ticks is computed from the progress of both clocks since the start,
 * so no calibration is needed. */
#include "vmm/core/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/evloop.h"

struct stats {
	bool timed;
	uint64_t start_ns, start_ticks;
	struct stats_set *sets, **last_set;
	struct stats_irqs *irqs, **last_irqs;
};

struct stats *stats_new(bool timed)
{
	struct stats *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct stats){ .timed = timed,
			     .start_ns = evloop_now_ns(),
			     .start_ticks = stats_ticks(),
			     .last_set = &s->sets,
			     .last_irqs = &s->irqs };
	return s;
}

void stats_free(struct stats *s)
{
	struct stats_set *set;
	struct stats_irqs *irqs;

	if (!s)
		return;
	while ((set = s->sets)) {
		s->sets = set->next;
		free(set->counter);
		free(set);
	}
	while ((irqs = s->irqs)) {
		s->irqs = irqs->next;
		free(irqs);
	}
	free(s);
}

bool stats_timed(const struct stats *s)
{
	return s && s->timed;
}

struct stats_set *stats_add_set(struct stats *s, const char *kind, const char *name)
{
	struct stats_set *set = s ? calloc(1, sizeof(*set)) : NULL;

	if (!set)
		return NULL;
	snprintf(set->kind, sizeof(set->kind), "%s", kind);
	snprintf(set->name, sizeof(set->name), "%s", name);
	*s->last_set = set;
	s->last_set = &set->next;
	return set;
}

static void add(struct stats_set *set, struct stats_counter c)
{
	struct stats_counter *bigger = set ? realloc(set->counter, (set->n + 1) * sizeof(*bigger))
					   : NULL;

	if (!bigger)
		return;
	set->counter = bigger;
	bigger[set->n++] = c;
}

void stats_add_counter(struct stats_set *set, const char *name, const uint64_t *value)
{
	add(set, (struct stats_counter){ name, value, 1 });
}

void stats_add_histogram(struct stats_set *set, const char *name, const uint64_t buckets[])
{
	add(set, (struct stats_counter){ name, buckets, STATS_BUCKETS });
}

void stats_add_irqs(struct stats *s, void (*each)(void *opaque, stats_irq_fn *, void *arg),
		    void *opaque)
{
	struct stats_irqs *irqs = s ? calloc(1, sizeof(*irqs)) : NULL;

	if (!irqs)
		return;
	irqs->each = each;
	irqs->opaque = opaque;
	*s->last_irqs = irqs;
	s->last_irqs = &irqs->next;
}

static bool set_is_of(const struct stats_set *set, const char *device)
{
	size_t n = strlen(device);

	return strncmp(set->name, device, n) == 0 && (!set->name[n] || set->name[n] == '.');
}

static void remove_sets(struct stats *s, const char *device)
{
	struct stats_set **at = &s->sets, *set;

	while ((set = *at)) {
		if (!set_is_of(set, device)) {
			at = &set->next;
			continue;
		}
		*at = set->next;
		free(set->counter);
		free(set);
	}
	s->last_set = at;
}

void stats_remove(struct stats *s, const char *device, const void *opaque)
{
	struct stats_irqs **at, *irqs;

	if (!s)
		return;
	remove_sets(s, device);
	at = &s->irqs;
	while ((irqs = *at)) {
		if (irqs->opaque != opaque) {
			at = &irqs->next;
			continue;
		}
		*at = irqs->next;
		free(irqs);
	}
	s->last_irqs = at;
}

const struct stats_set *stats_sets(const struct stats *s)
{
	return s ? s->sets : NULL;
}

void stats_each_irq(const struct stats *s, stats_irq_fn *fn, void *arg)
{
	const struct stats_irqs *irqs;

	for (irqs = s ? s->irqs : NULL; irqs; irqs = irqs->next)
		irqs->each(irqs->opaque, fn, arg);
}

uint64_t stats_uptime_ns(const struct stats *s)
{
	return s ? evloop_now_ns() - s->start_ns : 0;
}

uint64_t stats_ns(const struct stats *s, uint64_t ticks)
{
	uint64_t all = s ? stats_ticks() - s->start_ticks : 0;

	return all ? (uint64_t)((double)ticks * (double)stats_uptime_ns(s) / (double)all) : 0;
}
