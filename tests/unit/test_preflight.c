/* SPDX-License-Identifier: BSD-2-Clause */
/* The findings of the preflight on different hosts. */
#include "preflight_fixture.h"

static void test_good(void **state)
{
	(void)state;
	host(GOOD_PCI, "", "03:00.0", GOOD_HOST GOOD_NIC);
	assert_int_equal(preflight_count(&p, PREFLIGHT_PROBLEM), 0);
	assert_int_equal(preflight_count(&p, PREFLIGHT_WARNING), 0);
	says("kvm-ok", "Intel VT-x with nested paging, with APICv", NULL);
	says("iommu-ok", "Intel VT-d, 1 group, 48 address bits", NULL);
	says("memlock-ok", "no limit", NULL);
	says("hugepages-ok", "node0: 500 of 512 x 2 MiB free", NULL);
	says("reset-ok", "by flr", NULL);
	says("bars-ok", "1 MiB", NULL);
}

static void test_kvm(void **state)
{
#define REST " iommu-ok remapping-ok vfio-ok memlock-ok hugepages-ok cpus-ok"
	(void)state;
	host(GOOD_PCI, "rm /dev/kvm", "", "kvm-not-loaded" REST);
	says("kvm-not-loaded", "/dev/kvm", "modprobe kvm_intel");
	host(GOOD_PCI, "rm /dev/kvm\nfile /proc/cpuinfo vendor_id : AuthenticAMD|flags : svm", "",
	     "kvm-not-loaded" REST);
	says("kvm-not-loaded", "/dev/kvm", "modprobe kvm_amd");
	host(GOOD_PCI, "rm /dev/kvm\nfile /proc/cpuinfo vendor_id : GenuineIntel|flags : vmxx", "",
	     "kvm-no-virtualisation" REST);
	host(GOOD_PCI, "file /sys/module/kvm_intel/parameters/ept N", "",
	     "kvm-no-nested-paging" REST);
	says("kvm-no-nested-paging", "Intel VT-x", "modprobe kvm_intel ept=1");
	host(GOOD_PCI,
	     "rm /sys/module/kvm_intel\nfile /sys/module/kvm_amd/parameters/npt 1\n"
	     "file /sys/module/kvm_amd/parameters/avic 0",
	     "", "kvm-ok" REST);
	says("kvm-ok", "AMD-V with nested paging, without AVIC", NULL);
}

/* Files that exist but may not be opened. As root, this is tested with another effective user. */
static void test_access(void **state)
{
	uid_t me = geteuid();
	char ids[1024];

	(void)state;
	forget();
	make_root(NULL);
	put_host(GOOD_PCI "mode /dev/kvm 0\nmode /dev/vfio/vfio 0\nmode /dev/vfio/13 0");
	assert_int_equal(me == 0 ? seteuid(65534) : 0, 0);
	look_at("03:00.0");
	assert_int_equal(seteuid(me), 0);
	found(ids, sizeof(ids));
	assert_string_equal(ids, "kvm-access iommu-ok remapping-ok vfio-access memlock-ok "
				 "hugepages-ok cpus-ok | driver-ok group-alone group-access "
				 "reset-ok bars-ok");
	says("kvm-access", "Permission denied", "usermod -aG kvm");
	says("vfio-access", "Permission denied", "chmod 666 /dev/vfio/vfio");
	says("group-access", "/dev/vfio/13", "chown");
	host(GOOD_PCI, "rm /dev/vfio/vfio\nrm /dev/vfio/13", "03:00.0",
	     "kvm-ok iommu-ok remapping-ok vfio-access memlock-ok hugepages-ok cpus-ok | "
	     "driver-ok group-alone group-access reset-ok bars-ok");
}

#undef REST
#define REST " vfio-ok memlock-ok hugepages-ok cpus-ok"
#define NONE "rm /sys/kernel/iommu_groups\nrm /sys/class/iommu\n"

static void no_iommu(const char *changes, const char *id)
{
	char want[256], all[512];

	snprintf(want, sizeof(want), "kvm-ok %s" REST, id);
	snprintf(all, sizeof(all), NONE "%s", changes);
	host(GOOD_PCI, all, "", want);
}

static void test_no_iommu(void **state)
{
	(void)state;
	no_iommu("", "iommu-failed");
	says("iommu-failed", "could not enable it", "dmesg");
	no_iommu("file /proc/cmdline quiet", "iommu-intel-off");
	says("iommu-intel-off", "VT-d",
	     "intel_iommu=on to GRUB_CMDLINE_LINUX in /etc/default/grub");
	says("iommu-intel-off", "VT-d", "update-grub");
	no_iommu("file /proc/cmdline quiet intel_iommu=off", "iommu-argument");
	says("iommu-argument", "intel_iommu=off", "take intel_iommu=off out of");
	no_iommu("rm /sys/firmware/acpi", "iommu-no-dmar");
	says("iommu-no-dmar", "DMAR", "VT-d in the firmware setup");
	no_iommu("rm /sys/firmware/acpi\nfile /proc/cpuinfo vendor_id : AuthenticAMD|flags : svm",
		 "iommu-no-ivrs");
	says("iommu-no-ivrs", "IVRS", "amd_iommu=off");
	no_iommu("rm /sys/firmware/acpi\nfile /sys/firmware/acpi/tables/IVRS\n"
		 "file /proc/cmdline amd_iommu=off quiet",
		 "iommu-argument");
	says("iommu-argument", "amd_iommu=off", "take amd_iommu=off out of");
	no_iommu("rm /sys/firmware/acpi\nfile /proc/cpuinfo flags : svm hypervisor",
		 "iommu-virtual");
	/* Then a device cannot be passed through, but there is no finding about the device. */
	host(GOOD_PCI, NONE "rm /sys/devices/pci0000:00/0000:03:00.0/iommu_group", "03:00.0",
	     "kvm-ok iommu-failed" REST " | driver-ok reset-ok bars-ok");
}

static void test_remapping(void **state)
{
#define OFF "file /proc/interrupts 0: 9 IO-APIC 2-edge timer\n"
	(void)state;
	host(GOOD_PCI, OFF, "", "kvm-ok iommu-ok remapping-off" REST);
	host(GOOD_PCI, OFF "file /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts Y",
	     "", "kvm-ok iommu-ok remapping-unsafe" REST);
	/* /proc/interrupts does not tell: the capabilities of the IOMMU decide, or there is no
	 * finding. */
	host(GOOD_PCI, "rm /proc/interrupts", "", "kvm-ok iommu-ok" REST);
	host(GOOD_PCI,
	     "rm /proc/interrupts\nfile /sys/class/iommu/dmar1/intel-iommu/cap c0000020660462\n"
	     "file /sys/class/iommu/dmar1/intel-iommu/ecap f0a2",
	     "", "kvm-ok iommu-ok remapping-off" REST);
	says("iommu-ok", "39 address bits", NULL);
}

#undef REST
#define REST " memlock-ok hugepages-ok cpus-ok"

static void test_no_vfio(void **state)
{
	(void)state;
	host(GOOD_PCI, "rm /sys/module/vfio_pci\nrm /sys/module/vfio_iommu_type1\nrm /dev/vfio",
	     "03:00.0",
	     "kvm-ok iommu-ok remapping-ok vfio-not-loaded" REST
	     " | driver-ok group-alone group-access reset-ok bars-ok");
	says("vfio-not-loaded", "vfio-pci vfio_iommu_type1",
	     "modprobe -a vfio-pci vfio_iommu_type1");
	host(GOOD_PCI, "rm /sys/module/vfio_iommu_type1", "",
	     "kvm-ok iommu-ok remapping-ok vfio-not-loaded" REST);
	says("vfio-not-loaded", "vfio_iommu_type1", "modprobe -a vfio_iommu_type1");
	/* A module that is only named as a dependency (after the colon) does not exist. */
	host(GOOD_PCI,
	     "rm /sys/module/vfio_pci\nfile /lib/modules/6.1.0-18-amd64/modules.dep "
	     "kernel/x/other.ko: kernel/drivers/vfio/pci/vfio-pci.ko",
	     "", "kvm-ok iommu-ok remapping-ok vfio-missing" REST);
	says("vfio-missing", "6.1.0-18-amd64) does not have: vfio-pci", "linux-image-amd64");
}

static void test_memory(void **state)
{
	(void)state;
	host(GOOD_PCI, "file /proc/meminfo MemAvailable: 1048575 kB\n", "",
	     "kvm-ok iommu-ok remapping-ok vfio-ok memory-low memlock-ok hugepages-ok cpus-ok");
	says("memory-low", "1 GiB (the default) is not available", "--memory 512M");
	host(GOOD_PCI, "file /proc/meminfo MemAvailable: 1048576 kB\n", "", GOOD_HOST);
	/* Huge pages are not among what is available. */
	host(GOOD_PCI,
	     "file /proc/meminfo MemAvailable: 1000 kB\n"
	     "file /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages 512\n"
	     "file /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 512\n",
	     "", GOOD_HOST);
}

static void test_memlock(void **state)
{
#define USER	    "file /proc/self/status CapEff:\t0000000000000000\n"
#define LIMIT(hard) "file /proc/self/limits Max locked memory  65536  " hard "  bytes"
	(void)state;
#undef REST
#define REST "kvm-ok iommu-ok remapping-ok vfio-ok "
	host(GOOD_PCI, USER LIMIT("65536"), "", REST "memlock-low hugepages-ok cpus-ok");
	says("memlock-low", "64 KiB", "prlimit --pid");
	host(GOOD_PCI, USER LIMIT("1073741823"), "", REST "memlock-low hugepages-ok cpus-ok");
	host(GOOD_PCI, USER LIMIT("1073741824"), "", REST "memlock-ok hugepages-ok cpus-ok");
	host(GOOD_PCI, USER LIMIT("1610612736"), "", REST "memlock-ok hugepages-ok cpus-ok");
	says("memlock-ok", "1.5 GiB", NULL);
	host(GOOD_PCI, USER LIMIT("unlimited"), "", REST "memlock-ok hugepages-ok cpus-ok");
	says("memlock-ok", "no limit", NULL);
	/* With CAP_IPC_LOCK only. */
	host(GOOD_PCI, LIMIT("65536") "\nfile /proc/self/status CapEff: 4000", "",
	     REST "memlock-ok hugepages-ok cpus-ok");
}

static void test_cpus(void **state)
{
#undef REST
#define REST "kvm-ok iommu-ok remapping-ok vfio-ok memlock-ok "
	(void)state;
	host(GOOD_PCI, "file /sys/devices/system/cpu/isolated", "",
	     REST "hugepages-ok cpus-shared");
	host(GOOD_PCI, "file /sys/devices/system/cpu/nohz_full (null)", "",
	     REST "hugepages-ok cpus-tick");
	says("cpus-tick", "2-5", "nohz_full=2-5");
	host(GOOD_PCI, "rm /sys/devices/system/node/node0/hugepages", "",
	     REST "hugepages-none cpus-ok");
}

static void test_table(void **state)
{
	unsigned i, j;

	(void)state;
	all_seen(0, PREFLIGHT_DEVICE_MISSING);
	for (i = 0; i < PREFLIGHT_FINDINGS; i++) {
		assert_non_null(preflight_table[i].id);
		for (j = 0; j < i; j++)
			assert_string_not_equal(preflight_table[i].id, preflight_table[j].id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	  cmocka_unit_test(test_kvm),
		cmocka_unit_test(test_access),	  cmocka_unit_test(test_no_iommu),
		cmocka_unit_test(test_remapping), cmocka_unit_test(test_no_vfio),
		cmocka_unit_test(test_memory),	  cmocka_unit_test(test_memlock),
		cmocka_unit_test(test_cpus),	  cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, tidy);
}
