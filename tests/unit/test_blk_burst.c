/* SPDX-License-Identifier: BSD-2-Clause */
/* How the size of a driver's bursts is learned. The driver here adds the same number of requests
 * each time, and then waits for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/block/burst.h"

#define MAX 16u

/* One burst. Returns 1 if a moment was lost because more was expected than came. */
static unsigned burst(struct blk_burst *b, unsigned adds)
{
	unsigned goal = blk_burst_goal(b, MAX);

	assert_in_range(goal, 1, MAX);
	if (goal < 2)
		return 0;
	blk_burst_learn(b, goal, adds < goal ? adds : goal);
	return adds < goal;
}

static void deep_is_found(void **state)
{
	struct blk_burst b = { 0 };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(burst(&b, 100), 0);
	assert_int_equal(b.size, MAX);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(burst(&b, 100), 0);
	/* There may be less space than that. */
	assert_int_equal(blk_burst_goal(&b, 3), 3);
	assert_int_equal(blk_burst_goal(&b, 1), 1);
}

static void one_at_a_time_is_left_alone(void **state)
{
	struct blk_burst b = { 0 };
	unsigned lost = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		lost += burst(&b, 1);
	assert_in_range(lost, 1, 50);
	assert_int_equal(b.size, 1);
	/* It changes its mind. */
	for (unsigned i = 0; b.size < MAX; i++) {
		assert_true(i < 600);
		burst(&b, MAX);
	}
}

static void size_is_found(void **state)
{
	(void)state;
	for (unsigned size = 2; size < MAX; size++) {
		struct blk_burst b = { 0 };
		unsigned lost = 0;

		for (unsigned i = 0; i < 100; i++)
			burst(&b, size);
		assert_int_equal(b.size, size);
		for (unsigned i = 0; i < 1000; i++)
			lost += burst(&b, size);
		assert_in_range(lost, 0, 20);
	}
}

/* Smaller bursts now and then: what is lost is bounded. */
static void sizes_that_change(void **state)
{
	struct blk_burst b = { 0 };
	unsigned lost = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		lost += burst(&b, i % 3 + 1);
	assert_in_range(lost, 1, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deep_is_found),
		cmocka_unit_test(one_at_a_time_is_left_alone),
		cmocka_unit_test(size_is_found),
		cmocka_unit_test(sizes_that_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
