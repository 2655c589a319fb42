/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PIO and MMIO dispatch.
 *
 * Regions are kept in a list, sorted by base; what a lookup sees is the flat view made from it:
 * sorted segments that do not overlap, each naming the region that wins there. The view is rebuilt
 * in one pass whenever the topology changes, which happens when a BAR moves, and searched by
 * bisection on every exit.
 *
 * There are two views, and `seq` says which of them lookups use. A change is made in the other one
 * and published by adding 1 to `seq`. If `seq` has changed at the end of a lookup, the lookup is
 * done again. So no lookup waits for a change, and no change waits for a lookup. When a view has
 * become too small, it is kept until bus_free(), because a lookup may still read it. Views double
 * in size, so the ones that are kept are smaller than the one in use.
 *
 * A region must stay from its lookup until the end of the callback. A thread that has joined notes
 * the region in its own `struct bus_member` and checks `seq` afterwards. bus_del() changes `seq`
 * and looks at the notes afterwards. Both orders are sequentially consistent: either the thread
 * sees the new `seq`, or bus_del() sees the note. In the second case bus_del() marks the note and
 * sleeps, and the thread wakes it when it clears a marked note. Before the check of `seq`, the
 * region may be gone already, so it is not touched.
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
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/stats.h"
#include "vmm/core/trap.h"

#define PIO_LIMIT 0x10000u

#define FIRST_REGIONS 16u
#define NOTE_WAITED   1u /* in a note of struct bus_member */

struct segment {
	uint64_t base, size;
	uint64_t start; /* of the region, whose own fields may have changed for its next place */
	struct io_region *region;
};

/* Fields of a segment and n are atomic: a lookup may look at them while a change that it will
 * notice is made. Loads are acquires and stores releases: whoever has seen one new field sees that
 * `seq` has changed since. Both are plain moves on x86. */
struct view {
	struct view *smaller;
	unsigned capacity, n;
	struct segment s[];
};

struct bus {
	/* What lookups read. */
	uint64_t limit;
	unsigned long seq;
	struct view *view[2]; /* the one in use is view[seq & 1] */
	const struct doorbell_ops *bell_ops;
	unsigned n_bells;
	struct io_region nothing; /* what misses are counted for; on no bus */

	pthread_mutex_t lock; /* all below, refs of regions, who edits the views */
	pthread_cond_t idle;  /* bus_del() waits here until nobody is inside */
	struct io_region **regions;
	unsigned n_regions, max_regions;
	struct bus_member *members;
	struct doorbell *bells;
	void *bell_opaque;
};

/* The callbacks this thread is inside of, innermost first. */
struct frame {
	struct io_region *region;
	struct frame *outer;
	uintptr_t *note; /* NULL: it is counted in the region's refs */
	uint64_t off;
};
static _Thread_local struct frame *frames;
static _Thread_local struct bus_member *member; /* NULL: this thread has not joined */
static _Thread_local struct trap_table *traps;	/* a vCPU's; NULL: nobody counts */

void bus_count_traps(struct trap_table *t)
{
	traps = t;
}

/* Where the access of *f is counted; NULL: nowhere. Accesses that a device makes while it answers
 * one are not the guest's. */
static inline struct trap_table *trap_start(const struct frame *f, uint64_t *start)
{
	struct trap_table *t = f->outer ? NULL : traps;

	*start = t && t->timed ? stats_ticks() : 0;
	return t;
}

static inline void trap_end(struct trap_table *t, const struct bus *b, const struct io_region *r,
			    uint64_t off, bool write, uint64_t start)
{
	if (!t)
		return;
	/* A register of a BAR is a dword; ports are single. */
	if (b->limit > PIO_LIMIT)
		off = align_down(off, 4);
	trap_count(t, r, off, write, start ? stats_ticks() - start : 0);
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
	p->off = off;
	if (r->explain)
		r->explain(r, off, p);
	else /* the region may be moved now, by another thread */
		p->off += __atomic_load_n(&r->base, __ATOMIC_RELAXED);
}

static struct view *view_new(unsigned capacity)
{
	struct view *v = calloc(1, sizeof(*v) + capacity * sizeof(v->s[0]));

	if (v)
		v->capacity = capacity;
	return v;
}

static void view_free(struct view *v)
{
	struct view *smaller;

	for (; v; v = smaller) {
		smaller = v->smaller;
		free(v);
	}
}

/* Room for n regions, which make at most 2n - 1 segments. */
static int bus_resize(struct bus *b, unsigned n)
{
	struct io_region **regions = realloc(b->regions, n * sizeof(*regions));

	if (!regions)
		return -ENOMEM;
	b->regions = regions;
	for (unsigned i = 0; i < 2; i++) {
		struct view *old = b->view[i], *v = view_new(2 * n);

		if (!v)
			return -ENOMEM;
		if (old) {
			memcpy(v->s, old->s, old->n * sizeof(v->s[0]));
			v->n = old->n;
		}
		v->smaller = old;
		__atomic_store_n(&b->view[i], v, __ATOMIC_RELEASE);
	}
	b->max_regions = n;
	return 0;
}

struct bus *bus_new(uint64_t limit)
{
	struct bus *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->idle, NULL);
	b->limit = limit;
	b->nothing =
		(struct io_region){ .name = "nothing", .size = limit, .explain = explain_nothing };
	if (bus_resize(b, FIRST_REGIONS) == 0)
		return b;
	bus_free(b);
	return NULL;
}

void bus_free(struct bus *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->idle);
	view_free(b->view[0]);
	view_free(b->view[1]);
	free(b->regions);
	free(b->bells);
	free(b);
}

static struct bus_seat *seat_of(struct bus_member *m, const struct bus *b)
{
	return &m->seat[m->seat[0].bus != b];
}

static void seat_take(struct bus_member *m, struct bus_seat *seat, struct bus *b)
{
	scoped_lock(&b->lock);
	seat->bus = b;
	seat->next = b->members;
	b->members = m;
}

static void seat_leave(struct bus_member *m, struct bus_seat *seat)
{
	struct bus *b = seat->bus;
	struct bus_member **p;

	scoped_lock(&b->lock);
	for (p = &b->members; *p != m; p = &seat_of(*p, b)->next)
		;
	*p = seat->next;
	seat->bus = NULL;
}

void bus_join(struct bus_member *m, struct bus *pio, struct bus *mmio)
{
	seat_take(m, &m->seat[0], pio);
	seat_take(m, &m->seat[1], mmio);
	member = m;
}

void bus_part(struct bus_member *m)
{
	member = NULL;
	seat_leave(m, &m->seat[1]);
	seat_leave(m, &m->seat[0]);
}

/* The first address past it. bus_add() has checked that it is inside the limit. */
static uint64_t region_end(const struct io_region *r)
{
	return r->base + r->size;
}

static void view_append(struct view *v, uint64_t base, uint64_t size, struct io_region *r)
{
	struct segment *s = v->n ? &v->s[v->n - 1] : NULL;

	if (s && s->region == r && s->base + s->size == base) {
		__atomic_store_n(&s->size, s->size + size, __ATOMIC_RELEASE);
		return;
	}
	s = &v->s[v->n];
	__atomic_store_n(&s->base, base, __ATOMIC_RELEASE);
	__atomic_store_n(&s->size, size, __ATOMIC_RELEASE);
	__atomic_store_n(&s->start, r->base, __ATOMIC_RELEASE);
	__atomic_store_n(&s->region, r, __ATOMIC_RELEASE);
	__atomic_store_n(&v->n, v->n + 1, __ATOMIC_RELEASE);
}

/* Into the list of regions that are open at an address, the winner first. */
static void open_insert(struct io_region **open, struct io_region *r)
{
	while (*open && (*open)->priority > r->priority)
		open = &(*open)->under;
	r->under = *open;
	*open = r;
}

/* One pass over the regions. One that ends under another region is dropped when it comes up. */
static void view_fill(struct view *v, struct io_region *const *regions, unsigned n)
{
	struct io_region *open = NULL;
	uint64_t addr = 0, end;
	unsigned next = 0;

	while (open || next < n) {
		if (!open)
			addr = regions[next]->base;
		while (next < n && regions[next]->base == addr)
			open_insert(&open, regions[next++]);
		end = region_end(open);
		if (next < n && regions[next]->base < end)
			end = regions[next]->base;
		view_append(v, addr, end - addr, open);
		addr = end;
		while (open && region_end(open) <= addr)
			open = open->under;
	}
}

/* Makes the view that is not in use anew, and publishes it. */
static void view_rebuild(struct bus *b)
{
	struct view *v = b->view[(b->seq + 1) & 1];

	__atomic_store_n(&v->n, 0, __ATOMIC_RELEASE);
	view_fill(v, b->regions, b->n_regions);
	/* Pairs with the loads in bus_find(). */
	__atomic_store_n(&b->seq, b->seq + 1, __ATOMIC_SEQ_CST);
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
	unsigned i;
	int ret = 0;

	if (r->mapped || bus_collides(b, r))
		return -EEXIST;
	if (b->n_regions == b->max_regions)
		ret = bus_resize(b, b->max_regions * 2);
	if (ret < 0)
		return ret;
	for (i = b->n_regions++; i > 0 && b->regions[i - 1]->base > r->base; i--)
		b->regions[i] = b->regions[i - 1];
	b->regions[i] = r;
	r->mapped = true;
	view_rebuild(b);
	return 0;
}

int bus_add(struct bus *b, struct io_region *r)
{
	if (r->size == 0 || !range_ok(r->base, r->size, b->limit))
		return -ERANGE;
	scoped_lock(&b->lock);
	return bus_add_locked(b, r);
}

static bool inside_callback_of(const struct io_region *r)
{
	const struct frame *f;

	for (f = frames; f; f = f->outer)
		if (f->region == r)
			return true;
	return false;
}

/* Whether a note says r; if it does, it is marked. */
static bool note_mark(uintptr_t *note, const struct io_region *r)
{
	uintptr_t was = (uintptr_t)r;

	/* Pairs with note_set(). */
	return __atomic_compare_exchange_n(note, &was, was | NOTE_WAITED, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST) ||
	       was == ((uintptr_t)r | NOTE_WAITED);
}

/* Whether a thread is inside r, which is off the bus. Each of those wakes us when it leaves. */
static bool region_busy(struct bus *b, const struct io_region *r)
{
	bool busy = r->refs > 0;
	struct bus_member *m;
	unsigned i;

	for (m = b->members; m; m = seat_of(m, b)->next)
		for (i = 0; i < BUS_DEPTH; i++)
			busy |= note_mark(&m->inside[i], r);
	return busy;
}

void bus_del(struct bus *b, struct io_region *r)
{
	unsigned i;

	scoped_lock(&b->lock);
	for (i = 0; i < b->n_regions && b->regions[i] != r; i++)
		;
	if (i < b->n_regions) {
		b->n_regions--;
		memmove(&b->regions[i], &b->regions[i + 1],
			(b->n_regions - i) * sizeof(b->regions[0]));
		r->mapped = false;
		view_rebuild(b);
	}
	if (inside_callback_of(r))
		return;
	while (region_busy(b, r))
		pthread_cond_wait(&b->idle, &b->lock);
}

/* Pairs with note_mark(): before the check of `seq`. */
static inline void note_set(uintptr_t *note, const struct io_region *r)
{
	__atomic_store_n(note, (uintptr_t)r, __ATOMIC_SEQ_CST);
}

/* What the callback did is visible to the bus_del() that waited for it. */
static void note_clear(struct bus *b, uintptr_t *note)
{
	if (!(__atomic_exchange_n(note, 0, __ATOMIC_ACQ_REL) & NOTE_WAITED))
		return;
	scoped_lock(&b->lock);
	pthread_cond_broadcast(&b->idle);
}

/* What an access of `size` bytes at addr meets. */
enum hit { HIT_MISS, HIT_REGION, HIT_SPLIT };

/* The last of n segments that begins at addr or below it; the first one if none does. */
static inline const struct segment *view_search(const struct view *v, uint64_t addr, unsigned n)
{
	const struct segment *s = v->s;

	while (n > 1) {
		unsigned half = n / 2;

		if (__atomic_load_n(&s[half].base, __ATOMIC_ACQUIRE) <= addr)
			s += half;
		n -= half;
	}
	return s;
}

static __attribute__((always_inline)) inline enum hit view_find(const struct view *v, uint64_t addr,
								unsigned size, struct frame *f)
{
	/* A change shows any n up to capacity, never more. */
	unsigned n = __atomic_load_n(&v->n, __ATOMIC_ACQUIRE);
	const struct segment *s = view_search(v, addr, n);
	uint64_t base = __atomic_load_n(&s->base, __ATOMIC_ACQUIRE), at = addr - base;
	uint64_t len = __atomic_load_n(&s->size, __ATOMIC_ACQUIRE);

	if (!n)
		return HIT_MISS;
	if (at < len && size <= len - at) {
		f->off = addr - __atomic_load_n(&s->start, __ATOMIC_ACQUIRE);
		f->region = __atomic_load_n(&s->region, __ATOMIC_ACQUIRE);
		return HIT_REGION;
	}
	if (at < len)
		return HIT_SPLIT;
	/* It begins in no segment, and may end in the next one. */
	if (base <= addr && ++s == v->s + n)
		return HIT_MISS;
	return __atomic_load_n(&s->base, __ATOMIC_ACQUIRE) - addr < size ? HIT_SPLIT : HIT_MISS;
}

static __attribute__((noinline)) enum hit find_locked(struct bus *b, uint64_t addr, unsigned size,
						      struct frame *f)
{
	enum hit hit;

	scoped_lock(&b->lock);
	f->note = NULL;
	hit = view_find(b->view[b->seq & 1], addr, size, f);
	if (hit == HIT_REGION)
		f->region->refs++;
	return hit;
}

/* This thread's next free note for b; NULL: there is none. */
static inline uintptr_t *next_note(const struct bus *b, const struct frame *outer)
{
	struct bus_member *m = member;

	if (!m || (m->seat[0].bus != b && m->seat[1].bus != b))
		return NULL;
	if (!outer)
		return m->inside;
	return outer->note && outer->note != &m->inside[BUS_DEPTH - 1] ? outer->note + 1 : NULL;
}

/* HIT_REGION: *f says which, and the region stays until frame_end(). */
static __attribute__((always_inline)) inline enum hit bus_find(struct bus *b, uint64_t addr,
							       unsigned size, struct frame *f)
{
	unsigned long seq;
	enum hit hit;

	f->note = next_note(b, f->outer);
	if (!f->note)
		return find_locked(b, addr, size, f);
	for (;;) {
		seq = __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE);
		hit = view_find(__atomic_load_n(&b->view[seq & 1], __ATOMIC_ACQUIRE), addr, size,
				f);
		if (hit == HIT_REGION)
			note_set(f->note, f->region);
		if (__atomic_load_n(&b->seq, __ATOMIC_SEQ_CST) == seq)
			return hit;
		if (hit == HIT_REGION)
			note_clear(b, f->note);
	}
}

static void frame_end(struct bus *b, const struct frame *f)
{
	if (f->note) {
		note_clear(b, f->note);
		return;
	}
	scoped_lock(&b->lock);
	if (--f->region->refs == 0)
		pthread_cond_broadcast(&b->idle);
}

static inline unsigned max_size(const struct io_region_ops *ops)
{
	return ops->max_size ? ops->max_size : 8;
}

/* How much of an access to take first: the lower half, or the lower power of two of an odd size
 * (KVM hands out the pieces of an access that crosses a page as they fall). */
static unsigned first_part(unsigned size)
{
	return 1u << (31 - __builtin_clz(size - 1));
}

static inline bool size_fits(const struct io_region_ops *ops, unsigned size)
{
	return size >= ops->min_size && size <= max_size(ops) && is_pow2(size);
}

static __attribute__((noinline)) uint64_t region_read_odd(struct io_region *r, uint64_t off,
							  unsigned size)
{
	const struct io_region_ops *ops = r->ops;
	unsigned part;

	if (size < ops->min_size || !ops->read)
		return all_ones(size);
	if (size_fits(ops, size))
		return ops->read(r->opaque, off, size) & all_ones(size);
	part = first_part(size);
	return region_read_odd(r, off, part) | region_read_odd(r, off + part, size - part)
						       << (part * 8);
}

static inline uint64_t region_read(struct io_region *r, uint64_t off, unsigned size)
{
	const struct io_region_ops *ops = r->ops;

	return size_fits(ops, size) && ops->read ? ops->read(r->opaque, off, size) & all_ones(size)
						 : region_read_odd(r, off, size);
}

static __attribute__((noinline)) void region_write_odd(struct io_region *r, uint64_t off,
						       unsigned size, uint64_t val)
{
	const struct io_region_ops *ops = r->ops;
	unsigned part;

	if (size < ops->min_size || !ops->write)
		return;
	if (size_fits(ops, size)) {
		ops->write(r->opaque, off, size, val & all_ones(size));
		return;
	}
	part = first_part(size);
	region_write_odd(r, off, part, val);
	region_write_odd(r, off + part, size - part, val >> (part * 8));
}

static inline void region_write(struct io_region *r, uint64_t off, unsigned size, uint64_t val)
{
	const struct io_region_ops *ops = r->ops;

	if (size_fits(ops, size) && ops->write)
		ops->write(r->opaque, off, size, val & all_ones(size));
	else
		region_write_odd(r, off, size, val);
}

/* An access that lies in more than one segment, or partly in one. Over the end of the bus there is
 * nothing. */
static __attribute__((noinline)) uint64_t split_read(struct bus *b, uint64_t addr, unsigned size)
{
	unsigned part = first_part(size);
	uint64_t low;

	if (!range_ok(addr, size, b->limit))
		return all_ones(size);
	low = bus_read(b, addr, part);
	return low | bus_read(b, addr + part, size - part) << (part * 8);
}

static __attribute__((noinline)) void split_write(struct bus *b, uint64_t addr, unsigned size,
						  uint64_t val)
{
	unsigned part = first_part(size);

	if (!range_ok(addr, size, b->limit))
		return;
	bus_write(b, addr, part, val & all_ones(part));
	bus_write(b, addr + part, size - part, val >> (part * 8));
}

uint64_t bus_read(struct bus *b, uint64_t addr, unsigned size)
{
	struct trap_table *t;
	struct frame f;
	uint64_t val, start;
	enum hit hit;

	if (size == 0 || size > 8)
		return all_ones(size);
	f.outer = frames;
	t = trap_start(&f, &start);
	hit = bus_find(b, addr, size, &f);
	if (hit == HIT_MISS) {
		trap_end(t, b, &b->nothing, addr, false, start);
		return all_ones(size);
	}
	if (hit == HIT_SPLIT)
		return split_read(b, addr, size);
	frames = &f;
	{
		scoped_lock(f.region->lock);
		val = region_read(f.region, f.off, size);
	}
	frames = f.outer;
	trap_end(t, b, f.region, f.off, false, start);
	frame_end(b, &f);
	return val;
}

/* Without a hypervisor underneath: the bus is the ioeventfd. */
static bool bells_ring(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	bool rang = false;
	unsigned i;

	scoped_lock(&b->lock);
	for (i = 0; i < b->n_bells && !rang; i++) {
		const struct doorbell *d = &b->bells[i];

		if (d->addr != addr || (d->len && d->len != size) ||
		    (d->datamatch >= 0 && (uint64_t)d->datamatch != val))
			continue;
		rang = eventfd_signal(d->fd);
	}
	return rang;
}

void bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	struct trap_table *t;
	struct frame f;
	uint64_t start;
	enum hit hit;

	if (size == 0 || size > 8)
		return;
	if (!b->bell_ops && __atomic_load_n(&b->n_bells, __ATOMIC_RELAXED) &&
	    bells_ring(b, addr, size, val))
		return;
	f.outer = frames;
	t = trap_start(&f, &start);
	hit = bus_find(b, addr, size, &f);
	if (hit == HIT_MISS) {
		trap_end(t, b, &b->nothing, addr, true, start);
		return;
	}
	if (hit == HIT_SPLIT) {
		split_write(b, addr, size, val);
		return;
	}
	frames = &f;
	{
		scoped_lock(f.region->lock);
		region_write(f.region, f.off, size, val);
	}
	frames = f.outer;
	trap_end(t, b, f.region, f.off, true, start);
	frame_end(b, &f);
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
	if (b->bell_ops)
		return b->bell_ops->add(b->bell_opaque, d);
	scoped_lock(&b->lock);
	return bells_append(b, d);
}

void bus_doorbell_del(struct bus *b, const struct doorbell *d)
{
	unsigned i;

	if (b->bell_ops) {
		b->bell_ops->del(b->bell_opaque, d);
		return;
	}
	scoped_lock(&b->lock);
	for (i = 0; i < b->n_bells; i++) {
		const struct doorbell *e = &b->bells[i];

		if (e->addr == d->addr && e->len == d->len && e->datamatch == d->datamatch &&
		    e->fd == d->fd) {
			b->bells[i] = b->bells[b->n_bells - 1];
			__atomic_store_n(&b->n_bells, b->n_bells - 1, __ATOMIC_RELAXED);
			break;
		}
	}
}

void bus_each(struct bus *b, void (*fn)(void *, const struct io_region *), void *arg)
{
	scoped_lock(&b->lock);
	for (unsigned i = 0; i < b->n_regions; i++)
		fn(arg, b->regions[i]);
}
