/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters, the list of them, and the table of trapped accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/bus.h"
#include "vmm/core/stats.h"
#include "vmm/core/trap.h"

static void test_buckets(void **state)
{
	uint64_t h[STATS_BUCKETS] = { 0 };

	(void)state;
	count_bucket(h, 0);
	count_bucket(h, 1);
	count_bucket(h, 2);
	count_bucket(h, 3);
	count_bucket(h, 4);
	count_bucket(h, (1ull << 30) - 1);
	count_bucket(h, 1ull << 30);
	count_bucket(h, UINT64_MAX);
	assert_int_equal(h[0], 1);
	assert_int_equal(h[1], 1);
	assert_int_equal(h[2], 2);
	assert_int_equal(h[3], 1);
	assert_int_equal(h[30], 1);
	assert_int_equal(h[31], 2);
}

static void each(void *opaque, stats_irq_fn *fn, void *arg)
{
	fn(arg, opaque);
}

static void add_vector(void *arg, const struct stats_irq *irq)
{
	*(unsigned *)arg += irq->vector;
}

static void test_sets(void **state)
{
	struct stats *s = stats_new(true);
	uint64_t a = 5, h[STATS_BUCKETS] = { 0 };
	struct stats_irq one = { .vector = 30 }, two = { .vector = 12 };
	struct stats_set *set = stats_add_set(s, "disk queue", "blk0.0");
	unsigned sum = 0;

	(void)state;
	stats_add_counter(set, "reads", &a);
	stats_add_histogram(set, "latency_ns", h);
	stats_add_set(s, "a name that is longer than there is room", "x");
	count_add(&a, 2);
	set = (struct stats_set *)stats_sets(s);
	assert_string_equal(set->name, "blk0.0");
	assert_int_equal(set->n, 2);
	assert_int_equal(count_read(set->counter[0].value), 7);
	assert_int_equal(set->counter[1].n, STATS_BUCKETS);
	assert_string_equal(set->next->kind, "a name that is ");
	assert_null(set->next->next);
	stats_add_irqs(s, each, &one);
	stats_add_irqs(s, each, &two);
	stats_each_irq(s, add_vector, &sum);
	assert_int_equal(sum, 42);
	assert_true(stats_timed(s));
	stats_free(s);
}

static void test_none(void **state)
{
	(void)state;
	stats_add_counter(stats_add_set(NULL, "a", "b"), "c", NULL);
	stats_add_irqs(NULL, each, NULL);
	stats_each_irq(NULL, add_vector, NULL);
	assert_null(stats_sets(NULL));
	assert_false(stats_timed(NULL));
	stats_free(NULL);
}

static void test_ticks(void **state)
{
	struct stats *s = stats_new(true);
	uint64_t start = stats_ticks(), before = stats_uptime_ns(s), ns;

	(void)state;
	while (stats_uptime_ns(s) - before < 20000000)
		;
	ns = stats_ns(s, stats_ticks() - start);
	/* Both clocks measure the same time, but this process may have been interrupted in between.
	 */
	assert_in_range(ns, 15000000, 200000000);
	stats_free(s);
}

static const struct trap_slot *slot_of(const struct trap_table *t, uint64_t off, uint64_t scope)
{
	for (unsigned i = 0; i < trap_slots(t); i++)
		if (t->slot[i].off == off && t->slot[i].scope == scope)
			return &t->slot[i];
	return NULL;
}

static void test_traps(void **state)
{
	struct trap_table *t = calloc(1, sizeof(*t));
	struct io_region r = { .name = "r" }, other = { .name = "o" };
	uint64_t all = 0;

	(void)state;
	trap_count(t, &r, 8, false, 100);
	trap_count(t, &r, 8, true, 20);
	trap_count(t, &other, 8, true, 0);
	assert_int_equal(trap_slots(t), 2);
	assert_ptr_equal(t->slot[0].region, &r);
	assert_int_equal(t->slot[0].reads, 1);
	assert_int_equal(t->slot[0].writes, 1);
	assert_int_equal(t->slot[0].ticks, 120);
	assert_int_equal(t->slot[1].writes, 1);
	/* If there are too many registers, they are counted by page; too many pages, by region. No
	 * access is lost. */
	for (unsigned page = 0; page < 400; page++)
		for (unsigned reg = 0; reg < 4; reg++)
			trap_count(t, &r, page * 4096 + 16 + reg * 4, false, 0);
	assert_true(trap_slots(t) <= TRAP_SLOTS);
	assert_non_null(slot_of(t, 16, TRAP_REGISTER));
	assert_int_equal(slot_of(t, 200 * 4096, TRAP_PAGE)->reads, 4);
	assert_true(slot_of(t, 0, TRAP_REGION)->reads > 0);
	for (unsigned i = 0; i < trap_slots(t); i++)
		all += t->slot[i].reads;
	assert_int_equal(all, 1 + 400 * 4);
	assert_int_equal(t->lost, 0);
	free(t);
}

static void test_traps_full(void **state)
{
	struct trap_table *t = calloc(1, sizeof(*t));
	struct io_region *r = calloc(TRAP_SLOTS + 10, sizeof(*r));

	(void)state;
	for (unsigned i = 0; i < TRAP_SLOTS + 10; i++)
		trap_count(t, &r[i], 0x1000, true, 0);
	assert_int_equal(trap_slots(t), TRAP_SLOTS);
	assert_int_equal(t->lost, 10);
	free(t);
	free(r);
}

/* Devices come and go. Together they have more registers than the table has slots. */
static void test_traps_forgotten(void **state)
{
	struct trap_table *t = calloc(1, sizeof(*t));
	struct io_region stays = { .name = "stays" }, r = { .name = "r" };
	struct trap_slot s;
	uint64_t all = 0, reads = 0;

	(void)state;
	trap_count(t, &stays, 0, true, 0);
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned reg = 0; reg < 20; reg++)
			trap_count(t, &r, reg * 4, false, 0);
		trap_count(t, &stays, i % 7 * 4, true, 0);
		for (unsigned reg = 0, n = 0; reg < 20; reg++, n = 0) {
			for (unsigned at = 0; at < trap_slots(t); at++)
				n += trap_read(&t->slot[at], &s) && s.region == &r &&
				     s.off == reg * 4 && s.scope == TRAP_REGISTER && s.reads == 1;
			assert_int_equal(n, 1);
		}
		trap_forget(t, &r);
	}
	assert_true(trap_slots(t) <= 7 + 1 + 2 * 20);
	for (unsigned i = 0; i < trap_slots(t); i++) {
		if (!trap_read(&t->slot[i], &s))
			continue;
		reads += s.reads;
		all += s.reads + s.writes;
		assert_true(s.region == &stays || s.writes == 0);
	}
	assert_int_equal(reads, 1000 * 20);
	assert_int_equal(all, 1001 + 1000 * 20);
	assert_int_equal(t->lost, 0);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_traps),
		cmocka_unit_test(test_traps_full),
		cmocka_unit_test(test_traps_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
