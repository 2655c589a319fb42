/* SPDX-License-Identifier: BSD-2-Clause */
/* vmm/placement/numa.c on a sysfs tree made in a temporary folder: three nodes, of which node 1 has
 * no memory and node 2 no processors; node 0 has two threads a core. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vmm/core/addr.h"
#include "vmm/placement/ram.h"

#define NODE "sys/devices/system/node/"
#define HUGE "hugepages/hugepages-2048kB/"

static int make_tree(void **state)
{
	make_root(state);
	put("0-2\n", NODE "online");
	put("0,2\n", NODE "has_memory");
	put("10 12 21\n", NODE "node0/distance");
	put("21 254 10\n", NODE "node2/distance");
	put("0-1\n", NODE "node0/cpulist");
	put("\n", NODE "node2/cpulist");
	put("0-1\n", "sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
	put("0-1\n", "sys/devices/system/cpu/cpu1/topology/thread_siblings_list");
	put("Node 0 MemTotal:       4096 kB\nNode 0 MemFree:        1000 kB\n"
	    "Node 0 Active(file):   20 kB\nNode 0 Inactive(file): 3 kB\n"
	    "Node 0 SReclaimable:   1 kB\nNode 0 Dirty:   99 kB\n",
	    NODE "node0/meminfo");
	put("MemTotal:       8192 kB\nMemFree:  1 kB\nMemAvailable:    77 kB\n", "proc/meminfo");
	put("7\n", NODE "node0/" HUGE "nr_hugepages");
	put("5\n", NODE "node0/" HUGE "free_hugepages");
	put("9\n", "sys/kernel/mm/" HUGE "nr_hugepages");
	put("6\n", "sys/kernel/mm/" HUGE "free_hugepages");
	put("2\n", "sys/kernel/mm/" HUGE "resv_hugepages");
	put("always [madvise] never\n", "sys/kernel/mm/transparent_hugepage/enabled");
	return 0;
}

static void test_lists(void **state)
{
	static const char *const bad[] = { "",	  "x",	"-",  "1-", "-1",  "2-1",  ",",
					   "1,,", "1,", " 1", "1 ", "0x1", "1-2-3" };
	static const char *const far[] = { "64", "0-64", "18446744073709551616", "99999999999" };
	uint64_t bits[2];
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (numa_parse_list(bad[i], 64, bits) != -EINVAL)
			fail_msg("'%s' is taken for %llx", bad[i], (unsigned long long)bits[0]);
	for (i = 0; i < ARRAY_SIZE(far); i++)
		assert_int_equal(numa_parse_list(far[i], 64, bits), -ERANGE);
	assert_int_equal(numa_parse_list("0", 64, bits), 0);
	assert_int_equal(bits[0], 1);
	assert_int_equal(numa_parse_list("0-2,5,63", 64, bits), 0);
	assert_true(bits[0] == (1ull << 63 | 0x27));
	assert_int_equal(numa_parse_list("63-65", 128, bits), 0);
	assert_true(bits[0] == 1ull << 63 && bits[1] == 3);
}

static void test_nodes(void **state)
{
	struct numa_nodes n = numa_nodes(root);

	(void)state;
	assert_int_equal(n.online, 7);
	assert_int_equal(n.memory, 5);
	/* In a cpuset without node 0. */
	put("Name:\tx\nMems_allowed:\t6\nMems_allowed_list:\t1-2\n", "proc/self/status");
	n = numa_nodes(root);
	assert_int_equal(n.online, 7);
	assert_int_equal(n.memory, 4);
	put("Mems_allowed_list:\t0-2\n", "proc/self/status");
	n = numa_nodes("/nonexistent");
	assert_int_equal(n.online | n.memory, 0);
}

static void test_huge(void **state)
{
	struct numa_huge h = numa_huge(root, 0, 2 * MiB);
	char file[128];

	(void)state;
	assert_int_equal(h.total, 7);
	assert_int_equal(h.free, 5);
	/* What is promised to others is not free. */
	h = numa_huge(root, NUMA_ANY, 2 * MiB);
	assert_int_equal(h.total, 9);
	assert_int_equal(h.free, 4);
	assert_int_equal(numa_huge(root, 0, GiB).free, 0);
	numa_huge_file(file, sizeof(file), 1, GiB);
	assert_string_equal(
		file, "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages");
	numa_huge_file(file, sizeof(file), NUMA_ANY, 2 * MiB);
	assert_string_equal(file, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
}

static void test_available(void **state)
{
	(void)state;
	assert_int_equal(numa_available(root, 0), 1024 * KiB);
	assert_int_equal(numa_available(root, NUMA_ANY), 77 * KiB);
	assert_int_equal(numa_available(root, 9), 0);
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(numa_distance(root, 0, 0), 10);
	assert_int_equal(numa_distance(root, 0, 1), 12);
	assert_int_equal(numa_distance(root, 2, 0), 21);
	assert_int_equal(numa_distance(root, 2, 1), 254);
	/* Not said. */
	assert_int_equal(numa_distance(root, 1, 1), 10);
	assert_int_equal(numa_distance(root, 1, 2), 20);
	assert_int_equal(numa_distance(root, 0, 9), 20);
}

static void test_cores(void **state)
{
	cpu_set_t allowed, set;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	if (!CPU_ISSET(0, &allowed))
		skip();
	assert_int_equal(numa_cores(root, 0, &set), 1);
	assert_true(CPU_ISSET(0, &set));
	/* A node of memory only is filled by all of the host's. */
	assert_true(numa_cores(root, 2, &set) >= 1);
	assert_true(numa_cores(root, NUMA_ANY, &set) >= 1);
}

static void test_look(void **state)
{
	struct ram_want w = { .nodes = 3 };
	struct ram_host h;

	(void)state;
	ram_look(root, &w, &h);
	assert_true(h.thp);
	assert_int_equal(h.node[0].huge_2m.free, 5);
	assert_int_equal(h.node[0].available, 1024 * KiB);
	assert_int_equal(h.any.huge_2m.free, 4);
	/* No memory: not looked at. */
	assert_int_equal(h.node[1].available, 0);
	put("always madvise [never]\n", "sys/kernel/mm/transparent_hugepage/enabled");
	ram_look(root, &w, &h);
	assert_false(h.thp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),	 cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_huge),	 cmocka_unit_test(test_available),
		cmocka_unit_test(test_distance), cmocka_unit_test(test_cores),
		cmocka_unit_test(test_look),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_root);
}
