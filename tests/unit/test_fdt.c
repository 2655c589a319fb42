/* SPDX-License-Identifier: BSD-2-Clause */
/* The device tree, read back with libfdt. */
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "firmware/fdt.h"
#include "vmm/core/addr.h"

static const struct platform_cpu cpus[] = { { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 1 } };

static struct platform machine(void)
{
	return (struct platform){
		.map = { .low_ram = 2 * GiB, .high_base = 4 * GiB, .high_ram = GiB },
		.cpus = cpus,
		.n_cpus = 4,
		.ecam_base = 0xb0000000,
		.ecam_size = 256 * MiB,
		.mmio32_base = 2 * GiB,
		.mmio32_end = 0xfc000000,
	};
}

static void *blob;
static struct fdt_boot boot;

static void build(const struct platform *m)
{
	struct error err;
	size_t size;

	free(blob);
	assert_int_equal(fdt_build(m, &boot, &blob, &size, &err), 0);
	assert_int_equal(fdt_check_full(blob, size), 0);
}

/* Cell n of a property of the node; fails if it does not exist. */
static uint32_t cell(const char *path, const char *name, int n)
{
	const fdt32_t *v;
	int len, at = fdt_path_offset(blob, path);

	if (at < 0)
		fail_msg("no node %s", path);
	v = fdt_getprop(blob, at, name, &len);
	if (!v || len < (n + 1) * 4)
		fail_msg("%s has no cell %d of %s", path, n, name);
	return fdt32_to_cpu(v[n]);
}

static bool has(const char *path, const char *name)
{
	int len, at = fdt_path_offset(blob, path);

	return at >= 0 && fdt_getprop(blob, at, name, &len);
}

static void test_plain(void **state)
{
	struct platform m = machine();

	(void)state;
	build(&m);
	assert_int_equal(cell("/memory@0", "reg", 3), 2 * GiB);
	assert_int_equal(cell("/memory@100000000", "reg", 0), 1);
	assert_int_equal(cell("/memory@100000000", "reg", 3), GiB);
	assert_false(has("/memory@0", "numa-node-id"));
	assert_false(has("/cpus/cpu@0", "numa-node-id"));
	assert_true(fdt_path_offset(blob, "/distance-map") < 0);
	m.map.high_ram = 0;
	build(&m);
	assert_true(fdt_path_offset(blob, "/memory@100000000") < 0);
}

/* There is one 32-bit window. If ECAM lies inside (where ACPI has two windows), it begins behind
 * ECAM. */
static void test_windows(void **state)
{
	struct platform m = machine();

	(void)state;
	build(&m);
	assert_int_equal(cell("/pcie@b0000000", "ranges", 9), 0xc0000000);
	assert_int_equal(cell("/pcie@b0000000", "ranges", 13), 0x3c000000);
	assert_int_equal(cell("/pcie@b0000000", "bus-range", 1), 255);
	m.buses = 4;
	build(&m);
	assert_int_equal(cell("/pcie@b0000000", "bus-range", 1), 3);
	m.ecam_base = 0x70000000;
	build(&m);
	assert_int_equal(cell("/pcie@70000000", "ranges", 9), 2 * GiB);
	assert_int_equal(cell("/pcie@70000000", "ranges", 13), 0x7c000000);
}

/* /chosen has the command line, the initrd and the first serial port. */
static void test_chosen(void **state)
{
	struct platform m = machine();

	(void)state;
	build(&m);
	assert_false(has("/chosen", "bootargs") || has("/chosen", "stdout-path") ||
		     has("/chosen", "linux,initrd-start"));
	boot = (struct fdt_boot){ .bootargs = "quiet",
				  .initrd_base = 0x7000000,
				  .initrd_size = 4096 };
	m.serial[m.n_serial++] = (struct platform_serial){ 0x2f8, 3, 1 };
	build(&m);
	boot = (struct fdt_boot){ 0 };
	assert_string_equal(
		fdt_getprop(blob, fdt_path_offset(blob, "/chosen"), "stdout-path", NULL),
		"/isa/serial@i2f8");
	assert_int_equal(cell("/chosen", "linux,initrd-end", 1), 0x7001000);
	assert_int_equal(cell("/isa/serial@i2f8", "interrupts", 0), 3);
}

static void test_nodes(void **state)
{
	static const struct platform_memory memory[] = { { 0, 3 * GiB / 2, 0 },
							 { 3 * GiB / 2, GiB / 2, 1 },
							 { 4 * GiB, GiB, 1 } };
	static const uint8_t distance[] = { 10, 21, 22, 10 };
	struct platform m = machine();
	unsigned i;

	(void)state;
	m.n_nodes = 2;
	m.n_memory = ARRAY_SIZE(memory);
	m.memory = memory;
	m.distance = distance;
	m.pci_node = 1;
	build(&m);
	assert_int_equal(cell("/memory@0", "numa-node-id", 0), 0);
	assert_int_equal(cell("/memory@60000000", "numa-node-id", 0), 1);
	assert_int_equal(cell("/memory@100000000", "numa-node-id", 0), 1);
	assert_int_equal(cell("/cpus/cpu@1", "numa-node-id", 0), 0);
	assert_int_equal(cell("/cpus/cpu@2", "numa-node-id", 0), 1);
	assert_int_equal(cell("/pcie@b0000000", "numa-node-id", 0), 1);
	for (i = 0; i < 4; i++) {
		assert_int_equal(cell("/distance-map", "distance-matrix", (int)i * 3), i / 2);
		assert_int_equal(cell("/distance-map", "distance-matrix", (int)i * 3 + 1), i % 2);
		assert_int_equal(cell("/distance-map", "distance-matrix", (int)i * 3 + 2),
				 distance[i]);
	}
	m.pci_node = UINT32_MAX;
	build(&m);
	assert_false(has("/pcie@b0000000", "numa-node-id"));
}

static int teardown(void **state)
{
	(void)state;
	free(blob);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_plain),
					    cmocka_unit_test(test_windows),
					    cmocka_unit_test(test_chosen),
					    cmocka_unit_test(test_nodes) };

	return cmocka_run_group_tests(tests, NULL, teardown);
}
