/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PIO and MMIO dispatch.
 *
 * Regions are kept in a list; what a lookup sees is the flat view made from it: sorted segments
 * that do not overlap, each naming the region that wins there. The view is rebuilt whenever the
 * topology changes, which happens when a BAR moves, and searched by bisection on every exit.
 *
 * Threads: see bus.h. A region that takes itself off the bus from inside its own callback (a guest
 * moving ECAM through ECAM) does not wait for others that are inside the same callback: they may be
 * waiting for a lock that the caller holds. Such a region's memory must outlive the bus, as all
 * regions embedded in a device of the machine do.
 */
#include "vmm/core/bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/stats.h"
#include "vmm/core/trap.h"

#define PIO_LIMIT 0x10000u

struct segment {
	uint64_t base, size;
	struct io_region *region;
};

struct bus {
	pthread_rwlock_t lock; /* regions, view, doorbells */
	uint64_t limit;
	struct io_region **regions;
	unsigned n_regions, max_regions;
	struct segment *view;
	unsigned n_view;
	struct doorbell *bells;
	unsigned n_bells;
	const struct doorbell_ops *bell_ops;
	void *bell_opaque;
	struct io_region nothing;  /* what misses are counted for; on no bus */
	pthread_mutex_t idle_lock; /* bus_del() waits here for the last reference */
	pthread_cond_t idle;
};

/* The callbacks this thread is inside of, innermost first. */
struct frame {
	const struct io_region *region;
	struct frame *outer;
};
static _Thread_local struct frame *frames;
static _Thread_local struct trap_table *traps; /* a vCPU's; NULL: nobody counts */

void bus_count_traps(struct trap_table *t)
{
	traps = t;
}

/* Accesses that a device makes while it answers one are not the guest's. */
static uint64_t trap_start(void)
{
	return traps && traps->timed && !frames ? stats_ticks() : 0;
}

static void trap_end(const struct bus *b, const struct io_region *r, uint64_t off, bool write,
		     uint64_t start)
{
	if (!traps || frames)
		return;
	/* A register of a BAR is a dword; ports are single. */
	if (b->limit > PIO_LIMIT)
		off = align_down(off, 4);
	trap_count(traps, r, off, write, start ? stats_ticks() - start : 0);
}

static void explain_nothing(const struct io_region *r, uint64_t off, struct io_place *p)
{
	(void)r;
	(void)off;
	snprintf(p->cause, sizeof(p->cause), "no device answers there");
}

void bus_explain(const struct io_region *r, uint64_t off, struct io_place *p)
{
	snprintf(p->device, sizeof(p->device), "%s", r->name ? r->name : "?");
	p->where[0] = '\0';
	p->cause[0] = '\0';
	p->off = r->base + off;
	if (r->explain)
		r->explain(r, off, p);
}

struct bus *bus_new(uint64_t limit)
{
	struct bus *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	pthread_rwlock_init(&b->lock, NULL);
	pthread_mutex_init(&b->idle_lock, NULL);
	pthread_cond_init(&b->idle, NULL);
	b->limit = limit;
	b->nothing =
		(struct io_region){ .name = "nothing", .size = limit, .explain = explain_nothing };
	return b;
}

void bus_free(struct bus *b)
{
	if (!b)
		return;
	pthread_rwlock_destroy(&b->lock);
	pthread_mutex_destroy(&b->idle_lock);
	pthread_cond_destroy(&b->idle);
	free(b->regions);
	free(b->view);
	free(b->bells);
	free(b);
}

/* The winner at addr, and in *end the first address above it where the winner may change. */
static struct io_region *winner(const struct bus *b, uint64_t addr, uint64_t *end)
{
	struct io_region *best = NULL;
	unsigned i;

	*end = b->limit;
	for (i = 0; i < b->n_regions; i++) {
		struct io_region *r = b->regions[i];

		if (r->base > addr) {
			*end = r->base < *end ? r->base : *end;
			continue;
		}
		if (addr - r->base >= r->size)
			continue;
		if (r->size - (addr - r->base) < *end - addr)
			*end = addr + (r->size - (addr - r->base)); /* inside the limit: checked */
		if (!best || r->priority > best->priority)
			best = r;
	}
	return best;
}

static void view_append(struct bus *b, uint64_t base, uint64_t size, struct io_region *r)
{
	struct segment *last = b->n_view ? &b->view[b->n_view - 1] : NULL;

	if (last && last->region == r && last->base + last->size == base)
		last->size += size;
	else
		b->view[b->n_view++] = (struct segment){ base, size, r };
}

static void view_rebuild(struct bus *b)
{
	uint64_t addr, end;

	b->n_view = 0;
	for (addr = 0; addr < b->limit; addr = end) {
		struct io_region *r = winner(b, addr, &end);

		if (r)
			view_append(b, addr, end - addr, r);
	}
}

/* Room for one region more; n regions make at most 2n - 1 segments. */
static int bus_reserve(struct bus *b)
{
	unsigned n = b->max_regions ? b->max_regions * 2 : 16;
	struct io_region **regions;
	struct segment *view;

	if (b->n_regions < b->max_regions)
		return 0;
	regions = realloc(b->regions, n * sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	b->regions = regions;
	view = realloc(b->view, 2 * n * sizeof(*view));
	if (!view)
		return -ENOMEM;
	b->view = view;
	b->max_regions = n;
	return 0;
}

static bool bus_collides(const struct bus *b, const struct io_region *r)
{
	unsigned i;

	for (i = 0; i < b->n_regions; i++)
		if (b->regions[i]->priority == r->priority &&
		    range_overlaps(r->base, r->size, b->regions[i]->base, b->regions[i]->size))
			return true;
	return false;
}

static int bus_add_locked(struct bus *b, struct io_region *r)
{
	int rc;

	if (r->mapped || bus_collides(b, r))
		return -EEXIST;
	rc = bus_reserve(b);
	if (rc < 0)
		return rc;
	b->regions[b->n_regions++] = r;
	r->mapped = true;
	view_rebuild(b);
	return 0;
}

int bus_add(struct bus *b, struct io_region *r)
{
	int rc;

	if (r->size == 0 || !range_ok(r->base, r->size, b->limit))
		return -ERANGE;
	pthread_rwlock_wrlock(&b->lock);
	rc = bus_add_locked(b, r);
	pthread_rwlock_unlock(&b->lock);
	return rc;
}

static bool inside_callback_of(const struct io_region *r)
{
	const struct frame *f;

	for (f = frames; f; f = f->outer)
		if (f->region == r)
			return true;
	return false;
}

static void region_wait_idle(struct bus *b, struct io_region *r)
{
	scoped_lock(&b->idle_lock);
	while (__atomic_load_n(&r->refs, __ATOMIC_ACQUIRE) & ~1u)
		pthread_cond_wait(&b->idle, &b->idle_lock);
}

/* refs counts in twos; bit 0 says that bus_del() waits for the count to reach zero. */
#define REF_ONE	    2u
#define REF_WAITING 1u

void bus_del(struct bus *b, struct io_region *r)
{
	unsigned i;

	pthread_rwlock_wrlock(&b->lock);
	for (i = 0; i < b->n_regions && b->regions[i] != r; i++)
		;
	if (i < b->n_regions) {
		b->regions[i] = b->regions[--b->n_regions];
		r->mapped = false;
		view_rebuild(b);
	}
	pthread_rwlock_unlock(&b->lock);
	if (inside_callback_of(r))
		return;
	__atomic_fetch_or(&r->refs, REF_WAITING, __ATOMIC_ACQ_REL);
	region_wait_idle(b, r);
	__atomic_fetch_and(&r->refs, ~REF_WAITING, __ATOMIC_RELAXED);
}

static void region_put(struct bus *b, struct io_region *r)
{
	/* Release: what the callback did is visible to the bus_del() that waited for it. */
	if (__atomic_sub_fetch(&r->refs, REF_ONE, __ATOMIC_ACQ_REL) != REF_WAITING)
		return;
	scoped_lock(&b->idle_lock);
	pthread_cond_broadcast(&b->idle);
}

/* What an access of `size` bytes at addr meets. */
enum hit { HIT_MISS, HIT_REGION, HIT_SPLIT };

static enum hit view_find(const struct bus *b, uint64_t addr, unsigned size,
			  const struct segment **out)
{
	unsigned lo = 0, hi = b->n_view;
	const struct segment *s;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		s = &b->view[mid];
		if (addr >= s->base && addr - s->base >= s->size)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == b->n_view || !range_overlaps(addr, size, b->view[lo].base, b->view[lo].size))
		return HIT_MISS;
	s = &b->view[lo];
	*out = s;
	return range_within(addr, size, s->base, s->size) ? HIT_REGION : HIT_SPLIT;
}

static enum hit bus_get(struct bus *b, uint64_t addr, unsigned size, struct io_region **r,
			uint64_t *off)
{
	const struct segment *s;
	enum hit hit;

	pthread_rwlock_rdlock(&b->lock);
	hit = view_find(b, addr, size, &s);
	if (hit == HIT_REGION) {
		*r = s->region;
		*off = addr - s->region->base;
		__atomic_add_fetch(&s->region->refs, REF_ONE, __ATOMIC_RELAXED);
	}
	pthread_rwlock_unlock(&b->lock);
	return hit;
}

static unsigned max_size(const struct io_region_ops *ops)
{
	return ops->max_size ? ops->max_size : 8;
}

/* How much of an access to take first: the lower half, or the lower power of two of an odd size
 * (KVM hands out the pieces of an access that crosses a page as they fall). */
static unsigned first_part(unsigned size)
{
	return 1u << (31 - __builtin_clz(size - 1));
}

static uint64_t region_read(struct io_region *r, uint64_t off, unsigned size)
{
	const struct io_region_ops *ops = r->ops;
	unsigned part;

	if (size < ops->min_size || !ops->read)
		return all_ones(size);
	if (size > max_size(ops) || !is_pow2(size)) {
		part = first_part(size);
		return region_read(r, off, part) | region_read(r, off + part, size - part)
							   << (part * 8);
	}
	return ops->read(r->opaque, off, size) & all_ones(size);
}

static void region_write(struct io_region *r, uint64_t off, unsigned size, uint64_t val)
{
	const struct io_region_ops *ops = r->ops;
	unsigned part;

	if (size < ops->min_size || !ops->write)
		return;
	if (size > max_size(ops) || !is_pow2(size)) {
		part = first_part(size);
		region_write(r, off, part, val & all_ones(part));
		region_write(r, off + part, size - part, val >> (part * 8));
		return;
	}
	ops->write(r->opaque, off, size, val & all_ones(size));
}

uint64_t bus_read(struct bus *b, uint64_t addr, unsigned size)
{
	struct io_region *r;
	uint64_t off, val, start;
	unsigned part;
	enum hit hit;

	if (size == 0 || size > 8 || !range_ok(addr, size, b->limit))
		return all_ones(size);
	start = trap_start();
	hit = bus_get(b, addr, size, &r, &off);
	if (hit == HIT_MISS) {
		trap_end(b, &b->nothing, addr, false, start);
		return all_ones(size);
	}
	if (hit == HIT_SPLIT) {
		part = first_part(size);
		val = bus_read(b, addr, part);
		return val | bus_read(b, addr + part, size - part) << (part * 8);
	}
	frames = &(struct frame){ r, frames };
	{
		scoped_lock(r->lock);
		val = region_read(r, off, size);
	}
	frames = frames->outer;
	trap_end(b, r, off, false, start);
	region_put(b, r);
	return val;
}

/* Without a hypervisor underneath: the bus is the ioeventfd. */
static bool bells_ring(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	bool rang = false;
	unsigned i;

	pthread_rwlock_rdlock(&b->lock);
	for (i = 0; i < b->n_bells && !rang; i++) {
		const struct doorbell *d = &b->bells[i];

		if (d->addr != addr || (d->len && d->len != size) ||
		    (d->datamatch >= 0 && (uint64_t)d->datamatch != val))
			continue;
		rang = eventfd_signal(d->fd);
	}
	pthread_rwlock_unlock(&b->lock);
	return rang;
}

void bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	struct io_region *r;
	uint64_t off, start;
	unsigned part;
	enum hit hit;

	if (size == 0 || size > 8 || !range_ok(addr, size, b->limit))
		return;
	if (!b->bell_ops && __atomic_load_n(&b->n_bells, __ATOMIC_RELAXED) &&
	    bells_ring(b, addr, size, val))
		return;
	start = trap_start();
	hit = bus_get(b, addr, size, &r, &off);
	if (hit == HIT_MISS) {
		trap_end(b, &b->nothing, addr, true, start);
		return;
	}
	if (hit == HIT_SPLIT) {
		part = first_part(size);
		bus_write(b, addr, part, val & all_ones(part));
		bus_write(b, addr + part, size - part, val >> (part * 8));
		return;
	}
	frames = &(struct frame){ r, frames };
	{
		scoped_lock(r->lock);
		region_write(r, off, size, val);
	}
	frames = frames->outer;
	trap_end(b, r, off, true, start);
	region_put(b, r);
}

void bus_set_doorbell_ops(struct bus *b, const struct doorbell_ops *ops, void *opaque)
{
	b->bell_ops = ops;
	b->bell_opaque = opaque;
}

static int bells_append(struct bus *b, const struct doorbell *d)
{
	struct doorbell *bells = realloc(b->bells, (b->n_bells + 1) * sizeof(*bells));

	if (!bells)
		return -ENOMEM;
	b->bells = bells;
	bells[b->n_bells] = *d;
	__atomic_store_n(&b->n_bells, b->n_bells + 1, __ATOMIC_RELAXED);
	return 0;
}

int bus_doorbell_add(struct bus *b, const struct doorbell *d)
{
	int rc;

	if (b->bell_ops)
		return b->bell_ops->add(b->bell_opaque, d);
	pthread_rwlock_wrlock(&b->lock);
	rc = bells_append(b, d);
	pthread_rwlock_unlock(&b->lock);
	return rc;
}

void bus_doorbell_del(struct bus *b, const struct doorbell *d)
{
	unsigned i;

	if (b->bell_ops) {
		b->bell_ops->del(b->bell_opaque, d);
		return;
	}
	pthread_rwlock_wrlock(&b->lock);
	for (i = 0; i < b->n_bells; i++) {
		const struct doorbell *e = &b->bells[i];

		if (e->addr == d->addr && e->len == d->len && e->datamatch == d->datamatch &&
		    e->fd == d->fd) {
			b->bells[i] = b->bells[b->n_bells - 1];
			__atomic_store_n(&b->n_bells, b->n_bells - 1, __ATOMIC_RELAXED);
			break;
		}
	}
	pthread_rwlock_unlock(&b->lock);
}

void bus_each(struct bus *b, void (*fn)(void *, const struct io_region *), void *arg)
{
	pthread_rwlock_rdlock(&b->lock);
	for (unsigned i = 0; i < b->n_regions; i++)
		fn(arg, b->regions[i]);
	pthread_rwlock_unlock(&b->lock);
}
