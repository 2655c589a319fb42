/* SPDX-License-Identifier: BSD-2-Clause */
/* vmm/numa.c on a sysfs tree made in a temporary folder: three nodes, of which node 1 has no memory
 * and node 2 no processors; node 0 has two threads a core. */
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

#include "vmm/addr.h"
#include "vmm/ram.h"

static char root[64];

static void put(const char *name, const char *text)
{
	char path[300], *slash;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

#define NODE "sys/devices/system/node/"
#define HUGE "hugepages/hugepages-2048kB/"

static int make_tree(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/test_numa.XXXXXX");
	assert_non_null(mkdtemp(root));
	put(NODE "online", "0-2\n");
	put(NODE "has_memory", "0,2\n");
	put(NODE "node0/distance", "10 12 21\n");
	put(NODE "node2/distance", "21 254 10\n");
	put(NODE "node0/cpulist", "0-1\n");
	put(NODE "node2/cpulist", "\n");
	put("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1\n");
	put("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n");
	put(NODE "node0/meminfo", "Node 0 MemTotal:       4096 kB\nNode 0 MemFree:        1000 kB\n"
				  "Node 0 Active(file):   20 kB\nNode 0 Inactive(file): 3 kB\n"
				  "Node 0 SReclaimable:   1 kB\nNode 0 Dirty:   99 kB\n");
	put("proc/meminfo", "MemTotal:       8192 kB\nMemFree:  1 kB\nMemAvailable:    77 kB\n");
	put(NODE "node0/" HUGE "nr_hugepages", "7\n");
	put(NODE "node0/" HUGE "free_hugepages", "5\n");
	put("sys/kernel/mm/" HUGE "nr_hugepages", "9\n");
	put("sys/kernel/mm/" HUGE "free_hugepages", "6\n");
	put("sys/kernel/mm/" HUGE "resv_hugepages", "2\n");
	put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	return 0;
}

static int remove_tree(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
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
	put("proc/self/status", "Name:\tx\nMems_allowed:\t6\nMems_allowed_list:\t1-2\n");
	n = numa_nodes(root);
	assert_int_equal(n.online, 7);
	assert_int_equal(n.memory, 4);
	put("proc/self/status", "Mems_allowed_list:\t0-2\n");
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
	put("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
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

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
