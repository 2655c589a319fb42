/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/error.h"

static void test_ranges(void **state)
{
	(void)state;
	assert_true(range_ok(0, 0, 0));
	assert_true(range_ok(4, 4, 8));
	assert_false(range_ok(4, 5, 8));
	assert_false(range_ok(9, 0, 8));
	assert_false(range_ok(UINT64_MAX, 2, UINT64_MAX));
	assert_true(range_within(10, 5, 10, 5));
	assert_false(range_within(9, 2, 10, 5));
	assert_false(range_within(14, 2, 10, 5));
	assert_false(range_within(UINT64_MAX, UINT64_MAX, 10, 5));
	assert_true(range_overlaps(0, 2, 1, 1));
	assert_false(range_overlaps(0, 1, 1, 1));
	assert_false(range_overlaps(0, 0, 0, 1));
	assert_true(range_overlaps(UINT64_MAX, 1, UINT64_MAX - 1, 2));
}

static void test_align(void **state)
{
	(void)state;
	assert_int_equal(align_up(1, 4096), 4096);
	assert_int_equal(align_up(4096, 4096), 4096);
	assert_int_equal(align_up(UINT64_MAX, 4096), 0);
	assert_int_equal(align_down(4097, 4096), 4096);
	assert_true(is_pow2(1));
	assert_false(is_pow2(0));
	assert_false(is_pow2(6));
	assert_int_equal(all_ones(1), 0xff);
	assert_int_equal(all_ones(4), 0xffffffff);
	assert_true(all_ones(7) == UINT64_MAX >> 8);
	assert_true(all_ones(8) == UINT64_MAX);
}

static void test_error(void **state)
{
	struct error e = { 0 };
	char big[600];

	(void)state;
	assert_int_equal(error_set(NULL, -5, "x"), -5);
	assert_int_equal(error_set(&e, -2, "no %s", "file"), -2);
	assert_int_equal(error_prefix(&e, "--disk %d", 7), -2);
	assert_string_equal(e.text, "--disk 7: no file");
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	error_set(&e, -2, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	error_prefix(&e, "pre");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "pre: aaa", 8);
	error_prefix(&e, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_align),
		cmocka_unit_test(test_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
