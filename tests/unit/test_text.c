/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/text.h"

static void quoted(void **state)
{
	static const char *const word[][2] = {
		{ "/mnt/a-b_1.img,ro=on", "/mnt/a-b_1.img,ro=on" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "it's", "'it'\\''s'" },
		{ "$(reboot)", "'$(reboot)'" },
		{ "~root", "'~root'" },
		{ "\xc3\xa4", "'\xc3\xa4'" },
		{ "a\nb\tc", "'a\nb\tc'" },
		{ "a\033[2Jb", "'a'\"$(printf '\\033')\"'[2Jb'" },
		{ "\r\177", "''\"$(printf '\\015')\"''\"$(printf '\\177')\"''" },
		/* The control sequence introducer as one character: in UTF-8, and as a single byte.
		 */
		{ "\xc2\x9b", "''\"$(printf '\\302')\"''\"$(printf '\\233')\"''" },
		{ "\x9b", "''\"$(printf '\\233')\"''" },
		{ "\xe2\x82\xac\xf0\x9f\x98\x80", "'\xe2\x82\xac\xf0\x9f\x98\x80'" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(word); i++) {
		scoped_free char *s = text_quote(word[i][0]);

		assert_string_equal(s, word[i][1]);
	}
}

static void typos(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned distance;
	} row[] = {
		{ "", "", 0 },
		{ "", "abc", 3 },
		{ "abc", "", 3 },
		{ "disk", "disk", 0 },
		{ "diks", "disk", 2 },
		{ "memroy", "memory", 2 },
		{ "nvam", "nvram", 1 },
		{ "kitten", "sitting", 3 },
		{ "0123456789abcdef0123456789abcdef", "1", 31 },
		{ "0123456789abcdef0123456789abcdefg", "1", UINT_MAX },
	};
	static const char *const meant[][2] = {
		{ "mem", "memory" },   { "memroy", "memory" }, { "vfio-pci", "vfio" },
		{ "usb-host", "usb" }, { "diks", "disk" },     { "chek", "check" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		assert_int_equal(text_distance(row[i].a, row[i].b), row[i].distance);
		assert_int_equal(text_distance(row[i].b, row[i].a), row[i].distance);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(meant); i++)
		assert_in_range(text_typo(meant[i][0], meant[i][1]), 1, 2);
	assert_int_equal(text_typo("warp", "name"), UINT_MAX);
	assert_int_equal(text_typo("m", "rt"), UINT_MAX);
	assert_int_equal(text_typo("", "rt"), UINT_MAX);
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} size[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 4 * KiB, "4 KiB" },
		{ 1536 * MiB, "1.5 GiB" },
		{ 256 * GiB, "256 GiB" },
		{ UINT64_MAX, "15.9 EiB" },
	};
	char text[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(size); i++) {
		text_size(size[i].bytes, text);
		assert_string_equal(text, size[i].text);
	}
}

/* Returns the number of ranges in the list, or the error; also returns the last range. */
static int walk(const char *list, unsigned max, unsigned *first, unsigned *last)
{
	int ret, n = 0;

	while ((ret = text_range(&list, max, first, last)) > 0)
		n++;
	return ret < 0 ? ret : n;
}

static void ranges(void **state)
{
	static const char *const bad[] = {
		"x",  "-",  "1-", "-1",	 "2-1",	  ",",	  "1,,2", "1,",
		",1", " 1", "1 ", "0x1", "1-2-3", "1,-2", "+1",	  "1\n"
	};
	static const char *const far[] = { "64", "0-64", "3,18446744073709551616",
					   "99999999999999999999999", "4294967296" };
	unsigned first, last;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		if (walk(bad[i], 64, &first, &last) != -EINVAL)
			fail_msg("'%s' passes", bad[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(far); i++)
		assert_int_equal(walk(far[i], 64, &first, &last), -ERANGE);
	assert_int_equal(walk("", 64, &first, &last), 0);
	assert_int_equal(walk("63", 64, &first, &last), 1);
	assert_int_equal(first, 63);
	assert_int_equal(last, 63);
	assert_int_equal(walk("0-3,8,007-0010", 64, &first, &last), 3);
	assert_int_equal(first, 7);
	assert_int_equal(last, 10);
	assert_int_equal(walk("0-4294967294", UINT32_MAX, &first, &last), 1);
	assert_int_equal(last, UINT32_MAX - 1);
}

static void lists(void **state)
{
	(void)state;
	assert_true(text_lists("one two three ", "one"));
	assert_true(text_lists("one two three ", "three"));
	assert_true(text_lists("onetwo two ", "two")); /* not the first place where it stands */
	assert_false(text_lists("one two three ", "on"));
	assert_false(text_lists("one two three ", "wo"));
	assert_false(text_lists("one two three ", "four"));
	assert_false(text_lists("one ", ""));
	assert_false(text_lists("", "one"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(quoted), cmocka_unit_test(sizes),
					    cmocka_unit_test(ranges), cmocka_unit_test(lists),
					    cmocka_unit_test(typos) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
