/* SPDX-License-Identifier: BSD-2-Clause */
/* The findings of the preflight for devices of different hosts, and which devices go together. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "preflight_fixture.h"
#include "vfio/host/host_use.h"

static void test_which(void **state)
{
	(void)state;
	host(GOOD_PCI,
	     "pci 00:1c.0 class=060400 id=8086:a110 group=8 driver=pcieport\n"
	     "pci 00:0f.0 class=0c0330 id=8086:a12f driver=vfio-pci reset=flr",
	     "03:00.0 07:00.0 00:1c.0 00:0f.0",
	     GOOD_HOST GOOD_NIC " | device-missing | device-bridge | driver-ok device-no-iommu "
				"reset-ok bars-ok");
	host(GOOD_PCI, "rm /dev/vfio/13", "03:00.0",
	     GOOD_HOST " | driver-ok group-alone group-access reset-ok bars-ok");
}

/* A desktop: the two functions of the card share a group with the root port above them. The host's
 * desktop runs on the card, and the firmware's framebuffer still exists. */
#define DESKTOP                                                                                  \
	GOOD "pci 00:00.0 class=060000 id=8086:191f group=0\n"                                   \
	     "pci 00:01.0 class=060400 id=8086:1901 group=1 driver=pcieport\n"                   \
	     "pci 00:1f.0 class=060100 id=8086:a145 group=7\n"                                   \
	     "pci 00:1f.4 class=0c0500 id=8086:a123 group=7 driver=i801_smbus\n"                 \
	     "pci 01:00.0 class=030000 id=10de:1c82 group=1 driver=nouveau under=00:01.0 "       \
	     "reset=pm,bus bar0=1000000 bar1=10000000p rom=80000 boot_vga=1\n"                   \
	     "pci 01:00.1 class=040300 id=10de:0fb9 group=1 driver=snd_hda_intel under=00:01.0 " \
	     "bar0=4000\n"                                                                       \
	     "class drm/card0 01:00.0\nclass drm/renderD128 01:00.0\n"                           \
	     "class sound/card1 01:00.1\nclass sound/controlC1 01:00.1\n"                        \
	     "file /proc/iomem e0000000-f1ffffff : PCI Bus 0000:01|"                             \
	     "  e0000000-efffffff : 0000:01:00.0|    e0000000-e02fffff : BOOTFB|"                \
	     "  f0000000-f0ffffff : 0000:01:00.1\n"                                              \
	     "file /proc/812/comm Xorg\nlink /proc/812/fd/0 /dev/null\n"                         \
	     "link /proc/812/fd/9 /dev/dri/card0\nlink /proc/812/fd/10 /dev/dri/renderD128\n"    \
	     "file /proc/900/comm pipewire\nlink /proc/900/fd/20 /dev/snd/controlC1\n"

#define CONSOLE                                                    \
	"file /sys/class/vtconsole/vtcon0/bind 1\n"                \
	"file /sys/class/vtconsole/vtcon0/name (S) dummy device\n" \
	"file /sys/class/vtconsole/vtcon1/bind 1\n"                \
	"file /sys/class/vtconsole/vtcon1/name (M) frame buffer device\n"

static void test_desktop(void **state)
{
	(void)state;
	host(DESKTOP, "", "01:00.0 01:00.1",
	     GOOD_HOST " | driver-other group-blocked use-screen use-process reset-bus bars-ok "
		       "rom-boot | driver-other group-blocked use-process reset-bus bars-ok");
	says("driver-other", "bound to nouveau", "minivmm bind 0000:01:00.0");
	says("group-blocked", "group 1 also contains 0000:01:00.1 (snd_hda_intel),",
	     "minivmm bind 0000:01:00.0 --group");
	says("use-process", "process 812 (Xorg) has /dev/dri/", "end that process");
	says_nth(1, "use-process", "process 900 (pipewire) has /dev/snd/controlC1", NULL);
	says("use-screen", "BOOTFB", "sysfb_init");
	says("rom-boot", "display", "--vfio 0000:01:00.0,romfile=");
	says("bars-ok", "16 MiB, 256 MiB", NULL);
	host(DESKTOP, CONSOLE, "01:00.0",
	     GOOD_HOST " | driver-other group-blocked use-console use-screen use-process reset-bus "
		       "bars-ok rom-boot");
	says("use-console", "console is on it", "echo 0 >/sys/class/vtconsole/vtcon1/bind");
	/* Bound as the remedy says; the desktop and the framebuffer are gone. */
	host(DESKTOP CONSOLE,
	     "link /sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/driver ../drivers/vfio-pci\n"
	     "link /sys/devices/pci0000:00/0000:00:01.0/0000:01:00.1/driver ../drivers/vfio-pci\n"
	     "rm /proc/812\nrm /proc/900\nrm /proc/iomem\nfile /dev/vfio/1\n"
	     "file /sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/boot_vga 0",
	     "01:00.0", GOOD_HOST " | driver-ok group-shared reset-bus bars-ok rom-ok");
	says("group-shared", "group 1 with 0000:01:00.1", NULL);
	assert_int_equal(preflight_count(&p, PREFLIGHT_PROBLEM), 0);
}

static void put_rom(const char *path, uint8_t type)
{
	uint8_t rom[1024] = { 0x55, 0xaa, [0x18] = 0x40, [0x40] = 'P', 'C', 'I', 'R' };
	char file[256];
	FILE *f;

	rom[0x50] = 2;
	rom[0x54] = type;
	rom[0x55] = 0x80;
	snprintf(file, sizeof(file), "%s%s", root, path);
	f = fopen(file, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(rom, 1, sizeof(rom), f), sizeof(rom));
	fclose(f);
}

/* A display whose ROM can be read. */
static void test_rom_content(void **state)
{
	static const char at[] = "/sys/bus/pci/devices/0000:05:00.0/rom";
	static const struct {
		uint8_t type;
		const char *id, *text;
	} roms[] = { { 3, "rom-efi", "1 KiB, with an image for UEFI" },
		     { 0, "rom-no-efi", "1 KiB, without an image for UEFI" } };
	char ids[1024];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(roms); i++) {
		forget();
		make_root(NULL);
		put_host("%s", GOOD "pci 05:00.0 class=030000 id=1002:67df group=15 "
				    "driver=vfio-pci reset=bus rom=400\nfile /dev/vfio/15\n");
		put_rom(at, roms[i].type);
		look_at("05:00.0");
		found(ids, sizeof(ids));
		says(roms[i].id, roms[i].text, i ? "romfile=FILE" : NULL);
	}
}

/* A framebuffer outside of the device does not matter. */
static void test_screen(void **state)
{
	(void)state;
	host(GOOD_PCI,
	     "file /proc/iomem e0000000-efffffff : PCI Bus 0000:01|  e0000000-e00fffff : "
	     "0000:03:00.0|  e1000000-e10fffff : BOOTFB|  e2000000-e20fffff : 0000:04:00.0|"
	     "    e2000000-e20fffff : efifb|no resource",
	     "03:00.0", GOOD_HOST GOOD_NIC);
}

static enum group_pass pass_of(const struct pci_list *l, const char *bdf)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->dev[i].bdf, bdf) == 0)
			return groups_pass(l, i);
	fail_msg("%s is not listed", bdf);
	return GROUP_PASS_NO_IOMMU;
}

static void test_groups(void **state)
{
	struct pci_list *l = &p.pci;

	(void)state;
	host(DESKTOP, "pci 00:0e.0 class=010802 id=144d:a808", "", GOOD_HOST);
	assert_int_equal(l->n, 7);
	assert_string_equal(l->dev[1].bdf, "0000:00:01.0");
	assert_string_equal(l->dev[6].bdf, "0000:00:0e.0");
	assert_int_equal(pass_of(l, "0000:00:01.0"), GROUP_PASS_BRIDGE);
	assert_int_equal(pass_of(l, "0000:01:00.0"), GROUP_PASS_TOGETHER);
	assert_string_equal(groups_other(l, 2, 0)->bdf, "0000:01:00.1");
	assert_null(groups_other(l, 2, 1));
	/* A bridge without driver does not matter; one with a driver of the host does. */
	assert_int_equal(pass_of(l, "0000:00:1f.4"), GROUP_PASS_ALONE);
	assert_int_equal(pass_of(l, "0000:00:0e.0"), GROUP_PASS_NO_IOMMU);
	host(DESKTOP, "link /sys/devices/pci0000:00/0000:00:1f.0/driver ../drivers/lpc_ich", "",
	     GOOD_HOST);
	assert_int_equal(pass_of(&p.pci, "0000:00:1f.4"), GROUP_PASS_TOGETHER);
	forget();
	make_root(NULL);
	assert_true(groups_read(root, &p.pci) < 0);
}

/* A board whose chipset ports have no ACS: two slots and the onboard NIC are in one group. */
static void test_no_acs(void **state)
{
	(void)state;
	host("file /proc/cpuinfo vendor_id : AuthenticAMD|flags : svm|address sizes : 48 bits "
	     "physical, 48 bits virtual|\n"
	     "file /proc/meminfo MemAvailable: 4194304 kB\n"
	     "file /dev/kvm\nfile /sys/module/kvm_amd/parameters/npt 1\n"
	     "file /sys/module/kvm_amd/parameters/avic 1\n"
	     "file /sys/class/iommu/ivhd0/amd-iommu/features 58f77ef22294ade:0\n"
	     "file /proc/interrupts 0: 1 IR-IO-APIC 2-edge timer\n"
	     "dir /sys/module/vfio_pci\ndir /sys/module/vfio_iommu_type1\nfile /dev/vfio/vfio\n"
	     "pci 02:00.0 class=060400 id=1022:43c6 group=15 driver=pcieport\n"
	     "pci 03:00.0 class=060400 id=1022:43c7 group=15 under=02:00.0 driver=pcieport\n"
	     "pci 04:00.0 class=020000 id=10ec:8168 group=15 under=03:00.0 driver=r8169 "
	     "reset=bus\n"
	     "pci 05:00.0 class=030000 id=1002:67df group=15 under=03:00.0 driver=vfio-pci\n"
	     "pci 05:00.1 class=040300 id=1002:aaf0 group=15 under=03:00.0 driver=vfio-pci\n"
	     "class net/eth0 04:00.0 flags=0x1003\n"
	     "class net/eth1 04:00.0 flags=0x1002\n"
	     "file /dev/vfio/15",
	     "", "05:00.0 04:00.0",
	     "kvm-ok iommu-ok remapping-ok vfio-ok memlock-ok hugepages-none cpus-shared | "
	     "driver-ok group-blocked group-no-acs reset-bus bars-ok rom-none | "
	     "driver-other group-shared group-no-acs use-net reset-bus bars-ok");
	says("kvm-ok", "with AVIC", NULL);
	says("iommu-ok", "AMD-Vi, 1 group, 64 address bits", NULL);
	says("group-blocked", "0000:04:00.0 (r8169)", NULL);
	says("group-no-acs", "slots 0000:04:00, 0000:05:00:", NULL);
	says("use-net", "eth0", "ip link set eth0 down");
	says("rom-none", "none", "romfile=FILE");
}

/* The NIC of a server: the physical function stays, and each virtual function has its own group.
 * One of them is already used by a guest. */
static void test_sriov(void **state)
{
	(void)state;
	host(GOOD,
	     "pci 3a:00.0 class=060400 id=8086:2030 group=20 driver=pcieport\n"
	     "pci 3b:00.0 class=020000 id=8086:1572 group=30 driver=i40e under=3a:00.0 reset=flr\n"
	     "pci 3b:02.0 class=020000 id=8086:154c group=31 driver=vfio-pci under=3a:00.0 "
	     "of=3b:00.0 reset=flr bar0=10000p bar3=4000p\n"
	     "pci 3b:02.1 class=020000 id=8086:154c group=32 driver=vfio-pci under=3a:00.0 "
	     "of=3b:00.0 reset=flr\n"
	     "pci 3b:02.2 class=020000 id=8086:154c group=33 under=3a:00.0 of=3b:00.0 reset=flr\n"
	     "file /dev/vfio/31\nfile /dev/vfio/32\n"
	     "file /proc/4711/comm qemu-system-x86\nlink /proc/4711/fd/30 /dev/vfio/32\n"
	     "link /proc/4712/fd/30 /dev/vfio/3",
	     "3b:02.0 3b:02.1 3b:02.2",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-ok"
		       " | driver-ok group-alone use-group reset-ok bars-ok"
		       " | driver-none group-alone reset-ok bars-ok");
	says("use-group", "process 4711 (qemu-system-x86) has /dev/vfio/32 open", "kill 4711");
	says("driver-none", "no driver", "minivmm bind 0000:3b:02.2");
	assert_int_equal(pass_of(&p.pci, "0000:3b:02.0"), GROUP_PASS_ALONE);
	/* It is a part of a GPU, so no ROM is expected. */
	host(GOOD_PCI, "pci 3b:02.0 class=030000 id=10de:20b0 of=03:00.0 reset=flr", "3b:02.0",
	     GOOD_HOST " | driver-none device-no-iommu reset-ok bars-ok");
	/* Through the device's own file, which users of iommufd open. */
	host(GOOD_PCI,
	     "dir /sys/bus/pci/devices/0000:03:00.0/vfio-dev/vfio7\n"
	     "file /proc/5000/comm crosvm\nlink /proc/5000/fd/7 /dev/vfio/devices/vfio7",
	     "03:00.0", GOOD_HOST " | driver-ok group-alone use-group reset-ok bars-ok");
}

#define DISK                                                                            \
	GOOD "pci 04:00.0 class=010802 id=144d:a808 group=14 driver=nvme reset=flr\n"   \
	     "class block/nvme0n1 04:00.0/nvme/nvme0 dev=259:0\n"                       \
	     "class block/nvme0n1p1 04:00.0/nvme/nvme0/nvme0n1 partition=1 dev=259:1\n" \
	     "class block/nvme0n1p2 04:00.0/nvme/nvme0/nvme0n1 partition=2 dev=259:2\n" \
	     "class block/nvme0n1p3 04:00.0/nvme/nvme0/nvme0n1 partition=3 dev=259:3\n"
#define DISK_FINDINGS(use) GOOD_HOST " | driver-other group-alone " use "reset-ok bars-ok"

static void test_disks(void **state)
{
	(void)state;
	host(DISK, "class block/sda1 virtual/block\n", "04:00.0", DISK_FINDINGS(""));
	host(DISK,
	     "dir /sys/class/block/nvme0n1p3/holders/dm-0\n"
	     "file /proc/self/mountinfo 21 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw|"
	     "22 21 8:1 / /srv rw - ext4 /dev/sda1 rw|23 21 259:10 / /not rw - ext4 "
	     "/dev/nvme0n1p10 rw|24 21 259:1 / /mnt rw - ext4 /dev/nvme0n1p1 rw|"
	     "25 21 259:1 / /m/a\\040b;\\011\033$(reboot)\\04 rw - ext4 /dev/nvme0n1p1 rw\n"
	     "file /proc/swaps Filename Type Size|/dev/nvme0n1p2 partition 1 0 -2\n"
	     "file /proc/77/comm \033[2Jdd\nlink /proc/77/fd/3 /dev/nvme0n1p1\n"
	     "link /proc/78/fd/3 /dev/nvme0",
	     "04:00.0", DISK_FINDINGS("use-disk use-disk use-disk use-disk use-disk use-process "));
	/* The name of a process, which it may choose, must not control the terminal. */
	says("use-process", "process 77 (?[2Jdd) has /dev/nvme0n1p1 open", NULL);
	says("use-disk", "nvme0n1p1, mounted on /", "the host runs from it");
	says_nth(1, "use-disk", "mounted on /mnt", "umount /mnt");
	says_nth(2, "use-disk", "mounted on /m/a b;??$(reboot)\\04",
		 "umount '/m/a b;??$(reboot)\\04'");
	says_nth(3, "use-disk", "nvme0n1p2, which is swap", "swapoff /dev/nvme0n1p2");
	says_nth(4, "use-disk", "nvme0n1p3, which is part of /dev/dm-0", "lsblk");
}

/* Two volumes on two partitions, the first one on both; a btrfs; one of two NVMe controllers. */
static void test_stacks(void **state)
{
	(void)state;
	host(DISK,
	     "class block/dm-0 virtual/block dev=254:0\nclass block/dm-1 virtual/block dev=254:1\n"
	     "dir /sys/class/block/nvme0n1p1/holders/dm-0\n"
	     "dir /sys/class/block/nvme0n1p2/holders/dm-0\n"
	     "dir /sys/class/block/nvme0n1p2/holders/dm-1\n"
	     "file /proc/self/mountinfo 21 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw|"
	     "22 21 0:40 /@ /home rw - btrfs /dev/nvme0n1p3 rw\n"
	     "file /proc/swaps Filename Type Size|/dev/dm-1 partition 1 0 -2\n",
	     "04:00.0", DISK_FINDINGS("use-disk use-disk use-disk "));
	says("use-disk", "the disk /dev/nvme0n1 with /dev/dm-0, mounted on /", "the host runs");
	says_nth(1, "use-disk", "dm-1, which is swap", "swapoff /dev/dm-1");
	says_nth(2, "use-disk", "nvme0n1p3, mounted on /home", "umount /home");
	host(DISK,
	     "class block/nvme1n1 virtual/nvme-subsystem/nvme-subsys1\n"
	     "link /sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1 "
	     "../../../pci0000:00/0000:04:00.0/nvme/nvme1\n"
	     "file /proc/self/mountinfo 22 21 0:40 / /srv rw - xfs /dev/nvme1n1 rw\n"
	     "link /proc/78/fd/3 /dev/nvme1n1",
	     "04:00.0", DISK_FINDINGS("use-disk use-process "));
	says("use-disk", "the disk /dev/nvme1n1, mounted on /srv", "umount /srv");
	says("use-process", "process 78 (no name) has /dev/nvme1n1", NULL);
}

/* Here a terminal is used as a file that refuses an exclusive open. */
static void test_exclusive(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	uid_t me = geteuid();
	char ids[1024];

	(void)state;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		skip();
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	assert_int_equal(fchmod(slave, 0666), 0);
	forget();
	make_root(NULL);
	put_host(DISK);
	put_link(ptsname(master), "dev/nvme0n1");
	assert_int_equal(ioctl(slave, TIOCEXCL), 0);
	assert_int_equal(me == 0 ? seteuid(65534) : 0, 0);
	look_at("04:00.0");
	assert_int_equal(seteuid(me), 0);
	found(ids, sizeof(ids));
	assert_non_null(strstr(ids, "group-alone use-disk reset-ok"));
	says("use-disk", "the disk /dev/nvme0n1, which is in use", "lsblk");
	close(slave);
	close(master);
}

/* IPv4 and IPv6 through a bridge; IPv4 directly through the other card. */
static void test_route(void **state)
{
#define BRIDGE                                                                                   \
	GOOD "pci 04:00.0 class=020000 id=8086:1 group=14 driver=igb reset=flr\n"                \
	     "pci 05:00.0 class=020000 id=8086:1 group=15 driver=igb reset=flr\n"                \
	     "class net/eth0 04:00.0/net flags=0x1003\n"                                         \
	     "class net/eth1 05:00.0/net\nclass net/br0 virtual/net\n"                           \
	     "dir /sys/class/net/br0/lower_eth0\n"                                               \
	     "file /proc/net/route Iface Destination|br0 00000000 0100A8C0 0003 0 0 0 00000000|" \
	     "eth1 00000000 0100A8C0 0003 0 0 9 00000000|eth1 0000A8C0 0 0001 0 0 0 00FFFFFF\n"
#define ZERO "00000000000000000000000000000000"
	(void)state;
	host(BRIDGE,
	     "file /proc/net/ipv6_route " ZERO " 00 " ZERO " 00 fe80000000000000021122fffe334455 "
	     "00000400 00000001 00000000 00450003 br0",
	     "04:00.0 05:00.0",
	     DISK_FINDINGS("use-route use-net ") " | driver-other group-alone use-route reset-ok "
						 "bars-ok");
	says("use-route", "default route (br0)", "ip route");
	says_nth(1, "use-route", "default route (eth1)", NULL);
}

/* For a reason why the host needs the device, `bind` refuses, and here is a problem. */
static void test_what_bind_refuses(void **state)
{
	static const struct {
		const char *host, *changes, *bdf, *id;
	} rows[] = {
		{ DESKTOP, CONSOLE, "0000:01:00.0", "use-console" },
		{ DISK, "file /proc/swaps Filename|/dev/nvme0n1p2 partition 1 0 -2\n",
		  "0000:04:00.0", "use-disk" },
		{ BRIDGE, "", "0000:04:00.0", "use-route" },
		{ GOOD,
		  "pci 02:00.0 class=020000 id=1:2 group=9 driver=igb reset=flr sriov_numvfs=2",
		  "0000:02:00.0", "use-vfs" },
	};
	char ids[1024];
	struct error why;
	unsigned i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		forget();
		make_root(NULL);
		put_host("%s", rows[i].host);
		put_host("%s", rows[i].changes);
		look_at(rows[i].bdf);
		found(ids, sizeof(ids));
		assert_true(host_use_check(root, rows[i].bdf, &why) < 0);
		assert_non_null(strstr(ids, rows[i].id));
		for (j = 0; strcmp(preflight_table[p.line[j].what].id, rows[i].id) != 0; j++)
			;
		assert_int_equal(preflight_table[p.line[j].what].level, PREFLIGHT_PROBLEM);
		assert_non_null(strstr(why.text, p.line[j].text));
	}
	says("use-vfs", "has 2 VFs", "minivmm vf 0000:02:00.0 0");
	/* And for the rest of the group. */
	host(DESKTOP, CONSOLE, "01:00.1",
	     GOOD_HOST " | driver-other group-blocked group-used use-process reset-bus bars-ok");
	says("group-used", "0000:01:00.0 is the display", "minivmm check 0000:01:00.0");
}

static void test_reset(void **state)
{
#define DEV(more) \
	"pci 06:00.0 class=020000 id=1:2 group=16 driver=vfio-pci " more "\nfile /dev/vfio/16\n"
	static const char *const line[] = {
		DEV(""),
		DEV("reset=pm"),
		DEV("reset=pm under=00:02.0"),
		DEV("under=00:02.0"),
		DEV("reset= under=00:02.0"),
		DEV("reset=device_specific,flr"),
	};
	static const char *const id[] = { "none", "pm", "bus", "bus", "bus", "ok" };
	char want[256];
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(line); i++) {
		snprintf(want, sizeof(want), GOOD_HOST " | driver-ok group-alone reset-%s bars-ok",
			 id[i]);
		host(GOOD "pci 00:02.0 class=060400 id=1:1 group=2 driver=pcieport\n", line[i],
		     "06:00.0", want);
	}
	/* The other function on its bus goes to another guest, or to the same one. */
#define OTHER                                                                           \
	GOOD "pci 00:02.0 class=060400 id=1:1 group=2\n"                                \
	     "pci 06:00.1 class=020000 id=1:2 group=17 driver=vfio-pci under=00:02.0\n" \
	     "file /dev/vfio/17\n"
	host(OTHER, DEV("under=00:02.0"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-none bars-ok");
	host(OTHER, DEV("reset=bus under=00:02.0"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-none bars-ok");
	host(OTHER, DEV("under=00:02.0"), "06:00.0 06:00.1",
	     GOOD_HOST " | driver-ok group-alone reset-bus bars-ok"
		       " | driver-ok group-alone reset-bus bars-ok");
	says("reset-bus", "by a reset of its bus", NULL);
	host(OTHER, DEV("reset=pm,bus under=00:02.0"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-pm bars-ok");
	says("reset-pm", "would hit 0000:06:00.1, which is not given", "to the same guest");
	/* There is also a device below a bridge on its bus. */
	host(GOOD "pci 00:02.0 class=060400 id=1:1 group=2\n"
		  "pci 06:01.0 class=060400 id=1:1 group=16 under=00:02.0\n"
		  "pci 07:00.0 class=020000 id=1:2 group=17 driver=vfio-pci under=06:01.0\n",
	     DEV("under=00:02.0"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-none bars-ok");
	says("reset-none", "would hit 0000:07:00.0, which is not given", NULL);
}

static void test_reset_bus_first(void **state)
{
	(void)state;
	host(OTHER, DEV("reset=bus"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-none bars-ok");
	says("reset-none", "no port above", NULL);
	host(GOOD "pci 00:02.0 class=060400 id=1:1 group=2\n", DEV("reset=bus under=00:02.0"),
	     "06:00.0", GOOD_HOST " | driver-ok group-alone reset-bus bars-ok");
	/* The administrator has changed the list. */
	host(OTHER, DEV("reset=bus,flr under=00:02.0"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-ok");
	says("reset-ok", "by flr", NULL);
	host(OTHER, DEV("reset=bus,pm under=00:02.0"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-pm bars-ok");
}

/* For a device that is alone behind its port. cfg: the part of its configuration space that can be
 * read. */
static void before_5_15(const uint8_t *cfg, size_t len, const char *want)
{
	char ids[1024], path[256];
	FILE *f;

	forget();
	make_root(NULL);
	put_host("%s", GOOD "pci 00:02.0 class=060400 id=1:1 group=2\n" DEV(
			       "under=00:02.0") "file /sys/bus/pci/devices/0000:06:00.0/reset");
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:06:00.0/config", root);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(cfg, 1, len, f), len);
	fclose(f);
	look_at("06:00.0");
	found(ids, sizeof(ids));
	assert_string_equal(ids, want);
}

/* There is a reset, but no list of methods: a run prefers FLR, then a bus reset, then the others.
 */
static void test_reset_before_5_15(void **state)
{
	uint8_t cfg[256] = { 0 };

	(void)state;
	host(GOOD, DEV("") "file /sys/bus/pci/devices/0000:06:00.0/reset", "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-ok");
	before_5_15(cfg, sizeof(cfg), GOOD_HOST " | driver-ok group-alone reset-bus bars-ok");
	cfg[0x06] = 0x10; /* a list of capabilities */
	cfg[0x34] = 0x40;
	cfg[0x40] = 0x10; /* PCI Express: device capabilities at 4, FLR in bit 28 */
	cfg[0x47] = 0x10;
	before_5_15(cfg, sizeof(cfg), GOOD_HOST " | driver-ok group-alone reset-ok bars-ok");
	says("reset-ok", "no name for", NULL);
	before_5_15(cfg, 64, GOOD_HOST " | driver-ok group-alone reset-ok bars-ok");
}

static void test_bars(void **state)
{
	(void)state;
	host(GOOD, DEV("reset=flr bar1=10000000p!"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-unplaced");
	says("bars-unplaced", "BAR 1 (256 MiB)", "Above 4G");
	/* 256 GiB fit into 42 bits, but not into the 39 bits of a small IOMMU. */
	host(GOOD, DEV("reset=flr bar1=4000000000p"), "06:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-ok");
	host(GOOD,
	     DEV("reset=flr bar1=4000000000p") "file /sys/class/iommu/dmar1/intel-iommu/cap "
					       "c0000020660462\n"
					       "file /sys/class/iommu/dmar1/intel-iommu/ecap "
					       "f0a2ff",
	     "06:00.0", GOOD_HOST " | driver-ok group-alone reset-ok bars-wide");
	says("bars-wide", "256 GiB: too large for the 39 address bits", "Resizable BAR");
	/* The number of bits grows with the need of all devices together, up to that of the host.
	 */
	host(GOOD,
	     DEV("reset=flr bar1=20000000000p") "pci 07:00.0 class=020000 group=21 driver=vfio-pci "
						"reset=flr bar1=10000000000p\n"
						"file /dev/vfio/21\n",
	     "06:00.0 07:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-ok | "
		       "driver-ok group-alone reset-ok bars-ok");
	host(GOOD,
	     DEV("reset=flr bar1=100000000000p") "pci 07:00.0 class=020000 group=21 "
						 "driver=vfio-pci reset=flr bar1=200000000000p\n"
						 "file /dev/vfio/21\n",
	     "06:00.0 07:00.0",
	     GOOD_HOST " | driver-ok group-alone reset-ok bars-ok | "
		       "driver-ok group-alone reset-ok bars-wide");
}

/* Two nodes; the first one has huge pages of two sizes, a device is on the second one. */
static void test_numa(void **state)
{
#define REST  "kvm-ok iommu-ok remapping-ok vfio-ok memlock-ok "
#define PAGES "/sys/devices/system/node/node"
	(void)state;
	host(GOOD_PCI,
	     "file " PAGES "0/hugepages/hugepages-1048576kB/nr_hugepages 4\n"
	     "file " PAGES "0/hugepages/hugepages-1048576kB/free_hugepages 3\n"
	     "file " PAGES "1/hugepages/hugepages-2048kB/nr_hugepages 0\n"
	     "file " PAGES "1/hugepages/hugepages-2048kB/free_hugepages 0\n"
	     "dir /sys/devices/system/node/power\n"
	     "pci 81:00.0 class=030200 id=10de:20b0 group=40 driver=vfio-pci reset=flr node=1 "
	     "bar1=1000000000p rom=80000\n"
	     "file /dev/vfio/40",
	     "81:00.0",
	     REST "hugepages-ok cpus-ok | driver-ok group-alone reset-ok bars-ok rom-ok "
		  "node-no-hugepages");
	says("hugepages-ok", "node0: 3 of 4 x 1 GiB free, 500 of 512 x 2 MiB free", NULL);
	says("node-no-hugepages", "node 1", "node/node1/hugepages");
	says("bars-ok", "64 GiB", NULL);
	host(GOOD_PCI,
	     "file " PAGES "1/hugepages/hugepages-2048kB/nr_hugepages 8\n"
	     "file " PAGES "1/hugepages/hugepages-2048kB/free_hugepages 8\n"
	     "pci 81:00.0 class=010802 id=144d:a808 group=40 driver=vfio-pci reset=flr node=1\n"
	     "file /dev/vfio/40",
	     "81:00.0",
	     REST "hugepages-ok hugepages-ok cpus-ok | driver-ok group-alone reset-ok bars-ok");
	says_nth(1, "hugepages-ok", "node1: 8 of 8", NULL);
	says("bars-ok", "no BAR", NULL);
}

static void test_every_finding(void **state)
{
	(void)state;
	all_seen(PREFLIGHT_DEVICE_MISSING, PREFLIGHT_USB_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_desktop),
		cmocka_unit_test(test_rom_content),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_no_acs),
		cmocka_unit_test(test_sriov),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_exclusive),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_what_bind_refuses),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_bus_first),
		cmocka_unit_test(test_reset_before_5_15),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_numa),
		cmocka_unit_test(test_every_finding),
	};

	return cmocka_run_group_tests(tests, NULL, tidy);
}
