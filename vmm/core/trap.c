/* SPDX-License-Identifier: BSD-2-Clause */
/* See trap.h. The index is a hash table with linear probing. It holds slot numbers plus one; 0
 * means empty. */
#include "vmm/core/trap.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/bus.h"
#include "vmm/core/stats.h"

#define PAGE 4096u

static unsigned hash(const struct io_region *r, uint64_t off, enum trap_scope scope)
{
	uint64_t h = (uintptr_t)r >> 4 ^ (off << 2 | scope);

	return (unsigned)(h * 0x9e3779b97f4a7c15u >> 54);
}
static_assert(TRAP_INDEX == 1024, "the hash has 10 bits");
static_assert(TRAP_SLOTS < TRAP_INDEX, "probing ends at a free place");

static const struct io_region removed = { .name = "a removed device" };

static void slot_set(struct trap_slot *s, const struct io_region *r, uint64_t off, uint64_t scope)
{
	__atomic_store_n(&s->off, off, __ATOMIC_RELAXED);
	__atomic_store_n(&s->scope, scope, __ATOMIC_RELAXED);
	__atomic_store_n(&s->reads, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->writes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->ticks, 0, __ATOMIC_RELAXED);
	/* A reader that sees the region also sees the rest. */
	__atomic_store_n(&s->region, r, __ATOMIC_RELEASE);
}

/* Its place in the index, or the free one where it belongs. */
static uint16_t *place_of(struct trap_table *t, const struct io_region *r, uint64_t off,
			  uint64_t scope)
{
	unsigned i = hash(r, off, scope);

	for (; t->index[i]; i = (i + 1) & (TRAP_INDEX - 1)) {
		struct trap_slot *s = &t->slot[t->index[i] - 1];

		if (trap_region(s) == r && s->off == off && s->scope == scope)
			break;
	}
	return &t->index[i];
}

/* ---- slots of regions that are gone ---- */

static void slot_fold(struct trap_table *t, struct trap_slot *s)
{
	if (!t->gone) {
		t->gone = s;
		return;
	}
	__atomic_store_n(&s->region, NULL, __ATOMIC_RELAXED);
	count_add(&t->gone->reads, s->reads);
	count_add(&t->gone->writes, s->writes);
	count_add(&t->gone->ticks, s->ticks);
	t->unused++;
}

static void slots_fold(struct trap_table *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (&t->slot[i] != t->gone && trap_region(&t->slot[i]) == &removed)
			slot_fold(t, &t->slot[i]);
	memset(t->index, 0, sizeof(t->index));
	for (unsigned i = 0; i < t->n; i++) {
		const struct trap_slot *s = &t->slot[i];

		if (trap_region(s) && trap_region(s) != &removed)
			*place_of(t, trap_region(s), s->off, s->scope) = (uint16_t)(i + 1);
	}
}

static struct trap_slot *slot_unused(struct trap_table *t)
{
	struct trap_slot *s = t->slot;

	while (trap_region(s))
		s++;
	t->unused--;
	return s;
}

/* ---- counting ---- */

/* Finds the slot, or makes one if fewer than `limit` are in use. NULL: there is no free slot. */
static struct trap_slot *find(struct trap_table *t, const struct io_region *r, uint64_t off,
			      enum trap_scope scope, unsigned limit)
{
	uint16_t *place = place_of(t, r, off, scope);
	struct trap_slot *s;

	if (*place)
		return &t->slot[*place - 1];
	if (__atomic_exchange_n(&t->forgot, false, __ATOMIC_ACQUIRE)) {
		slots_fold(t);
		place = place_of(t, r, off, scope);
	}
	if (t->n - t->unused >= limit)
		return NULL;
	s = t->unused ? slot_unused(t) : &t->slot[t->n];
	slot_set(s, r, off, scope);
	*place = (uint16_t)(s - t->slot + 1);
	/* Pairs with trap_slots(): a reader that sees the new number also sees the slot. */
	if (s == &t->slot[t->n])
		__atomic_store_n(&t->n, t->n + 1, __ATOMIC_RELEASE);
	return s;
}

static void slot_count(struct trap_slot *s, bool write, uint64_t ticks)
{
	count_add(write ? &s->writes : &s->reads, 1);
	count_add(&s->ticks, ticks);
}

/* A separate function, so that the usual case need not save registers. */
static __attribute__((noinline)) void count_any(struct trap_table *t, const struct io_region *r,
						uint64_t off, bool write, uint64_t ticks)
{
	struct trap_slot *s = find(t, r, off, TRAP_REGISTER, TRAP_REGISTERS);

	if (!s)
		s = find(t, r, align_down(off, PAGE), TRAP_PAGE, TRAP_PAGES);
	if (!s)
		s = find(t, r, 0, TRAP_REGION, TRAP_SLOTS);
	if (s)
		slot_count(s, write, ticks);
	else
		count_add(&t->lost, 1);
}

/* Usually the first look finds the slot. */
void trap_count(struct trap_table *t, const struct io_region *r, uint64_t off, bool write,
		uint64_t ticks)
{
	unsigned n = t->index[hash(r, off, TRAP_REGISTER)];
	struct trap_slot *s = n ? &t->slot[n - 1] : NULL;

	if (s && trap_region(s) == r && s->off == off && s->scope == TRAP_REGISTER)
		slot_count(s, write, ticks);
	else
		count_any(t, r, off, write, ticks);
}

unsigned trap_slots(const struct trap_table *t)
{
	return __atomic_load_n(&t->n, __ATOMIC_ACQUIRE);
}

/* The vCPU's thread may put another region into the slot meanwhile. */
bool trap_read(const struct trap_slot *s, struct trap_slot *copy)
{
	do {
		copy->region = __atomic_load_n(&s->region, __ATOMIC_ACQUIRE);
		copy->off = __atomic_load_n(&s->off, __ATOMIC_ACQUIRE);
		copy->scope = __atomic_load_n(&s->scope, __ATOMIC_ACQUIRE);
		copy->reads = __atomic_load_n(&s->reads, __ATOMIC_ACQUIRE);
		copy->writes = __atomic_load_n(&s->writes, __ATOMIC_ACQUIRE);
		copy->ticks = __atomic_load_n(&s->ticks, __ATOMIC_ACQUIRE);
	} while (trap_region(s) != copy->region);
	return copy->region;
}

/* No vCPU counts for the region any more. Their threads do the rest when they next need a slot. */
void trap_forget(struct trap_table *t, const struct io_region *r)
{
	bool any = false;

	for (unsigned i = 0; i < trap_slots(t); i++) {
		if (trap_region(&t->slot[i]) != r)
			continue;
		__atomic_store_n(&t->slot[i].region, &removed, __ATOMIC_RELAXED);
		any = true;
	}
	if (any)
		__atomic_store_n(&t->forgot, true, __ATOMIC_RELEASE);
}
