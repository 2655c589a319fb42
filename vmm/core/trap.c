/* SPDX-License-Identifier: BSD-2-Clause */
/* See trap.h. The index is a hash table with linear probing. It holds slot numbers plus one; 0
 * means empty. */
#include "vmm/core/trap.h"

#include <assert.h>
#include <stddef.h>

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

/* Finds the slot, or makes one if fewer than `limit` are in use. NULL: there is no free slot. */
static struct trap_slot *find(struct trap_table *t, const struct io_region *r, uint64_t off,
			      enum trap_scope scope, unsigned limit)
{
	unsigned i;

	for (i = hash(r, off, scope); t->index[i]; i = (i + 1) & (TRAP_INDEX - 1)) {
		struct trap_slot *s = &t->slot[t->index[i] - 1];

		if (trap_region(s) == r && s->off == off && s->scope == scope)
			return s;
	}
	if (t->n >= limit)
		return NULL;
	t->slot[t->n] = (struct trap_slot){ .region = r, .off = off, .scope = scope };
	t->index[i] = (uint16_t)(t->n + 1);
	/* Pairs with trap_slots(): a reader that sees the new number also sees the slot. */
	__atomic_store_n(&t->n, t->n + 1, __ATOMIC_RELEASE);
	return &t->slot[t->n - 1];
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

/* The index keeps the slot where it was found before; nobody looks for it any more. */
void trap_forget(struct trap_table *t, const struct io_region *r)
{
	static const struct io_region removed = { .name = "a removed device" };

	for (unsigned i = 0; i < trap_slots(t); i++)
		if (trap_region(&t->slot[i]) == r)
			__atomic_store_n(&t->slot[i].region, &removed, __ATOMIC_RELAXED);
}
