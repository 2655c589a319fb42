/* SPDX-License-Identifier: BSD-2-Clause */
/* vmm/core/keys.c: arguments are read by a table like that of a device. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/keys.h"

struct toy {
	const char *path, *label, *nodes;
	bool on;
	uint64_t n;
	unsigned kind;
	uint8_t mac[6];
};

#define IN(field) offsetof(struct toy, field)
static const struct key toy_keys[] = {
	{ "PATH", KEY_STRING, IN(path), 0, 0, { 0 } },
	{ "label", KEY_STRING, IN(label), 0, 4, { 0 } },
	{ "nodes", KEY_LIST, IN(nodes), 0, 0, { 0 } },
	{ "on", KEY_FLAG, IN(on), 0, 0, { 0 } },
	{ "n", KEY_NUMBER, IN(n), 2, 9, { 0 } },
	{ "kind", KEY_CHOICE, IN(kind), 0, 0, { "red", "green" } },
	{ "mac", KEY_MAC, IN(mac), 0, 0, { 0 } },
	{ 0 },
};

static int toy_read(struct toy *t, struct key_pool *pool, const char *arg, bool positional,
		    struct error *err)
{
	struct key_reader r = {
		.keys = toy_keys, .positional = positional, .pool = pool, .base = t
	};

	*t = (struct toy){ 0 };
	*err = (struct error){ 0 };
	return keys_read(&r, arg, err);
}

static void every_kind(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	struct key_pool pool = { 0 };
	struct error err;
	struct toy t;

	(void)state;
	assert_int_equal(toy_read(&t, &pool,
				  "a,,b,label=four,nodes=0,2-3,8,on,n=0x9,kind=green,"
				  "mac=52:54:00:12:34:56",
				  true, &err),
			 0);
	assert_string_equal(t.path, "a,b");
	assert_string_equal(t.label, "four");
	assert_string_equal(t.nodes, "0,2-3,8");
	assert_true(t.on);
	assert_int_equal(t.n, 9);
	assert_int_equal(t.kind, 1);
	assert_memory_equal(t.mac, mac, 6);
	assert_int_equal(toy_read(&t, &pool, "on=off,n=2", false, &err), 0);
	assert_false(t.on);
	key_pool_free(&pool);
	assert_null(pool.string);
}

static void refused(void **state)
{
	static const char *const wrong[][2] = {
		{ "p,size=1", "unknown 'size=1': use label, nodes, on, n, kind, mac" },
		{ "p,PATH=q", "unknown 'PATH=q'" },
		{ "p,7", "unknown '7'" },
		{ "p,label=fives", "label takes 1 to 4 characters" },
		{ "p,label", "label takes 1 to 4 characters" },
		{ "p,label=", "label takes 1 to 4 characters" },
		{ "p,on=maybe", "on takes on or off" },
		{ "p,n=10", "n takes a number from 2 to 9" },
		{ "p,n=-3", "n takes a number from 2 to 9" },
		{ "p,n=3K", "n takes a number from 2 to 9" },
		{ "p,n=99999999999999999999", "n takes a number from 2 to 9" },
		{ "p,kind=blue", "kind takes red or green" },
		{ "p,mac=53:54:00:12:34:56", "mac takes a unicast address" },
		{ "p,mac=52:54:00:12:34", "mac takes a unicast address" },
		{ "p,,,", "" },
		{ "p,n=3,on,n=4", "n is given twice" },
		{ "p,on,on", "on is given twice" },
	};
	struct key_pool pool = { 0 };
	struct error err;
	struct toy t;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(toy_read(&t, &pool, wrong[i][0], true, &err), -EINVAL);
		assert_non_null(strstr(err.text, wrong[i][1]));
	}
	key_pool_free(&pool);
}

static void numbers(void **state)
{
	uint64_t n;

	(void)state;
	assert_int_equal(key_parse_number("4", MiB, &n), 0);
	assert_int_equal(n, 4 * MiB);
	assert_int_equal(key_parse_number("4g", MiB, &n), 0);
	assert_int_equal(n, 4 * GiB);
	assert_int_equal(key_parse_number("4GB", MiB, &n), 0);
	assert_int_equal(key_parse_number("4GBB", MiB, &n), -EINVAL);
	assert_int_equal(key_parse_number("4G", 0, &n), -EINVAL);
	assert_int_equal(key_parse_number(" 4", MiB, &n), -EINVAL);
	assert_int_equal(key_parse_number("4 ", MiB, &n), -EINVAL);
	assert_int_equal(key_parse_number("4 B", MiB, &n), -EINVAL);
	assert_int_equal(key_parse_number("16777216T", MiB, &n), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_kind), cmocka_unit_test(refused),
					    cmocka_unit_test(numbers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
