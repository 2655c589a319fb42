/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot: counters of vCPUs, KVM, devices and interrupts, put together as JSON.
 *
 * Trapped accesses are counted by vCPU, region and register. Here the vCPUs' tables are added up,
 * each register is explained by its device, and what has the same device, place, cause and page
 * becomes one row; rows are sorted by what they cost.
 */
#include "vmm/machine/snapshot.h"
#include "vmm/report/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/bus.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/core/nbio.h"
#include "vmm/core/outfile.h"
#include "vmm/core/outputs.h"
#include "vmm/core/stats.h"
#include "vmm/core/trap.h"
#include "vmm/core/version.h"
#include "vmm/kvm/kvm_stats.h"

#define PAGE	 4096u
#define WRITE_MS 500u /* for a pipe's reader */

static void set_count(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

/* Without the zeroes at the end, which most of them are. */
static json_t *histogram(unsigned n, uint64_t (*value)(const void *, unsigned), const void *arg)
{
	json_t *o = json_array();
	unsigned i;

	while (n && !value(arg, n - 1))
		n--;
	for (i = 0; i < n; i++)
		json_array_append_new(o, json_integer((json_int_t)value(arg, i)));
	return o;
}

static uint64_t kvm_value(const void *stat, unsigned i)
{
	return kvm_stat_value(stat, i);
}

static uint64_t counter_value(const void *counter, unsigned i)
{
	const struct stats_counter *c = counter;

	return count_read(&c->value[i]);
}

/* What a counter has gained since the last snapshot. */
static void set_recent(json_t *o, const json_t *last, uint64_t n)
{
	json_int_t before = json_integer_value(json_object_get(last, "count"));

	set_count(o, "count", n);
	set_count(o, "recent", n - (uint64_t)before);
}

/* ---- vCPUs and KVM ---- */

static json_t *exits(const struct snapshot_of *m, unsigned cpu, const json_t *last)
{
	const struct vcpu_stats *s = vcpu_stats(m->vcpus, cpu);
	json_t *all = json_object();
	unsigned i;

	for (i = 0; i < VCPU_EXITS; i++) {
		uint64_t n = count_read(&s->exits[i]), ticks = count_read(&s->ticks[i]);
		const char *name = vcpu_exit_name(i);
		json_t *o = n ? json_object() : NULL;

		if (!o)
			continue;
		set_recent(o, json_object_get(last, name), n);
		if (stats_timed(m->stats))
			set_count(o, "ns", stats_ns(m->stats, ticks));
		json_object_set_new(all, name, o);
	}
	return all;
}

static void add_kvm_stat(void *arg, const struct kvm_stat *s)
{
	if (s->n == 1)
		set_count(arg, s->name, kvm_stat_value(s, 0));
	else
		json_object_set_new(arg, s->name, histogram(s->n, kvm_value, s));
}

static json_t *kvm_counts(int stats_fd)
{
	json_t *o = json_object();

	if (stats_fd >= 0)
		kvm_stats_read(stats_fd, add_kvm_stat, o);
	return o;
}

static json_t *kvm_recent(json_t *now, const json_t *last)
{
	json_t *o = json_object(), *value;
	const char *name;

	json_object_foreach(now, name, value)
	{
		json_int_t gain = json_integer_value(value) -
				  json_integer_value(json_object_get(last, name));

		if (gain > 0)
			json_object_set_new(o, name, json_integer(gain));
	}
	return o;
}

static json_t *vcpus(const struct snapshot_of *m, const json_t *last)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < vcpus_count(m->vcpus); i++) {
		const json_t *before = json_array_get(last, i);
		json_t *kvm = kvm_counts(vcpu_stats_fd(m->vcpus, i)), *o = json_object();

		set_count(o, "vcpu", i);
		json_object_set_new(o, "exits", exits(m, i, json_object_get(before, "exits")));
		json_object_set_new(o, "kernel_recent",
				    kvm_recent(kvm, json_object_get(before, "kernel")));
		json_object_set_new(o, "kernel", kvm);
		set_count(o, "lost", count_read(&vcpu_stats(m->vcpus, i)->traps.lost));
		json_array_append_new(all, o);
	}
	return all;
}

/* ---- trapped accesses ---- */

struct row {
	const struct io_region *region;
	enum trap_scope scope;
	uint64_t off, reads, writes, ticks;
	struct io_place place;
};

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_slot(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	int d = compare((uintptr_t)a->region, (uintptr_t)b->region);

	d = d ? d : compare(a->scope, b->scope);
	return d ? d : compare(a->off, b->off);
}

/* Same device, place, cause and page. */
static int group_compare(const struct row *a, const struct row *b)
{
	int d = strcmp(a->place.device, b->place.device);

	d = d ? d : strcmp(a->place.where, b->place.where);
	d = d ? d : strcmp(a->place.cause, b->place.cause);
	return d ? d : compare(a->place.off / PAGE, b->place.off / PAGE);
}

static int by_place(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	int d = group_compare(a, b);

	d = d ? d : compare(a->place.off, b->place.off);
	return d ? d : compare(a->scope, b->scope);
}

static unsigned collect(const struct snapshot_of *m, struct row *row)
{
	unsigned cpu, i, n = 0;

	for (cpu = 0; cpu < vcpus_count(m->vcpus); cpu++) {
		const struct trap_table *t = &vcpu_stats(m->vcpus, cpu)->traps;

		for (i = 0; i < trap_slots(t); i++) {
			struct trap_slot s;

			if (!trap_read(&t->slot[i], &s))
				continue;
			row[n++] = (struct row){ .region = s.region,
						 .scope = (enum trap_scope)s.scope,
						 .off = s.off,
						 .reads = s.reads,
						 .writes = s.writes,
						 .ticks = s.ticks };
		}
	}
	return n;
}

static void explain(struct row *r)
{
	bus_explain(r->region, r->off, &r->place);
	if (r->scope != TRAP_REGION)
		return;
	/* Of the region as a whole: a single place would be a guess. */
	snprintf(r->place.device, sizeof(r->place.device), "%s", r->region->name);
	snprintf(r->place.where, sizeof(r->place.where), "elsewhere");
	r->place.cause[0] = '\0';
}

/* Adds the vCPUs' rows up and explains what is left. */
static unsigned merge(struct row *row, unsigned n)
{
	unsigned i, kept = 0;

	qsort(row, n, sizeof(*row), by_slot);
	for (i = 0; i < n; i++) {
		if (kept && by_slot(&row[kept - 1], &row[i]) == 0) {
			row[kept - 1].reads += row[i].reads;
			row[kept - 1].writes += row[i].writes;
			row[kept - 1].ticks += row[i].ticks;
		} else {
			row[kept++] = row[i];
		}
	}
	for (i = 0; i < kept; i++)
		explain(&row[i]);
	return kept;
}

static json_t *register_of(const struct snapshot_of *m, const struct row *r)
{
	static const char *const scope[] = { "register", "page", "region" };
	json_t *o = json_object();

	set_count(o, "offset", r->place.off);
	json_object_set_new(o, "scope", json_string(scope[r->scope]));
	set_count(o, "reads", r->reads);
	set_count(o, "writes", r->writes);
	if (stats_timed(m->stats))
		set_count(o, "ns", stats_ns(m->stats, r->ticks));
	return o;
}

static const json_t *find_last(const json_t *last, const struct row *r)
{
	const json_t *o;
	size_t i;

	json_array_foreach(last, i, o)
	{
		if (!strcmp(stats_string(o, "device"), r->place.device) &&
		    !strcmp(stats_string(o, "where"), r->place.where) &&
		    !strcmp(stats_string(o, "cause"), r->place.cause) &&
		    stats_number(o, "page") == (double)align_down(r->place.off, PAGE))
			return o;
	}
	return NULL;
}

/* One row of the report, of n registers that belong together. */
static json_t *group(const struct snapshot_of *m, const struct row *r, unsigned n,
		     const json_t *last)
{
	json_t *o = json_object(), *registers = json_array();
	uint64_t reads = 0, writes = 0, ticks = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		reads += r[i].reads;
		writes += r[i].writes;
		ticks += r[i].ticks;
		json_array_append_new(registers, register_of(m, &r[i]));
	}
	json_object_set_new(o, "device", json_string(r->place.device));
	json_object_set_new(o, "where", json_string(r->place.where));
	json_object_set_new(o, "cause", json_string(r->place.cause));
	set_count(o, "page", align_down(r->place.off, PAGE));
	set_count(o, "first", r->place.off);
	set_count(o, "last", r[n - 1].place.off);
	set_recent(o, find_last(last, r), reads + writes);
	set_count(o, "reads", reads);
	set_count(o, "writes", writes);
	if (stats_timed(m->stats))
		set_count(o, "ns", stats_ns(m->stats, ticks));
	json_object_set_new(o, "registers", registers);
	return o;
}

static int by_cost(const void *pa, const void *pb)
{
	json_t *const *a = pa, *const *b = pb;
	double d = stats_number(*b, "ns") - stats_number(*a, "ns");

	d = d != 0 ? d : stats_number(*b, "count") - stats_number(*a, "count");
	return d < 0 ? -1 : d > 0;
}

static json_t *groups(const struct snapshot_of *m, struct row *row, unsigned n, const json_t *last)
{
	scoped_free json_t **o = calloc(n + 1, sizeof(json_t *));
	json_t *all = json_array();
	unsigned i, end, kept = 0;

	qsort(row, n, sizeof(*row), by_place);
	for (i = 0; o && i < n; i = end) {
		for (end = i + 1; end < n && group_compare(&row[i], &row[end]) == 0; end++)
			;
		o[kept++] = group(m, &row[i], end - i, last);
	}
	if (o)
		qsort(o, kept, sizeof(*o), by_cost);
	for (i = 0; i < kept; i++)
		json_array_append_new(all, o[i]);
	return all;
}

static json_t *traps(const struct snapshot_of *m, const json_t *last)
{
	scoped_free struct row *row = calloc(vcpus_count(m->vcpus) * TRAP_SLOTS + 1,
					     sizeof(struct row));
	unsigned n = row ? merge(row, collect(m, row)) : 0;

	return groups(m, row, n, last);
}

/* ---- devices and interrupts ---- */

static json_t *devices(const struct snapshot_of *m)
{
	const struct stats_set *s;
	json_t *all = json_array();
	unsigned i;

	for (s = stats_sets(m->stats); s; s = s->next) {
		json_t *o = json_object(), *counters = json_object(), *histograms = json_object();

		for (i = 0; i < s->n; i++) {
			const struct stats_counter *c = &s->counter[i];

			if (c->n > 1)
				json_object_set_new(histograms, c->name,
						    histogram(c->n, counter_value, c));
			else
				set_count(counters, c->name, count_read(c->value));
		}
		json_object_set_new(o, "kind", json_string(s->kind));
		json_object_set_new(o, "name", json_string(s->name));
		json_object_set_new(o, "counters", counters);
		json_object_set_new(o, "histograms", histograms);
		json_array_append_new(all, o);
	}
	return all;
}

static void add_irq(void *arg, const struct stats_irq *irq)
{
	json_t *o = json_object();

	json_object_set_new(o, "device", json_string(irq->device));
	json_object_set_new(o, "kind", json_string(irq->kind));
	set_count(o, "vector", irq->vector);
	json_object_set_new(o, "path", json_string(irq->path));
	if (irq->known)
		set_count(o, "count", irq->count);
	json_array_append_new(arg, o);
}

static json_t *start(const struct phase_clock *c)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < c->n; i++) {
		json_t *o = json_object();

		json_object_set_new(o, "phase", json_string(c->phase[i].name));
		set_count(o, "ns", c->phase[i].ns);
		json_array_append_new(all, o);
	}
	return all;
}

json_t *snapshot_take(const struct snapshot_of *m, const json_t *last)
{
	double now = (double)stats_uptime_ns(m->stats) / 1e9;
	json_t *o = json_object(), *irqs = json_array();

	stats_each_irq(m->stats, add_irq, irqs);
	json_object_set_new(o, "format", json_string(STATS_FORMAT));
	set_count(o, "version", 1);
	json_object_set_new(o, "program", json_string("minivmm " MINIVMM_VERSION));
	if (m->name)
		json_object_set_new(o, "name", json_string(m->name));
	json_object_set_new(o, "seconds", json_real(now));
	json_object_set_new(o, "recent_seconds", json_real(now - stats_number(last, "seconds")));
	json_object_set_new(o, "timed", json_boolean(stats_timed(m->stats)));
	json_object_set_new(o, "start", start(m->phases));
	json_object_set_new(o, "vcpus", vcpus(m, json_object_get(last, "vcpus")));
	json_object_set_new(o, "kernel", kvm_counts(m->kvm_stats_fd));
	json_object_set_new(o, "traps", traps(m, json_object_get(last, "traps")));
	json_object_set_new(o, "interrupts", irqs);
	json_object_set_new(o, "devices", devices(m));
	return o;
}

/* ---- when it is asked for ---- */

int machine_stats_open(struct machine_stats *m, const struct snapshot_of *of,
		       struct outputs *outputs, const char *path, struct error *err)
{
	*m = (struct machine_stats){ .of = *of, .path = path, .fd = -1 };
	if (!path)
		return 0;
	m->made = access(path, F_OK) < 0;
	m->fd = outputs_open(outputs, path, false, err);
	return m->fd < 0 ? error_prefix(err, "--stats") : 0;
}

/* Over what is there already, and shortened afterwards: a reader in between finds no empty file. */
static bool write_file(const struct machine_stats *m, const json_t *snapshot)
{
	scoped_free char *text = json_dumps(snapshot, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	size_t len = text ? strlen(text) : 0;
	struct nbio out = nbio_own(m->fd);

	lseek(m->fd, 0, SEEK_SET); /* a pipe gets one after the other */
	errno = 0;
	if (text && nbio_write_all(&out, text, len, WRITE_MS) == len &&
	    (ftruncate(m->fd, (off_t)len) == 0 || errno == EINVAL))
		return true;
	log_error("--stats=%s: %s", m->path,
		  !text		    ? "out of memory"
		  : errno == EAGAIN ? "nobody reads it"
				    : strerror(errno));
	return false;
}

/* In one piece, so that whoever does not read stderr cannot keep the main loop. */
static void print_text(const json_t *snapshot)
{
	scoped_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	report_text(f, snapshot);
	if (fclose(f) == 0)
		log_text(text, len);
}

bool machine_stats_report(struct machine_stats *m, bool text)
{
	json_t *now = snapshot_take(&m->of, m->last);
	bool written = m->fd < 0 || write_file(m, now);

	if (text)
		print_text(now);
	json_decref(m->last);
	m->last = now;
	return written;
}

void machine_stats_discard(struct machine_stats *m)
{
	if (m->fd >= 0 && m->made)
		outfile_remove(m->path, m->fd);
}

void machine_stats_close(struct machine_stats *m)
{
	json_decref(m->last);
	cleanup_close(&m->fd);
}
