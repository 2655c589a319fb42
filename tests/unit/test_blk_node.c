/* SPDX-License-Identifier: BSD-2-Clause */
/* devices/block/blk_node.c on hosts in a temporary folder. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "devices/block/blk_node.h"
#include "tests/unit/fake_host.h"

#define NODE "sys/devices/system/node/"
#define NVME "sys/devices/pci0000:40/0000:40:00.0/0000:41:00.0/"

static int make_host(void **state)
{
	make_root(state);
	put("0-1\n", NODE "online");
	put("1\n", NVME "numa_node");
	put("259:0\n", NVME "nvme/nvme0/nvme0n1/dev");
	put("259:1\n", NVME "nvme/nvme0/nvme0n1/nvme0n1p1/dev");
	put("-1\n", "sys/devices/pci0000:00/0000:00:01.0/numa_node");
	put("8:0\n", "sys/devices/pci0000:00/0000:00:01.0/ata1/host0/block/sda/dev");
	put("253:0\n", "sys/devices/virtual/block/dm-0/dev");
	put_link("../../devices/pci0000:40/0000:40:00.0/0000:41:00.0/nvme/nvme0/nvme0n1",
		 "sys/dev/block/259:0");
	put_link("../../devices/pci0000:40/0000:40:00.0/0000:41:00.0/nvme/nvme0/nvme0n1/nvme0n1p1",
		 "sys/dev/block/259:1");
	put_link("../../devices/pci0000:00/0000:00:01.0/ata1/host0/block/sda", "sys/dev/block/8:0");
	put_link("../../devices/virtual/block/dm-0", "sys/dev/block/253:0");
	return 0;
}

static void test_find(void **state)
{
	(void)state;
	assert_int_equal(blk_node_find(root, makedev(259, 0)), 1);
	assert_int_equal(blk_node_find(root, makedev(259, 1)), 1); /* a partition */
	assert_int_equal(blk_node_find(root, makedev(8, 0)), -1);  /* the firmware does not say */
	assert_int_equal(blk_node_find(root, makedev(253, 0)), -1);
	assert_int_equal(blk_node_find(root, makedev(0, 42)),
			 -1); /* a file system without a disk */
	put("0,8\n", NODE "online");
	assert_int_equal(blk_node_find(root, makedev(259, 0)), 1);
}

/* Strange contents of sysfs are no node, and end. */
static void test_find_strange(void **state)
{
	(void)state;
	put("4294967296\n", NVME "numa_node");
	assert_int_equal(blk_node_find(root, makedev(259, 0)), -1);
	put("x\n", NVME "numa_node");
	assert_int_equal(blk_node_find(root, makedev(259, 0)), -1);
	put_link("devices/", "sys/dev/block/1:1");
	assert_int_equal(blk_node_find(root, makedev(1, 1)), -1);
	put_link("../../devices/.."
		 "/../..",
		 "sys/dev/block/1:2");
	assert_int_equal(blk_node_find(root, makedev(1, 2)), -1);
}

static void test_one_node(void **state)
{
	(void)state;
	put("0\n", NODE "online");
	assert_int_equal(blk_node_find(root, makedev(259, 0)), -1);
	put_nothing(NODE "online"); /* a kernel without NUMA */
	assert_int_equal(blk_node_find(root, makedev(259, 0)), -1);
}

/* The thread keeps the CPUs that are both its own and the node's. */
static void test_stay(void **state)
{
	cpu_set_t before, now;
	unsigned cpu = 0;
	char list[32];

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	while (!CPU_ISSET(cpu, &before))
		cpu++;
	snprintf(list, sizeof(list), "%u,1000-1010\n", cpu);
	put(list, NODE "node1/cpulist");
	put("1000-1010\n", NODE "node2/cpulist"); /* none of ours */
	put("\n", NODE "node3/cpulist");	  /* memory only */
	put("1-x\n", NODE "node4/cpulist");
	assert_false(blk_node_stay(root, -1));
	for (int node = 2; node <= 5; node++)
		assert_false(blk_node_stay(root, node));
	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, &before));
	assert_true(blk_node_stay(root, 1));
	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_int_equal(CPU_COUNT(&now), 1);
	assert_true(CPU_ISSET(cpu, &now));
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, make_host, remove_root),
		cmocka_unit_test_setup_teardown(test_find_strange, make_host, remove_root),
		cmocka_unit_test_setup_teardown(test_one_node, make_host, remove_root),
		cmocka_unit_test_setup_teardown(test_stay, make_host, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
