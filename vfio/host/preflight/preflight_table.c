/* SPDX-License-Identifier: BSD-2-Clause */
/* Every finding: what it is called, how bad it is, what it says and what helps. Commands are for
 * Debian; where another distribution differs, the file to change is named. */
#include "vfio/host/preflight/preflight.h"

#define OK	PREFLIGHT_OK
#define WARNING PREFLIGHT_WARNING
#define PROBLEM PREFLIGHT_PROBLEM
#define GRUB	"GRUB_CMDLINE_LINUX in /etc/default/grub, then: update-grub; reboot"

const struct preflight_row preflight_table[PREFLIGHT_FINDINGS] = {
	/* ---- the host ---- */
	[PREFLIGHT_KVM_OK] = { "kvm-ok", "kvm", OK, "{1}", NULL },
	[PREFLIGHT_KVM_SLOW] = { "kvm-no-nested-paging", "kvm", WARNING,
				 "{1} without nested paging: guests run at a fraction of the speed",
				 "modprobe -r {2}; modprobe {2} {3}=1" },
	[PREFLIGHT_KVM_NO_VIRT] = { "kvm-no-virtualisation", "kvm", PROBLEM,
				    "the processor does not offer virtualisation",
				    "enable VT-x (Intel) or SVM (AMD) in the machine's setup; in a "
				    "virtual machine, nested virtualisation in its host" },
	[PREFLIGHT_KVM_NOT_LOADED] = { "kvm-not-loaded", "kvm", PROBLEM, "/dev/kvm is not there",
				       "modprobe {1}" },
	[PREFLIGHT_KVM_ACCESS] = { "kvm-access", "kvm", PROBLEM, "/dev/kvm cannot be opened: {1}",
				   "as root: usermod -aG kvm {2}, then log in again" },
	[PREFLIGHT_KVM_LACKS] = { "kvm-lacks", "kvm", PROBLEM, "{1}",
				  "dmesg | grep -i kvm says more" },

	[PREFLIGHT_IOMMU_OK] = { "iommu-ok", "iommu", OK, "{1}, {2}{3}", NULL },
	[PREFLIGHT_IOMMU_ARGUMENT] = { "iommu-argument", "iommu", PROBLEM,
				       "the kernel was told not to use the IOMMU: {1}",
				       "take {1} out of " GRUB },
	[PREFLIGHT_IOMMU_INTEL] = { "iommu-intel-off", "iommu", PROBLEM,
				    "the firmware offers an IOMMU (Intel VT-d), the kernel does "
				    "not use it",
				    "add intel_iommu=on to " GRUB },
	[PREFLIGHT_IOMMU_FAILED] = { "iommu-failed", "iommu", PROBLEM,
				     "the firmware offers an IOMMU, but the kernel drives none",
				     "dmesg | grep -e DMAR -e AMD-Vi says why" },
	[PREFLIGHT_IOMMU_NO_DMAR] = { "iommu-no-dmar", "iommu", PROBLEM,
				      "the firmware offers no IOMMU (no ACPI table DMAR)",
				      "enable VT-d in the machine's setup, and add intel_iommu=on "
				      "to " GRUB },
	[PREFLIGHT_IOMMU_NO_IVRS] = { "iommu-no-ivrs", "iommu", PROBLEM,
				      "the firmware offers no IOMMU (no ACPI table IVRS)",
				      "enable IOMMU (AMD-Vi) in the machine's setup; Linux uses it "
				      "unless amd_iommu=off is in /etc/default/grub" },
	[PREFLIGHT_IOMMU_VIRTUAL] = { "iommu-virtual", "iommu", PROBLEM,
				      "this is a virtual machine, and it has no IOMMU",
				      "give it one in its host (QEMU: -machine "
				      "q35,kernel-irqchip=split -device intel-iommu,intremap=on) "
				      "and boot with intel_iommu=on" },

	[PREFLIGHT_REMAPPING_OK] = { "remapping-ok", "interrupts", OK, "remapped by the IOMMU",
				     NULL },
	[PREFLIGHT_REMAPPING_UNSAFE] = { "remapping-unsafe", "interrupts", WARNING,
					 "not remapped, and allowed so: a guest with a device can "
					 "raise any interrupt of the host",
					 "enable x2APIC or interrupt remapping in the machine's "
					 "setup; boot without intremap=off" },
	[PREFLIGHT_REMAPPING_OFF] = { "remapping-off", "interrupts", PROBLEM,
				      "the IOMMU does not remap them: VFIO refuses every device",
				      "enable x2APIC or interrupt remapping in the machine's "
				      "setup, boot without intremap=off; or where all guests are "
				      "trusted: echo 1 >/sys/module/vfio_iommu_type1/parameters/"
				      "allow_unsafe_interrupts" },

	[PREFLIGHT_VFIO_OK] = { "vfio-ok", "vfio", OK, "vfio-pci and vfio_iommu_type1 are loaded",
				NULL },
	[PREFLIGHT_VFIO_NOT_LOADED] = { "vfio-not-loaded", "vfio", PROBLEM, "not loaded: {1}",
					"modprobe -a {1}; at every start: the same names, a line "
					"each, in /etc/modules-load.d/vfio.conf" },
	[PREFLIGHT_VFIO_MISSING] = { "vfio-missing", "vfio", PROBLEM,
				     "this kernel ({2}) does not have: {1}",
				     "apt install linux-image-amd64; reboot" },
	[PREFLIGHT_VFIO_ACCESS] = { "vfio-access", "vfio", PROBLEM,
				    "/dev/vfio/vfio cannot be opened: {1}",
				    "as root: chmod 666 /dev/vfio/vfio; it is of no use without a "
				    "group's file" },

	[PREFLIGHT_MEMLOCK_OK] = { "memlock-ok", "memlock", OK, "{1}", NULL },
	[PREFLIGHT_MEMLOCK_LOW] = { "memlock-low", "memlock", PROBLEM,
				    "only {1} can be locked; all memory of a guest with a device "
				    "is, 1 GiB by default",
				    "as root: prlimit --pid {2} --memlock=unlimited for this "
				    "shell; for good: a line '* hard memlock unlimited' in "
				    "/etc/security/limits.conf" },
	[PREFLIGHT_HUGEPAGES_OK] = { "hugepages-ok", "hugepages", OK, "{1}: {2}", NULL },
	[PREFLIGHT_HUGEPAGES_NONE] = { "hugepages-none", "hugepages", WARNING, "none reserved",
				       "for 4 GiB: echo 2048 >/sys/kernel/mm/hugepages/"
				       "hugepages-2048kB/nr_hugepages, or hugepagesz=1G "
				       "hugepages=4 in " GRUB },
	[PREFLIGHT_CPUS_OK] = { "cpus-ok", "processors", OK, "isolated: {1}; no tick: {2}", NULL },
	[PREFLIGHT_CPUS_TICK] = { "cpus-tick", "processors", WARNING,
				  "isolated: {1}, but the timer tick interrupts them",
				  "add nohz_full={1} to " GRUB },
	[PREFLIGHT_CPUS_SHARED] = { "cpus-shared", "processors", WARNING,
				    "none isolated: guests share them with the host's tasks",
				    "for steady latency: isolcpus=LIST nohz_full=LIST in " GRUB },
	[PREFLIGHT_FIRMWARE_OK] = { "firmware-ok", "firmware", OK, "{1}", NULL },
	[PREFLIGHT_FIRMWARE_MISSING] = { "firmware-missing", "firmware", PROBLEM,
					 "OVMF is not found: without it only --kernel starts",
					 "apt install ovmf, or name one with --firmware" },

	/* ---- a device ---- */
	[PREFLIGHT_DEVICE_MISSING] = { "device-missing", "device", PROBLEM,
				       "this host has no such PCI device",
				       "minivmm groups lists what there is" },
	[PREFLIGHT_DEVICE_BRIDGE] = { "device-bridge", "device", PROBLEM,
				      "a bridge stays with the host",
				      "give the devices behind it: minivmm groups lists them" },
	[PREFLIGHT_DEVICE_NO_IOMMU] = { "device-no-iommu", "device", PROBLEM,
					"the IOMMU does not look after it",
					"choose another slot or device" },
	[PREFLIGHT_DRIVER_OK] = { "driver-ok", "driver", OK, "{1}", NULL },
	[PREFLIGHT_DRIVER_NONE] = { "driver-none", "driver", PROBLEM, "no driver has it",
				    "minivmm bind {dev}" },
	[PREFLIGHT_DRIVER_OTHER] = { "driver-other", "driver", PROBLEM, "{1} has it",
				     "minivmm bind {dev}" },

	[PREFLIGHT_GROUP_ALONE] = { "group-alone", "group", OK, "alone in group {1}", NULL },
	[PREFLIGHT_GROUP_SHARED] = { "group-shared", "group", OK,
				     "group {1} with {2}, which the host does not use", NULL },
	[PREFLIGHT_GROUP_BLOCKED] = { "group-blocked", "group", PROBLEM,
				      "group {1} also holds {2}, and goes to a guest as a whole",
				      "minivmm bind {dev} --group" },
	[PREFLIGHT_GROUP_NO_ACS] = { "group-no-acs", "isolation", WARNING,
				     "group {1} spans the slots {2}: no ACS keeps them apart",
				     "use a slot with a root port of its own, or give them all to "
				     "one guest" },
	[PREFLIGHT_GROUP_ACCESS] = { "group-access", "group", PROBLEM,
				     "/dev/vfio/{1} cannot be opened: {2}",
				     "as root: chown {3} /dev/vfio/{1}" },

	[PREFLIGHT_USE_GROUP] = { "use-group", "in use", PROBLEM, "process {1} ({2}) has {3} open",
				  "end it: kill {1}" },
	[PREFLIGHT_USE_NET] = { "use-net", "in use", WARNING, "network interface {1} is up",
				"ip link set {1} down, or keep it: the host may need it" },
	[PREFLIGHT_USE_DISK] = { "use-disk", "in use", WARNING, "{1}", "{2}" },
	[PREFLIGHT_USE_CONSOLE] = { "use-console", "in use", WARNING, "{1}",
				    "log in over a network, then: echo 0 >/sys/class/vtconsole/"
				    "{2}/bind" },
	[PREFLIGHT_USE_ROUTE] = { "use-route", "in use", WARNING, "{1}",
				  "keep it, or give the host another way out: ip route shows it" },
	[PREFLIGHT_USE_PROCESS] = { "use-process", "in use", WARNING,
				    "process {1} ({2}) has {3} open", "end it before binding" },
	[PREFLIGHT_USE_SCREEN] = { "use-screen", "in use", WARNING,
				   "the firmware's screen ({1}) lies in its memory: the guest "
				   "may not get that BAR",
				   "add initcall_blacklist=sysfb_init to " GRUB },

	[PREFLIGHT_RESET_OK] = { "reset-ok", "reset", OK, "by {1}", NULL },
	[PREFLIGHT_RESET_BUS] = { "reset-bus", "reset", OK, "with its bus", NULL },
	[PREFLIGHT_RESET_PM] = { "reset-pm", "reset", WARNING,
				 "by power management only, which may leave it half as it was",
				 "give all functions of its bus to one guest, then the bus is "
				 "reset" },
	[PREFLIGHT_RESET_NONE] = { "reset-none", "reset", WARNING,
				   "none: it will not survive a guest's reboot",
				   "power the guest off instead of rebooting; if the device then "
				   "fails, reboot the host" },

	[PREFLIGHT_BARS_OK] = { "bars-ok", "memory", OK, "{1}", NULL },
	[PREFLIGHT_BARS_UNPLACED] = { "bars-unplaced", "memory", PROBLEM,
				      "BAR {1} ({2}) has no address: the host's firmware found no "
				      "room",
				      "enable 'Above 4G decoding' in the machine's setup, or boot "
				      "with pci=realloc" },
	[PREFLIGHT_BARS_WIDE] = { "bars-wide", "memory", PROBLEM,
				  "{1}: too much for the {2} address bits that a guest has here",
				  "make BARs smaller (Resizable BAR) in the machine's setup, or give "
				  "the guest fewer devices" },

	[PREFLIGHT_ROM_OK] = { "rom-ok", "option ROM", OK, "{1}", NULL },
	[PREFLIGHT_ROM_EFI] = { "rom-efi", "option ROM", OK, "{1}, with an image for UEFI", NULL },
	[PREFLIGHT_ROM_NO_EFI] = { "rom-no-efi", "option ROM", WARNING,
				   "{1}, without an image for UEFI: firmware will show no picture "
				   "on it",
				   "--vfio {dev},romfile=FILE with a ROM that has one (GOP)" },
	[PREFLIGHT_ROM_BOOT] = { "rom-boot", "option ROM", WARNING,
				 "the host started on this display: its ROM may have changed",
				 "if the guest shows no picture: --vfio {dev},romfile=FILE" },
	[PREFLIGHT_ROM_NONE] = { "rom-none", "option ROM", WARNING,
				 "none: firmware will show no picture on it",
				 "--vfio {dev},romfile=FILE with the card's ROM" },
	[PREFLIGHT_NODE_FAR] = { "node-no-hugepages", "hugepages", WARNING,
				 "none on node {1}, where the device is",
				 "echo 2048 >/sys/devices/system/node/node{1}/hugepages/"
				 "hugepages-2048kB/nr_hugepages" },
};
