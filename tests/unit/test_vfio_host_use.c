/* SPDX-License-Identifier: BSD-2-Clause */
/* Why the host needs a device: on a host with a boot display, an NVMe disk with LVM on LUKS, one
 * with two controllers, an AHCI disk, a USB disk, a bridge on a bond on a VLAN, and an idle NIC. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tree.h"
#include "vfio/host_use.h"

#define PCI "sys/devices/pci0000:00/"

static struct error err;

static void device(const char *bdf)
{
	char target[64];

	put("0x8086\n", PCI "%s/vendor", bdf);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s", bdf);
	put_link(target, "sys/bus/pci/devices/%s", bdf);
}

/* A disk or a partition in /sys/devices, and its number. */
static void block(const char *path, const char *number)
{
	put(number, "sys/devices/%s/dev", path);
	put("", "sys/devices/%s/holders/", path);
}

static void disk(const char *path, const char *number)
{
	char target[200];

	block(path, number);
	snprintf(target, sizeof(target), "../devices/%s", path);
	put_link(target, "sys/block/%s", strrchr(path, '/') + 1);
}

static void partition(const char *path, const char *number)
{
	block(path, number);
	put("1\n", "sys/devices/%s/partition", path);
}

static void nic(const char *path)
{
	char target[200];

	put("1500\n", "sys/devices/%s/mtu", path);
	snprintf(target, sizeof(target), "../../devices/%s", path);
	put_link(target, "sys/class/net/%s", strrchr(path, '/') + 1);
}

#define NVME "pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n1"

static void make_disks(void)
{
	/* LVM on LUKS on a partition. */
	device("0000:00:02.0");
	disk(NVME, "259:0\n");
	partition(NVME "/nvme0n1p1", "259:1\n");
	partition(NVME "/nvme0n1p2", "259:2\n");
	disk("virtual/block/dm-0", "254:0\n");
	disk("virtual/block/dm-1", "254:1\n");
	put_link("../../x/dm-0", "sys/devices/" NVME "/nvme0n1p2/holders/dm-0");
	put_link("../../x/dm-1", "sys/devices/virtual/block/dm-0/holders/dm-1");
	/* A subsystem with two controllers, as NVMe multipath shows it. */
	device("0000:00:03.0");
	device("0000:00:04.0");
	put("", PCI "0000:00:03.0/nvme/nvme1/state");
	put("", PCI "0000:00:04.0/nvme/nvme2/state");
	disk("virtual/nvme-subsystem/nvme-subsys1/nvme1n1", "259:8\n");
	put_link("../../../pci0000:00/0000:00:03.0/nvme/nvme1",
		 "sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1");
	put_link("../../../pci0000:00/0000:00:04.0/nvme/nvme2",
		 "sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme2");
	device("0000:00:05.0");
	disk("pci0000:00/0000:00:05.0/ata1/host0/target0:0:0/0:0:0:0/block/sda", "8:0\n");
	device("0000:00:06.0");
	disk("pci0000:00/0000:00:06.0/usb1/1-1/1-1:1.0/host1/block/sdb", "8:16\n");
	partition("pci0000:00/0000:00:06.0/usb1/1-1/1-1:1.0/host1/block/sdb/sdb1", "8:17\n");
}

static void make_nics(void)
{
	device("0000:00:07.0");
	device("0000:00:08.0");
	device("0000:00:08.1");
	nic("pci0000:00/0000:00:07.0/net/eth0");
	nic("pci0000:00/0000:00:08.0/net/eth1");
	nic("pci0000:00/0000:00:08.1/net/eth2");
	nic("virtual/net/lo");
	nic("virtual/net/bond0");
	nic("virtual/net/bond0.7");
	nic("virtual/net/br0");
	put_link("../../../x/eth1", "sys/devices/virtual/net/bond0/lower_eth1");
	put_link("../../../x/eth2", "sys/devices/virtual/net/bond0/lower_eth2");
	put_link("../bond0", "sys/devices/virtual/net/bond0.7/lower_bond0");
	put_link("../bond0.7", "sys/devices/virtual/net/br0/lower_bond0.7");
}

/* What the host has in use, set anew by each test. */
static void uses(const char *mounts, const char *swaps, const char *route, const char *route6)
{
	put(mounts, "proc/self/mountinfo");
	put(swaps, "proc/swaps");
	put(route, "proc/net/route");
	put(route6, "proc/net/ipv6_route");
}

static int make_tree(void **state)
{
	(void)state;
	make_root();
	device("0000:00:01.0");
	put("1\n", PCI "0000:00:01.0/boot_vga");
	put("1\n", "sys/class/vtconsole/vtcon0/bind");
	put("(S) dummy device\n", "sys/class/vtconsole/vtcon0/name");
	put("0\n", "sys/class/vtconsole/vtcon1/bind");
	put("(M) frame buffer device\n", "sys/class/vtconsole/vtcon1/name");
	make_disks();
	make_nics();
	return 0;
}

static void free_for_guests(const char *bdf)
{
	err.text[0] = '\0';
	if (host_use(root, bdf, &err) != 0)
		fail_msg("%s", err.text);
}

static void needed(const char *bdf, const char *why)
{
	err.text[0] = '\0';
	assert_int_equal(host_use(root, bdf, &err), -EBUSY);
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
	free_for_guests("0000:00:02.0");
	put("0\n", PCI "0000:00:01.0/boot_vga");
	free_for_guests("0000:00:01.0");
}

static void test_idle(void **state)
{
	static const char *const all[] = { "02.0", "03.0", "04.0", "05.0",
					   "06.0", "07.0", "08.0", "08.1" };
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
	uses(ROOT_MOUNT "32 31 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n", SWAPS, "", "");
	needed("0000:00:02.0", "the disk /dev/nvme0n1, mounted on /data");
	uses("32 31 259:1 / /boot\\040x rw shared:7 - ext4 /dev/nvme0n1p1 rw\n", SWAPS, "", "");
	needed("0000:00:02.0", "with /dev/nvme0n1p1, mounted on /boot\\040x");
	uses("32 31 254:1 / /home rw - xfs /dev/mapper/vg-home rw\n", SWAPS, "", "");
	needed("0000:00:02.0", "with /dev/dm-1, mounted on /home");
	free_for_guests("0000:00:05.0");
	/* A btrfs has a number that is no disk's. */
	uses("32 31 0:41 /@ /srv rw - btrfs /dev/sdb1 rw\n", SWAPS, "", "");
	needed("0000:00:06.0", "with /dev/sdb1, mounted on /srv");
	uses("32 31 8:0 / /sata rw - ext4 /dev/sda rw\n", SWAPS, "", "");
	needed("0000:00:05.0", "/sata");
	free_for_guests("0000:00:06.0");
	/* 8:17 is no start of 8:170. */
	uses("32 31 8:170 / /x rw - ext4 /dev/sdk10 rw\nnonsense - \n - \n", SWAPS, "", "");
	free_for_guests("0000:00:06.0");
}

static void test_multipath(void **state)
{
	(void)state;
	uses("32 31 259:8 / /srv rw - ext4 /dev/nvme1n1 rw\n", SWAPS, "", "");
	needed("0000:00:03.0", "/dev/nvme1n1");
	needed("0000:00:04.0", "/dev/nvme1n1");
	free_for_guests("0000:00:02.0");
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

/* Links that go round in circles end. */
static void test_circle(void **state)
{
	(void)state;
	uses(ROOT_MOUNT, SWAPS,
	     ROUTE4 "br0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "");
	put_link("../../x/sda", "sys/devices/virtual/block/dm-1/holders/dm-0");
	put_link("../br0", "sys/devices/virtual/net/bond0/lower_br0");
	free_for_guests("0000:00:02.0");
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
		cmocka_unit_test(test_circle),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_root);
}
