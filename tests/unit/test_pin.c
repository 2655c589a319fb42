/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU lists, and the choice of CPUs in sysfs trees of several hosts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vmm/placement/pin.h"

#define CPU "sys/devices/system/cpu/"

static struct error err;
static struct pin_host h;
static unsigned cpu[64];

/* A host of n CPUs; with smt, CPU i and i + n/2 are one core. */
static void host(unsigned n, bool smt, const char *online, const char *isolated)
{
	char text[80];
	unsigned i;

	put_nothing("sys");
	snprintf(text, sizeof(text), "0-%u", n - 1);
	put(text, CPU "present");
	put(online ? online : text, CPU "online");
	put(isolated, CPU "isolated");
	for (i = 0; i < n; i++) {
		if (smt)
			snprintf(text, sizeof(text), "%u,%u", i % (n / 2), i % (n / 2) + n / 2);
		else
			snprintf(text, sizeof(text), "%u", i);
		put(text, CPU "cpu%u/topology/thread_siblings_list", i);
	}
}

/* Reads the tree. The process may use the CPUs of `allowed`; NULL: all CPUs that are online. */
static void look(int node, const char *allowed)
{
	unsigned list[64];
	int n, i;

	err = (struct error){ 0 };
	assert_int_equal(pin_read(root, node, &h, &err), 0);
	h.affinity = h.allowed = h.online;
	if (!allowed)
		return;
	n = pin_list_parse(allowed, list, 64);
	assert_true(n > 0);
	memset(&h.allowed, 0, sizeof(h.allowed));
	for (i = 0; i < n; i++)
		pin_add(&h.allowed, list[i]);
}

static void chosen(unsigned n, unsigned threads, int shortfall, const unsigned *want)
{
	unsigned i;

	memset(cpu, 0xff, sizeof(cpu));
	assert_int_equal(pin_choose(root, &h, n, threads, cpu, &err), shortfall);
	for (i = 0; i < n; i++)
		assert_int_equal(cpu[i], want[i]);
	assert_int_equal(cpu[n], ~0u);
}

#define CHOSEN(threads, shortfall, ...)                                                        \
	chosen(sizeof((unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned), (threads), (shortfall), \
	       (const unsigned[]){ __VA_ARGS__ })

static void test_lists(void **state)
{
	static const char *const bad[] = { "",	 "a",  "1-",	"-1",	"3-2",	  "1,,2",
					   "1,", ",1", "1-2-3", "1 2",	"8192",	  "99999999999",
					   "1x", "+1", "0x1",	"1,-2", "4-99999" };
	unsigned i;

	(void)state;
	assert_int_equal(pin_list_parse("2-5,10", cpu, 64), 5);
	assert_int_equal(cpu[0], 2);
	assert_int_equal(cpu[3], 5);
	assert_int_equal(cpu[4], 10);
	assert_int_equal(pin_list_parse("7,3,7", cpu, 64), 3);
	assert_int_equal(cpu[1], 3);
	cpu[2] = 77;
	assert_int_equal(pin_list_parse("0-8191", cpu, 2), 8192);
	assert_int_equal(cpu[1], 1);
	assert_int_equal(cpu[2], 77);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (pin_list_parse(bad[i], cpu, 64) != -EINVAL)
			fail_msg("'%s' passes", bad[i]);
}

static void test_print(void **state)
{
	struct pin_mask m = { 0 };
	char buf[32], small[4];

	(void)state;
	pin_list_print(&m, buf, sizeof(buf));
	assert_string_equal(buf, "");
	pin_add(&m, 0);
	pin_add(&m, 4);
	pin_add(&m, 5);
	pin_add(&m, 8191);
	pin_list_print(&m, buf, sizeof(buf));
	assert_string_equal(buf, "0,4-5,8191");
	pin_list_print(&m, small, sizeof(small));
	assert_string_equal(small, "0,4");
}

/* Two nodes with SMT. The host works on the core of CPU 0, so it is the last one of node 0. */
static void test_two_nodes(void **state)
{
	(void)state;
	host(16, true, NULL, "");
	put("0-3,8-11", "sys/devices/system/node/node0/cpulist");
	put("4-7,12-15", "sys/devices/system/node/node1/cpulist");
	look(0, NULL);
	CHOSEN(1, 0, 1, 2, 3);
	CHOSEN(1, 0, 1, 2, 3, 9);
	CHOSEN(2, 0, 1, 9, 2, 10);
	CHOSEN(2, 0, 1, 9, 2, 10, 3, 11, 0, 8);
	CHOSEN(2, PIN_OTHER_NODE, 1, 9, 2, 10, 3, 11, 0, 8, 4, 12);
	look(1, NULL);
	CHOSEN(1, 0, 4, 5, 6, 7);
	CHOSEN(1, 0, 4, 5, 6, 7, 12);
	CHOSEN(2, 0, 4, 12);
	CHOSEN(4, PIN_SPLIT_CORES, 4, 12, 5, 13);
	look(-1, NULL);
	CHOSEN(1, 0, 1, 2, 3, 4, 5, 6, 7, 9);
	look(1, "0-5,12");
	CHOSEN(2, 0, 4, 12);
	CHOSEN(2, PIN_SPLIT_CORES | PIN_OTHER_NODE, 4, 12, 5, 1);
	assert_int_equal(pin_choose(root, &h, 8, 1, cpu, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "has only 7"));
}

static void test_isolated(void **state)
{
	(void)state;
	host(16, true, NULL, "2-3,6-7,10-11,14-15");
	put("0-3,8-11", "sys/devices/system/node/node0/cpulist");
	put("4-7,12-15", "sys/devices/system/node/node1/cpulist");
	look(0, NULL);
	CHOSEN(1, 0, 2, 3);
	/* An isolated sibling comes before a CPU that is not isolated. */
	CHOSEN(1, 0, 2, 3, 10, 11, 1);
	CHOSEN(2, 0, 2, 10, 3, 11, 1, 9);
	look(1, NULL);
	CHOSEN(2, 0, 6, 14, 7, 15, 4, 12);
}

static void test_offline(void **state)
{
	static const unsigned four[] = { 0, 1, 2, 3 }, gone[] = { 1, 8 }, off[] = { 4, 7 };

	(void)state;
	host(8, false, "0-4,6", "");
	look(-1, NULL);
	CHOSEN(1, 0, 1, 2, 3, 4, 6);
	CHOSEN(1, 0, 1, 2, 3, 4, 6, 0);
	CHOSEN(2, PIN_SPLIT_CORES, 1, 2);
	assert_int_equal(pin_choose(root, &h, 7, 1, cpu, &err), -ENOSPC);
	assert_int_equal(pin_check(&h, four, 4, &err), 0);
	assert_int_equal(pin_check(&h, gone, 2, &err), -ENODEV);
	assert_non_null(strstr(err.text, "CPU 8 does not exist: this host has 0-7"));
	assert_int_equal(pin_check(&h, off, 2, &err), -ENODEV);
	assert_non_null(strstr(err.text, "CPU 7 is offline"));
	look(-1, "0-2");
	assert_int_equal(pin_check(&h, four, 4, &err), -EPERM);
	assert_non_null(strstr(err.text, "CPU 3 is not allowed for this process, which may use 0-2"));
}

static void test_no_sysfs(void **state)
{
	(void)state;
	assert_int_equal(pin_read("/nowhere", -1, &h, &err), -ENOENT);
}

/* On this machine: the remaining CPUs are those that we had, without the pinned ones. */
static void test_self(void **state)
{
	struct pin_mask before = { 0 }, now = { 0 };
	unsigned i, n = 0;

	(void)state;
	assert_true(sched_getaffinity(0, sizeof(before), before.s) == 0);
	assert_int_equal(pin_read("", -1, &h, &err), 0);
	assert_int_equal(pin_allowed(&h, &err), 0);
	assert_memory_equal(&h.affinity, &before, sizeof(before));
	for (i = 0; i < PIN_CPUS && n < 64; i++)
		if (pin_has(&before, i))
			cpu[n++] = i;
	if (pin_count(&before) > 1 && n < 64) {
		assert_int_equal(pin_self(&h, cpu, n - 1), 0);
		assert_true(sched_getaffinity(0, sizeof(now), now.s) == 0);
		assert_int_equal(pin_count(&now), 1);
		assert_true(pin_has(&now, cpu[n - 1]));
	}
	if (n < 64)
		assert_int_equal(pin_self(&h, cpu, n), -ENOSPC);
	else
		assert_int_equal(pin_self(&h, cpu, 0), 0);
	assert_true(sched_getaffinity(0, sizeof(now), now.s) == 0);
	assert_memory_equal(&now, &before, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),	  cmocka_unit_test(test_print),
		cmocka_unit_test(test_two_nodes), cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_offline),	  cmocka_unit_test(test_no_sysfs),
		cmocka_unit_test(test_self),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
