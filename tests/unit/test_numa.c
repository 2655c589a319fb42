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
#include <numaif.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vmm/core/addr.h"
#include "vmm/placement/ram.h"

#define NODE "sys/devices/system/node/"
#define HUGE "hugepages/hugepages-2048kB/"

static bool sys_is_fake;

extern void numa_init(void) __attribute__((weak));

/* libnuma does not know `root`. So, if a mount namespace is possible, the tree is mounted on /sys
 * for this process. This does not work with a shared libnuma, which has read /sys before. */
static bool put_on_sys(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/sys", root);
	return numa_init &&
	       (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount(path, "/sys", NULL, MS_BIND, NULL) == 0;
}

static int make_tree(void **state)
{
	make_root(state);
	put("0-7\n", "sys/devices/system/cpu/possible");
	put("10 12 21\n", NODE "node0/distance");
	put("21 254 10\n", NODE "node2/distance");
	put("3\n", NODE "node0/cpumap");
	put("4\n", NODE "node1/cpumap");
	put("0\n", NODE "node2/cpumap");
	put("Node 1 MemTotal:       0 kB\nNode 1 MemFree:        0 kB\n", NODE "node1/meminfo");
	put("Node 2 MemTotal:       4096 kB\nNode 2 MemFree:        1 kB\n", NODE "node2/meminfo");
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
	sys_is_fake = put_on_sys();
	return 0;
}

static void test_lists(void **state)
{
	static const char *const bad[] = { "", "x", "2-1", "1,", " 1", "1-2-3" };
	static const char *const far[] = { "64", "0-64", "18446744073709551616" };
	uint64_t mask;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		if (node_list_parse(bad[i], &mask) != -EINVAL)
			fail_msg("'%s' is taken for %llx", bad[i], (unsigned long long)mask);
	for (unsigned i = 0; i < ARRAY_SIZE(far); i++)
		assert_int_equal(node_list_parse(far[i], &mask), -ERANGE);
	assert_int_equal(node_list_parse("0", &mask), 0);
	assert_int_equal(mask, 1);
	assert_int_equal(node_list_parse("0-2,5,63", &mask), 0);
	assert_true(mask == (1ull << 63 | 0x27));
}

/* The nodes that this process may use, from the kernel. */
static uint64_t allowed_nodes(void)
{
	unsigned long mask[64] = { 0 };

	if (syscall(SYS_get_mempolicy, NULL, mask, sizeof(mask) * 8, NULL, MPOL_F_MEMS_ALLOWED))
		skip();
	return mask[0];
}

static void test_nodes(void **state)
{
	uint64_t allowed = allowed_nodes();
	struct node_masks n;

	(void)state;
	if (!sys_is_fake)
		skip();
	n = node_masks();
	assert_int_equal(n.online, 7);
	/* Node 1 has no memory. A cpuset may forbid others. */
	assert_int_equal(n.memory, 5 & allowed);
}

static void test_huge(void **state)
{
	struct node_huge h = node_huge(root, 0, 2 * MiB);
	char file[128];

	(void)state;
	assert_int_equal(h.total, 7);
	assert_int_equal(h.free, 5);
	/* Pages that others have reserved are not free. */
	h = node_huge(root, NUMA_ANY, 2 * MiB);
	assert_int_equal(h.total, 9);
	assert_int_equal(h.free, 4);
	assert_int_equal(node_huge(root, 0, GiB).free, 0);
	node_huge_file(file, sizeof(file), 1, GiB);
	assert_string_equal(
		file, "/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages");
	node_huge_file(file, sizeof(file), NUMA_ANY, 2 * MiB);
	assert_string_equal(file, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
}

static void test_available(void **state)
{
	(void)state;
	assert_int_equal(node_available(root, 0), 1024 * KiB);
	assert_int_equal(node_available(root, NUMA_ANY), 77 * KiB);
	assert_int_equal(node_available(root, 9), 0);
}

static void test_distance(void **state)
{
	(void)state;
	if (!sys_is_fake)
		skip();
	assert_int_equal(node_distance(0, 0), 10);
	assert_int_equal(node_distance(0, 1), 12);
	assert_int_equal(node_distance(2, 0), 21);
	assert_int_equal(node_distance(2, 1), 254);
	/* Not said. */
	assert_int_equal(node_distance(1, 1), 10);
	assert_int_equal(node_distance(1, 2), 20);
	assert_int_equal(node_distance(0, 9), 20);
	assert_int_equal(node_distance(9, 70), 20);
}

static void test_cores(void **state)
{
	cpu_set_t allowed, set;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	if (!CPU_ISSET(0, &allowed) || !sys_is_fake)
		skip();
	assert_int_equal(node_cores(root, 0, &set), 1);
	assert_true(CPU_ISSET(0, &set));
	/* For a node with memory only, cores of the whole host are used. */
	assert_true(node_cores(root, 2, &set) >= 1);
	assert_true(node_cores(root, NUMA_ANY, &set) >= 1);
	/* The same for a node that does not exist. */
	assert_true(node_cores(root, 63, &set) >= 1);
}

static void test_look(void **state)
{
	struct ram_want w = { .nodes = 3 };
	struct ram_host h;

	(void)state;
	if (!sys_is_fake || !(allowed_nodes() & 1))
		skip();
	ram_look(root, &w, &h);
	assert_true(h.thp);
	assert_int_equal(h.node[0].huge_2m.free, 5);
	assert_int_equal(h.node[0].available, 1024 * KiB);
	assert_int_equal(h.any.huge_2m.free, 4);
	/* A node without memory is not read. */
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
