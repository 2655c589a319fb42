/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of vfio/host/sysfs.c and the layout of vfio/layout.c, on a sysfs tree in a temporary
 * folder: an Intel host with a GPU and its audio in one slot, a NIC with two VFs, a group that the
 * host also uses, and a device that is not behind an IOMMU. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vfio/layout.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/addr.h"

static struct error err;

#define DEV "sys/bus/pci/devices/"

static const char host[] =
	"pci 00:1c.0 class=060400 group=8 driver=pcieport reset=pm,bus\n"
	"pci 01:00.0 class=030000 group=12 driver=nouveau reset=pm,bus id=10de:1c82 node=-1\n"
	"pci 01:00.1 class=040300 group=12 driver=vfio-pci reset=\n"
	"pci 02:00.0 class=020000 group=13 driver=igb reset=flr\n"
	"pci 02:10.0 class=020000 group=14 driver=mlx5_vfio_pci reset=flr of=02:00.0\n"
	"pci 02:10.2 class=020000 group=15 driver=vfio-pci of=02:00.0\n"
	"pci 03:00.0 class=0c0330 group=16 reset=flr\n"
	"pci 04:00.0 class=0c0330 driver=xhci_hcd reset=flr\n"
	"pci 05:00.0 class=010802 group=17 driver=vfio-pci reset=flr\n"
	"pci 05:00.1 class=010802 group=17 driver=nvme reset=flr\n"
	"pci 05:00.2 class=0c0330 group=17 driver=xhci_hcd reset=flr\n"
	"file /proc/cpuinfo processor: 0|vendor_id: GenuineIntel|flags: vmx|\n"
	"file /proc/4711/comm qemu-system-x86|\n"
	"link /proc/4711/fd/0 /dev/null\n"
	"link /proc/4711/fd/11 /dev/vfio/14\n"
	"link /proc/4712/fd/3 /dev/vfio/1\n";

static int make_tree(void **state)
{
	make_root(state);
	put_host("%s", host);
	return 0;
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static void refuses(const char *bdf, const char *why)
{
	struct sysfs_pci d;

	err = (struct error){ 0 };
	assert_true(sysfs_check(root, bdf, &d, &err) < 0);
	says(bdf);
	says(why);
	assert_null(strchr(err.text, '\n'));
	assert_true(strlen(err.text) < sizeof(err.text) - 40);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"01:00",
		"01:00.",
		"01:00.8",
		"01:20.0",
		"1:00.0.0",
		"01:00.0 ",
		" 01:00.0",
		"0000:01:00.0x",
		"00:01:00.0",
		"0000:001:00.0",
		"0000:01:000.0",
		"0000:01:00:0",
		"0000::01:00.0",
		"01:00.00",
		"-1:00.0",
		"1234567:01:00.0",
		"../:00.0",
	};
	char bdf[VFIO_BDF_SIZE] = "kept";
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (sysfs_parse_bdf(bad[i], bdf) != -EINVAL)
			fail_msg("'%s' is taken for %s", bad[i], bdf);
	assert_string_equal(bdf, "kept");
	assert_int_equal(sysfs_parse_bdf("01:00.0", bdf), 0);
	assert_string_equal(bdf, "0000:01:00.0");
	assert_int_equal(sysfs_parse_bdf("0001:AB:1f.7", bdf), 0);
	assert_string_equal(bdf, "0001:ab:1f.7");
	assert_int_equal(sysfs_addr(bdf).bus, 0xab);
	assert_int_equal(sysfs_addr(bdf).dev, 0x1f);
	assert_int_equal(sysfs_parse_bdf("10000:e1:00.0", bdf), 0);
	assert_string_equal(bdf, "10000:e1:00.0");
	assert_int_equal(sysfs_parse_bdf("3:0.1", bdf), 0);
	assert_string_equal(bdf, "0000:03:00.1");
}

static void test_reads(void **state)
{
	struct sysfs_pci d;

	(void)state;
	assert_int_equal(sysfs_pci_read(root, "0000:01:00.0", &d), 0);
	assert_int_equal(d.vendor, 0x10de);
	assert_int_equal(d.device, 0x1c82);
	assert_int_equal(d.class_code, 0x030000);
	assert_int_equal(d.group, 12);
	assert_int_equal(d.numa_node, -1);
	assert_string_equal(d.driver, "nouveau");
	assert_string_equal(d.methods, "pm bus");
	assert_false(d.virtfn);
	assert_int_equal(sysfs_pci_read(root, "0000:02:10.2", &d), 0);
	assert_true(d.virtfn);
	assert_false(d.has_methods);
	assert_int_equal(sysfs_pci_read(root, "0000:09:00.0", &d), -ENODEV);
}

static int count(void *n, const struct sysfs_pci *d)
{
	(void)d;
	++*(int *)n;
	return 0;
}

/* The 64-bit BARs count, each in whole MiB; the ROM and 32-bit BARs do not. */
static void test_mem64(void **state)
{
	(void)state;
	put_host("pci 08:00.0 class=030000 group=20 bar0=1000000 bar1=4000000000p bar3=4000p "
		 "rom=80000\n");
	assert_true(sysfs_mem64(root, "0000:08:00.0") == 256 * GiB + MiB);
	assert_int_equal(sysfs_mem64(root, "0000:02:00.0"), 0);
	assert_int_equal(sysfs_mem64(root, "0000:0f:00.0"), 0);
}

static void test_groups(void **state)
{
	int n = 0;

	(void)state;
	assert_int_equal(sysfs_group_each(root, 17, count, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(sysfs_group_each(root, 99, count, &n), -ENOENT);
	assert_true(sysfs_explain_group(root, 17, &err) < 0);
	says("0000:05:00.1 (nvme)");
	says("0000:05:00.2 (xhci_hcd)");
	says("minivmm bind 0000:05:00.1 --group");
	assert_null(strstr(err.text, "05:00.0"));
	/* The driver of the bridge does not make the group non-viable. */
	assert_true(sysfs_explain_group(root, 8, &err) < 0);
	assert_null(strstr(err.text, "pcieport"));
}

static void test_accepts(void **state)
{
	struct sysfs_pci d;

	(void)state;
	assert_int_equal(sysfs_check(root, "0000:01:00.1", &d, &err), 0);
	assert_int_equal(d.group, 12);
	assert_int_equal(sysfs_check(root, "0000:02:10.0", &d, &err), 0);
	assert_true(d.virtfn);
}

static void test_refuses(void **state)
{
	(void)state;
	refuses("0000:09:00.0", "no such PCI device");
	refuses("0000:00:1c.0", "bridge");
	refuses("0000:01:00.0", "bound to nouveau");
	says("minivmm bind 0000:01:00.0");
	refuses("0000:03:00.0", "no driver");
	says("minivmm bind 0000:03:00.0");
	refuses("0000:04:00.0", "not behind the IOMMU");
}

static void test_no_iommu(void **state)
{
	char saved[128], away[128];

	(void)state;
	snprintf(saved, sizeof(saved), "%s/sys/kernel/iommu_groups", root);
	snprintf(away, sizeof(away), "%s/away", root);
	assert_int_equal(rename(saved, away), 0);
	refuses("0000:04:00.0", "intel_iommu=on");
	put("processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t: svm\n", "proc/cpuinfo");
	refuses("0000:04:00.0", "AMD-Vi");
	assert_int_equal(rename(away, saved), 0);
}

static void test_holder(void **state)
{
	(void)state;
	assert_true(sysfs_explain_busy(root, 14, &err) < 0);
	says("4711");
	says("qemu-system-x86");
	assert_true(sysfs_explain_busy(root, 16, &err) < 0);
	says("another process");
}

static void test_idle(void **state)
{
	struct sysfs_pci d;

	(void)state;
	assert_int_equal(sysfs_pci_read(root, "0000:02:10.0", &d), 0);
	assert_int_equal(sysfs_check_idle(root, &d, &err), -EBUSY);
	says("process 4711 (qemu-system-x86) has /dev/vfio/14 open");
	/* Through iommufd. */
	assert_int_equal(sysfs_pci_read(root, "0000:05:00.0", &d), 0);
	assert_int_equal(sysfs_check_idle(root, &d, &err), 0);
	put("", DEV "0000:05:00.0/vfio-dev/vfio3/dev");
	assert_int_equal(sysfs_check_idle(root, &d, &err), 0);
	put_link("/dev/vfio/devices/vfio3", "proc/4711/fd/12");
	assert_int_equal(sysfs_check_idle(root, &d, &err), -EBUSY);
	says("process 4711");
}

/* ---- layout ---- */

static void test_layout(void **state)
{
	struct vfio_place p[] = {
		{ .bdf = "0000:01:00.0" }, { .bdf = "0000:02:10.0", .virtfn = true },
		{ .bdf = "0000:01:00.1" }, { .bdf = "0000:02:10.2", .virtfn = true },
		{ .bdf = "0000:05:00.3" }, { .bdf = "0001:01:00.0", .slot = 9 },
	};

	(void)state;
	assert_int_equal(vfio_layout(p, ARRAY_SIZE(p), &err), 5);
	assert_int_equal(p[0].port, p[2].port);
	assert_int_equal(p[0].fn, 0);
	assert_int_equal(p[2].fn, 1);
	/* Each virtual function has its own slot, as function 0. */
	assert_int_not_equal(p[1].port, p[3].port);
	assert_int_equal(p[3].fn, 0);
	/* A guest would never find a function 3 that is alone in its slot. */
	assert_int_equal(p[4].fn, 0);
	/* Another domain is another card. */
	assert_int_not_equal(p[5].port, p[0].port);
	assert_int_equal(vfio_layout_slot(p, ARRAY_SIZE(p), p[5].port), 9);
	assert_int_equal(vfio_layout_slot(p, ARRAY_SIZE(p), p[0].port), 0);
}

static void test_layout_lowest(void **state)
{
	struct vfio_place p[] = { { .bdf = "0000:01:00.3" }, { .bdf = "0000:01:00.1" } };

	(void)state;
	assert_int_equal(vfio_layout(p, 2, &err), 1);
	assert_int_equal(p[0].fn, 3);
	assert_int_equal(p[1].fn, 0);
}

/* For a card with its audio function, no other device accesses its memory, even if they are in
 * several slots. */
static void test_layout_cards(void **state)
{
	struct vfio_place p[] = {
		{ .bdf = "0000:01:00.0", .slot = 4 },
		{ .bdf = "0000:01:00.1", .slot = 5 },
		{ .bdf = "0000:01:00.2" },
		{ .bdf = "0001:01:00.0" },
		{ .bdf = "0000:01:00.4", .virtfn = true },
	};

	(void)state;
	assert_int_equal(vfio_layout_cards(p, 0), 0);
	assert_int_equal(vfio_layout_cards(p, 3), 1);
	assert_int_equal(vfio_layout_cards(p, 4), 2);
	assert_int_equal(vfio_layout_cards(p, 5), 3);
}

static void test_layout_slots(void **state)
{
	struct vfio_place apart[] = { { .bdf = "0000:01:00.0", .slot = 4 },
				      { .bdf = "0000:01:00.1", .slot = 5 } };
	struct vfio_place clash[] = { { .bdf = "0000:01:00.0", .slot = 4 },
				      { .bdf = "0000:02:00.0", .slot = 4 } };

	(void)state;
	assert_int_equal(vfio_layout(apart, 2, &err), 2);
	assert_int_equal(apart[1].fn, 0);
	assert_true(vfio_layout(clash, 2, &err) < 0);
	says("slot=4");
	says("0000:01:00.0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),     cmocka_unit_test(test_reads),
		cmocka_unit_test(test_mem64),	      cmocka_unit_test(test_groups),
		cmocka_unit_test(test_accepts),	      cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_no_iommu),      cmocka_unit_test(test_holder),
		cmocka_unit_test(test_idle),	      cmocka_unit_test(test_layout),
		cmocka_unit_test(test_layout_lowest), cmocka_unit_test(test_layout_slots),
		cmocka_unit_test(test_layout_cards),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_root);
}
