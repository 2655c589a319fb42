/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of the preflight: hosts as recorded text, and checks of what is found on them. */
#ifndef PREFLIGHT_FIXTURE_H
#define PREFLIGHT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vfio/host/preflight/preflight.h"
#include "vmm/core/addr.h"

static struct preflight p;
static bool seen[PREFLIGHT_FINDINGS];

/* A host without problems: a workstation with VT-d. */
#define GOOD                                                                                   \
	"file /proc/cpuinfo vendor_id\t: GenuineIntel|flags\t\t: fpu vmx|address sizes\t: 46 " \
	"bits "                                                                                \
	"physical, 48 bits virtual||vendor_id : AuthenticAMD\n"                                \
	"file /proc/meminfo MemAvailable: 16777216 kB\n"                                       \
	"file /proc/cmdline BOOT_IMAGE=/vmlinuz root=/dev/sda1 intel_iommu=on\n"               \
	"file /sys/firmware/acpi/tables/DMAR x\n"                                              \
	"file /dev/kvm\n"                                                                      \
	"file /sys/module/kvm_intel/parameters/ept Y\n"                                        \
	"file /sys/module/kvm_intel/parameters/enable_apicv Y\n"                               \
	"file /sys/class/iommu/dmar0/intel-iommu/cap d2008c222f0606\n"                         \
	"file /sys/class/iommu/dmar0/intel-iommu/ecap f00f4a\n"                                \
	"file /proc/interrupts  CPU0|  0: 9 IR-IO-APIC 2-edge timer|  24: 0 DMAR-MSI 0-edge "  \
	"dmar0\n"                                                                              \
	"file /proc/sys/kernel/osrelease 6.1.0-18-amd64\n"                                     \
	"file /lib/modules/6.1.0-18-amd64/modules.dep kernel/drivers/vfio/pci/vfio-pci.ko: "   \
	"kernel/drivers/vfio/vfio.ko|kernel/drivers/vfio/vfio_iommu_type1.ko.xz:\n"            \
	"dir /sys/module/vfio_pci\n"                                                           \
	"file /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts N\n"             \
	"file /dev/vfio/vfio\n"                                                                \
	"file /proc/self/limits Max open files 1024 1024 files|"                               \
	"Max locked memory         8388608              8388608              bytes\n"          \
	"file /proc/self/status Name: x|CapEff:\t000001ffffffffff\n"                           \
	"file /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages 512\n"    \
	"file /sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages 500\n"  \
	"file /sys/devices/system/cpu/isolated 2-5\n"                                          \
	"file /sys/devices/system/cpu/nohz_full 2-5\n"
#define GOOD_HOST "kvm-ok iommu-ok remapping-ok vfio-ok memlock-ok hugepages-ok cpus-ok"
#define GOOD_PCI                                                                             \
	GOOD "pci 03:00.0 class=020000 id=8086:1521 group=13 driver=vfio-pci reset=flr,bus " \
	     "bar0=100000 bar2=20i bar8=100000!\n"                                           \
	     "file /dev/vfio/13\n"
#define GOOD_NIC " | driver-ok group-alone reset-ok bars-ok"

/* ---- finding ---- */

static inline void forget(void)
{
	preflight_free(&p);
	remove_root(NULL);
}

static inline void look_at(const char *devices)
{
	char bdf[8][VFIO_BDF_SIZE], words[128], *w;
	size_t n = 0;

	preflight_init(&p, root);
	preflight_host(&p);
	snprintf(words, sizeof(words), "%s", devices);
	for (w = strtok(words, " "); w; w = strtok(NULL, " "))
		assert_int_equal(sysfs_parse_bdf(w, bdf[n++]), 0);
	preflight_devices(&p, bdf, n);
	assert_false(p.failed);
}

/* Writes the ids in their order, with " | " before each device. */
static inline void found(char *ids, size_t size)
{
	size_t i, n = 0;

	ids[0] = '\0';
	for (i = 0; i < p.n; i++) {
		const struct preflight_line *l = &p.line[i];
		bool first = i == 0 || strcmp(l->bdf, p.line[i - 1].bdf) != 0;

		n += (size_t)snprintf(ids + n, size - n, "%s%s",
				      n == 0  ? ""
				      : first ? " | "
					      : " ",
				      preflight_table[l->what].id);
		seen[l->what] = true;
		/* Every text is complete, and each finding that is not ok has a remedy. */
		assert_null(strchr(l->text, '{'));
		assert_null(strchr(l->remedy, '{'));
		assert_true(l->text[0]);
		assert_int_equal(!l->remedy[0], preflight_table[l->what].level == PREFLIGHT_OK);
		assert_true(strlen(l->remedy) < sizeof(l->remedy) - 1);
	}
}

/* Makes a host from the lines of `text`, changed by those of `changes`, and checks the findings. */
static inline void host(const char *text, const char *changes, const char *devices,
			const char *want)
{
	char ids[1024];

	forget();
	make_root(NULL);
	put_host("%s", text);
	put_host("%s", changes);
	look_at(devices);
	found(ids, sizeof(ids));
	assert_string_equal(ids, want);
}

/* Checks the text and remedy of the n-th finding with this id. */
static inline void says_nth(unsigned n, const char *id, const char *text, const char *remedy)
{
	size_t i;

	for (i = 0; i < p.n; i++)
		if (strcmp(preflight_table[p.line[i].what].id, id) == 0 && n-- == 0)
			break;
	assert_true(i < p.n);
	if (!strstr(p.line[i].text, text))
		fail_msg("%s: '%s' does not say '%s'", id, p.line[i].text, text);
	if (remedy && !strstr(p.line[i].remedy, remedy))
		fail_msg("%s: '%s' does not say '%s'", id, p.line[i].remedy, remedy);
}

static inline void says(const char *id, const char *text, const char *remedy)
{
	says_nth(0, id, text, remedy);
}

/* Checks that some test has found each row of the table from `first` to before `end`. */
static inline void all_seen(unsigned first, unsigned end)
{
	unsigned i;

	for (i = first; i < end; i++) {
		/* These come from KVM itself and from the firmware's finder: tests/host/check.sh.
		 */
		if (i == PREFLIGHT_KVM_LACKS || i == PREFLIGHT_FIRMWARE_OK ||
		    i == PREFLIGHT_FIRMWARE_MISSING)
			continue;
		if (!seen[i])
			fail_msg("no host here has %s", preflight_table[i].id);
	}
}

static inline int tidy(void **state)
{
	(void)state;
	forget();
	return 0;
}

#endif
