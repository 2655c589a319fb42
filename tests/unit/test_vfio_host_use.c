/* SPDX-License-Identifier: BSD-2-Clause */
/* Why the host needs a device: on a host with a boot display, an NVMe disk with LVM on LUKS, one
 * with two controllers, an AHCI disk, a USB disk, a bridge on a bond on a VLAN, and an idle NIC. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vfio/host/host_use.h"

static struct error err;

#define SUBSYS "/sys/devices/virtual/nvme-subsystem/nvme-subsys1"
#define SDB    "00:06.0/usb1/1-1/1-1:1.0/host1/block"

static const char host[] =
	"pci 00:01.0 boot_vga=1\n"
	"file /sys/class/vtconsole/vtcon0/bind 1\n"
	"file /sys/class/vtconsole/vtcon0/name (S) dummy device\n"
	"file /sys/class/vtconsole/vtcon1/bind 0\n"
	"file /sys/class/vtconsole/vtcon1/name (M) frame buffer device\n"
	/* LVM on LUKS on a partition. */
	"pci 00:02.0\n"
	"class block/nvme0n1 00:02.0/nvme/nvme0 dev=259:0\n"
	"class block/nvme0n1p1 00:02.0/nvme/nvme0/nvme0n1 dev=259:1 partition=1\n"
	"class block/nvme0n1p2 00:02.0/nvme/nvme0/nvme0n1 dev=259:2 partition=2\n"
	"class block/dm-0 virtual/block dev=254:0\n"
	"class block/dm-1 virtual/block dev=254:1\n"
	"dir /sys/class/block/nvme0n1p2/holders/dm-0\n"
	"dir /sys/class/block/dm-0/holders/dm-1\n"
	/* A subsystem with two controllers, as NVMe multipath shows it. */
	"pci 00:03.0\n"
	"pci 00:04.0\n"
	"class block/nvme1n1 virtual/nvme-subsystem/nvme-subsys1 dev=259:8\n"
	"link " SUBSYS "/nvme1 ../../../pci0000:00/0000:00:03.0/nvme/nvme1\n"
	"link " SUBSYS "/nvme2 ../../../pci0000:00/0000:00:04.0/nvme/nvme2\n"
	"pci 00:05.0\n"
	"class block/sda 00:05.0/ata1/host0/target0:0:0/0:0:0:0/block dev=8:0\n"
	"pci 00:06.0\n"
	"class block/sdb " SDB " dev=8:16\n"
	"class block/sdb1 " SDB "/sdb dev=8:17 partition=1\n"
	/* br0 on a VLAN on a bond of two functions. */
	"pci 00:07.0\n"
	"pci 00:08.0\n"
	"pci 00:08.1\n"
	"class net/eth0 00:07.0/net\n"
	"class net/eth1 00:08.0/net\n"
	"class net/eth2 00:08.1/net\n"
	"class net/lo virtual/net\n"
	"class net/bond0 virtual/net\n"
	"class net/bond0.7 virtual/net\n"
	"class net/br0 virtual/net\n"
	"dir /sys/class/net/bond0/lower_eth1\n"
	"dir /sys/class/net/bond0/lower_eth2\n"
	"dir /sys/class/net/bond0.7/lower_bond0\n"
	"dir /sys/class/net/br0/lower_bond0.7\n";

/* What the host uses; each test sets it. */
static void uses(const char *mounts, const char *swaps, const char *route, const char *route6)
{
	put(mounts, "proc/self/mountinfo");
	put(swaps, "proc/swaps");
	put(route, "proc/net/route");
	put(route6, "proc/net/ipv6_route");
}

static int make_tree(void **state)
{
	make_root(state);
	put_host("%s", host);
	return 0;
}

static void free_for_guests(const char *bdf)
{
	err.text[0] = '\0';
	if (host_use_check(root, bdf, &err) != 0)
		fail_msg("%s", err.text);
}

static void needed(const char *bdf, const char *why)
{
	err.text[0] = '\0';
	assert_int_equal(host_use_check(root, bdf, &err), -EBUSY);
	if (!strstr(err.text, bdf) || !strstr(err.text, why))
		fail_msg("'%s' does not say '%s'", err.text, why);
}

#define ROOT_MOUNT "31 1 0:26 / / rw,relatime - overlay root rw,lowerdir=/ro\n"
#define SWAPS	   "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
#define ROUTE4 \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
#define ZERO6	  "00000000000000000000000000000000"
#define ROUTE6_LO ZERO6 " 00 " ZERO6 " 00 " ZERO6 " ffffffff 00000001 00000000 00200200       lo\n"

static void test_display(void **state)
{
	(void)state;
	uses(ROOT_MOUNT, SWAPS, ROUTE4, ROUTE6_LO);
	free_for_guests("0000:00:01.0");
	put("1\n", "sys/class/vtconsole/vtcon1/bind");
	needed("0000:00:01.0", "booted with");
	free_for_guests("0000:00:03.0");
	put("0\n", "sys/bus/pci/devices/0000:00:01.0/boot_vga");
	free_for_guests("0000:00:01.0");
}

static void test_idle(void **state)
{
	static const char *const all[] = { "03.0", "04.0", "05.0", "06.0", "07.0", "08.0", "08.1" };
	char bdf[32];
	unsigned i;

	(void)state;
	uses(ROOT_MOUNT, SWAPS, ROUTE4, ROUTE6_LO);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(bdf, sizeof(bdf), "0000:00:%s", all[i]);
		free_for_guests(bdf);
	}
	free_for_guests("0000:00:1f.7"); /* not there */
}

static void test_mounts(void **state)
{
	(void)state;
	uses("32 31 259:1 / /boot\\040x rw shared:7 - ext4 /dev/nvme0n1p1 rw\n", SWAPS, "", "");
	needed("0000:00:02.0", "with /dev/nvme0n1p1, mounted on /boot x");
	uses("32 31 254:1 / /home rw - xfs /dev/mapper/vg-home rw\n", SWAPS, "", "");
	needed("0000:00:02.0", "with /dev/dm-1, mounted on /home");
	free_for_guests("0000:00:05.0");
	/* A btrfs has a device number that belongs to no disk. */
	uses("32 31 0:41 /@ /srv rw - btrfs /dev/sdb1 rw\n", SWAPS, "", "");
	needed("0000:00:06.0", "with /dev/sdb1, mounted on /srv");
	uses(ROOT_MOUNT "32 31 8:0 / /sata rw - ext4 /dev/sda rw\n", SWAPS, "", "");
	needed("0000:00:05.0", "the disk /dev/sda, mounted on /sata");
	free_for_guests("0000:00:06.0");
	/* 8:17 must not match 8:170. */
	uses("32 31 8:170 / /x rw - ext4 /dev/sdk10 rw\nnonsense - \n - \n", SWAPS, "", "");
	free_for_guests("0000:00:06.0");
}

static void test_multipath(void **state)
{
	(void)state;
	uses("32 31 259:8 / /srv rw - ext4 /dev/nvme1n1 rw\n", SWAPS, "", "");
	needed("0000:00:03.0", "/dev/nvme1n1");
	needed("0000:00:04.0", "/dev/nvme1n1");
	free_for_guests("0000:00:05.0");
}

static void test_swap(void **state)
{
	(void)state;
	uses("", SWAPS "/dev/dm-1                               partition\t999420\t\t0\t\t-2\n", "",
	     "");
	needed("0000:00:02.0", "with /dev/dm-1, which is swap");
	uses("", SWAPS "/dev/sda\tpartition\t999420\t\t0\t\t-2\n", "", "");
	needed("0000:00:05.0", "/dev/sda, which is swap");
	uses("", SWAPS "/dev/sda1\tpartition\t999420\t\t0\t\t-2\n", "", "");
	free_for_guests("0000:00:05.0");
}

/* An unknown user of the disk. */
static void test_holder(void **state)
{
	(void)state;
	uses("", SWAPS, "", "");
	needed("0000:00:02.0", "with /dev/dm-0, which is part of /dev/dm-1");
}

/* Circular links must end. */
static void test_circle(void **state)
{
	(void)state;
	uses(ROOT_MOUNT, SWAPS,
	     ROUTE4 "br0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "");
	put("", "sys/class/block/dm-1/holders/dm-0/");
	put("", "sys/class/net/bond0/lower_br0/");
	needed("0000:00:02.0", "which is part of /dev/dm-");
	free_for_guests("0000:00:07.0");
}

static void test_routes(void **state)
{
	(void)state;
	uses("", SWAPS,
	     ROUTE4 "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
		    "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n",
	     ROUTE6_LO);
	free_for_guests("0000:00:07.0");
	uses("", SWAPS, ROUTE4 "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
	     ROUTE6_LO);
	needed("0000:00:07.0", "default route (eth0)");
	free_for_guests("0000:00:08.0");
	uses("", SWAPS, ROUTE4 "br0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "");
	needed("0000:00:08.0", "default route (br0)");
	needed("0000:00:08.1", "default route (br0)");
	free_for_guests("0000:00:07.0");
	uses("", SWAPS, ROUTE4,
	     ROUTE6_LO ZERO6 " 00 " ZERO6 " 00 fe80000000000000021122fffe334455 00000400 "
			     "00000001 00000000 00450003 bond0.7\n");
	needed("0000:00:08.1", "default route (bond0.7)");
	free_for_guests("0000:00:07.0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_display), cmocka_unit_test(test_idle),
		cmocka_unit_test(test_mounts),	cmocka_unit_test(test_multipath),
		cmocka_unit_test(test_swap),	cmocka_unit_test(test_routes),
		cmocka_unit_test(test_holder),	cmocka_unit_test(test_circle),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_root);
}
