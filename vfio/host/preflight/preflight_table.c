/* SPDX-License-Identifier: BSD-2-Clause */
/* All findings: id, topic, level, text and remedy. The commands are for Debian. Where distributions
 * differ, the remedy names the file to change. */
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
				    "enable VT-x (Intel) or SVM (AMD) in the firmware setup "
				    "(BIOS); in a virtual machine, enable nested virtualisation on "
				    "its host" },
	[PREFLIGHT_KVM_NOT_LOADED] = { "kvm-not-loaded", "kvm", PROBLEM, "/dev/kvm does not exist",
				       "modprobe {1}" },
	[PREFLIGHT_KVM_ACCESS] = { "kvm-access", "kvm", PROBLEM, "/dev/kvm cannot be opened: {1}",
				   "as root: usermod -aG kvm {2}, then log in again" },
	[PREFLIGHT_KVM_LACKS] = { "kvm-lacks", "kvm", PROBLEM, "{1}",
				  "dmesg | grep -i kvm says more" },

	[PREFLIGHT_IOMMU_OK] = { "iommu-ok", "iommu", OK, "{1}, {2}{3}", NULL },
	[PREFLIGHT_IOMMU_ARGUMENT] = { "iommu-argument", "iommu", PROBLEM,
				       "the kernel's command line disables the IOMMU: {1}",
				       "take {1} out of " GRUB },
	[PREFLIGHT_IOMMU_INTEL] = { "iommu-intel-off", "iommu", PROBLEM,
				    "the firmware offers an IOMMU (Intel VT-d), but the kernel "
				    "does not use it",
				    "add intel_iommu=on to " GRUB },
	[PREFLIGHT_IOMMU_FAILED] = { "iommu-failed", "iommu", PROBLEM,
				     "the firmware offers an IOMMU, but the kernel could not "
				     "enable it",
				     "dmesg | grep -e DMAR -e AMD-Vi says why" },
	[PREFLIGHT_IOMMU_NO_DMAR] = { "iommu-no-dmar", "iommu", PROBLEM,
				      "the firmware offers no IOMMU (no ACPI table DMAR)",
				      "enable VT-d in the firmware setup (BIOS), and add "
				      "intel_iommu=on to " GRUB },
	[PREFLIGHT_IOMMU_NO_IVRS] = { "iommu-no-ivrs", "iommu", PROBLEM,
				      "the firmware offers no IOMMU (no ACPI table IVRS)",
				      "enable IOMMU (AMD-Vi) in the firmware setup (BIOS); Linux "
				      "uses it unless amd_iommu=off is in /etc/default/grub" },
	[PREFLIGHT_IOMMU_VIRTUAL] = { "iommu-virtual", "iommu", PROBLEM,
				      "this is a virtual machine, and it has no IOMMU",
				      "give it one on its host (QEMU: -machine "
				      "q35,kernel-irqchip=split -device intel-iommu,intremap=on) "
				      "and boot it with intel_iommu=on" },

	[PREFLIGHT_REMAPPING_OK] = { "remapping-ok", "interrupts", OK, "remapped by the IOMMU",
				     NULL },
	[PREFLIGHT_REMAPPING_UNSAFE] = { "remapping-unsafe", "interrupts", WARNING,
					 "not remapped, and allow_unsafe_interrupts permits that: "
					 "a guest with a device can raise any interrupt of the "
					 "host",
					 "enable x2APIC or interrupt remapping in the firmware "
					 "setup (BIOS); boot without intremap=off" },
	[PREFLIGHT_REMAPPING_OFF] = { "remapping-off", "interrupts", PROBLEM,
				      "the IOMMU does not remap them, so VFIO refuses every device",
				      "enable x2APIC or interrupt remapping in the firmware setup "
				      "(BIOS), and boot without intremap=off; or, if you trust all "
				      "guests: echo 1 "
				      ">/sys/module/vfio_iommu_type1/parameters/"
				      "allow_unsafe_interrupts" },

	[PREFLIGHT_VFIO_OK] = { "vfio-ok", "vfio", OK, "vfio-pci and vfio_iommu_type1 are loaded",
				NULL },
	[PREFLIGHT_VFIO_NOT_LOADED] = { "vfio-not-loaded", "vfio", PROBLEM, "not loaded: {1}",
					"modprobe -a {1}; to load them at every boot, write the "
					"names into /etc/modules-load.d/vfio.conf, one per line" },
	[PREFLIGHT_VFIO_MISSING] = { "vfio-missing", "vfio", PROBLEM,
				     "this kernel ({2}) does not have: {1}",
				     "apt install linux-image-amd64; reboot" },
	[PREFLIGHT_VFIO_ACCESS] = { "vfio-access", "vfio", PROBLEM,
				    "/dev/vfio/vfio cannot be opened: {1}",
				    "as root: chmod 666 /dev/vfio/vfio (this file alone gives "
				    "access to no device)" },

	[PREFLIGHT_MEMORY_LOW] = { "memory-low", "memory", PROBLEM,
				   "a guest with a device takes all its memory at the start, and 1 "
				   "GiB (the default) is not available",
				   "end programs that use much, or give the guest less: --memory "
				   "512M" },

	[PREFLIGHT_MEMLOCK_OK] = { "memlock-ok", "memlock", OK, "{1}", NULL },
	[PREFLIGHT_MEMLOCK_LOW] = { "memlock-low", "memlock", PROBLEM,
				    "only {1} can be locked, but a guest with a device locks all "
				    "its memory (1 GiB by default)",
				    "for this shell, as root: prlimit --pid {2} "
				    "--memlock=unlimited; permanently: the line '* hard memlock "
				    "unlimited' in /etc/security/limits.conf" },
	[PREFLIGHT_HUGEPAGES_OK] = { "hugepages-ok", "hugepages", OK, "{1}: {2}", NULL },
	[PREFLIGHT_HUGEPAGES_NONE] = { "hugepages-none", "hugepages", WARNING, "none reserved",
				       "for 4 GiB: echo 2048 >/sys/kernel/mm/hugepages/"
				       "hugepages-2048kB/nr_hugepages, or hugepagesz=1G "
				       "hugepages=4 in " GRUB },
	[PREFLIGHT_CPUS_OK] = { "cpus-ok", "processors", OK,
				"isolated: {1}; without timer tick: {2}", NULL },
	[PREFLIGHT_CPUS_TICK] = { "cpus-tick", "processors", WARNING,
				  "isolated: {1}, but the timer tick interrupts them",
				  "add nohz_full={1} to " GRUB },
	[PREFLIGHT_CPUS_SHARED] = { "cpus-shared", "processors", WARNING,
				    "none is isolated: guests share them with the tasks of the "
				    "host",
				    "for steady latency: isolcpus=LIST nohz_full=LIST in " GRUB },
	[PREFLIGHT_FIRMWARE_OK] = { "firmware-ok", "firmware", OK, "{1}", NULL },
	[PREFLIGHT_FIRMWARE_MISSING] = { "firmware-missing", "firmware", PROBLEM,
					 "OVMF was not found: without it a guest can start only "
					 "with --kernel",
					 "apt install ovmf, or name the file with --firmware" },

	/* ---- a device ---- */
	[PREFLIGHT_DEVICE_MISSING] = { "device-missing", "device", PROBLEM,
				       "this host has no such PCI device",
				       "minivmm groups lists the devices that exist" },
	[PREFLIGHT_DEVICE_BRIDGE] = { "device-bridge", "device", PROBLEM,
				      "a bridge stays with the host",
				      "name the devices behind it: minivmm groups lists them" },
	[PREFLIGHT_DEVICE_NO_IOMMU] = { "device-no-iommu", "device", PROBLEM,
					"it is not behind the IOMMU",
					"put it into another slot, or choose another device" },
	[PREFLIGHT_DRIVER_OK] = { "driver-ok", "driver", OK, "{1}", NULL },
	[PREFLIGHT_DRIVER_NONE] = { "driver-none", "driver", PROBLEM, "it is bound to no driver",
				    "minivmm bind {dev}" },
	[PREFLIGHT_DRIVER_OTHER] = { "driver-other", "driver", PROBLEM, "it is bound to {1}",
				     "minivmm bind {dev}" },

	[PREFLIGHT_GROUP_ALONE] = { "group-alone", "group", OK, "alone in group {1}", NULL },
	[PREFLIGHT_GROUP_SHARED] = { "group-shared", "group", OK,
				     "in group {1} with {2}, which the host does not use", NULL },
	[PREFLIGHT_GROUP_BLOCKED] = { "group-blocked", "group", PROBLEM,
				      "group {1} also contains {2}, and a group goes to a guest as "
				      "a whole",
				      "minivmm bind {dev} --group" },
	[PREFLIGHT_GROUP_USED] = { "group-used", "group", PROBLEM, "{1}",
				   "minivmm check {2} says how to free it; or pass no device of "
				   "this group" },
	[PREFLIGHT_GROUP_NO_ACS] = { "group-no-acs", "isolation", WARNING,
				     "group {1} spans the slots {2}: no ACS isolates them from "
				     "each other",
				     "use a slot with its own root port, or give them all to one "
				     "guest" },
	[PREFLIGHT_GROUP_ACCESS] = { "group-access", "group", PROBLEM,
				     "/dev/vfio/{1} cannot be opened: {2}",
				     "as root: chown {3} /dev/vfio/{1}" },

	[PREFLIGHT_USE_GROUP] = { "use-group", "in use", PROBLEM, "process {1} ({2}) has {3} open",
				  "end that process: kill {1}" },
	[PREFLIGHT_USE_NET] = { "use-net", "in use", WARNING, "network interface {1} is up",
				"ip link set {1} down; if the host needs it, do not pass this "
				"device" },
	[PREFLIGHT_USE_VFS] = { "use-vfs", "in use", PROBLEM, "{1}", "minivmm vf {dev} 0" },
	[PREFLIGHT_USE_DISK] = { "use-disk", "in use", PROBLEM, "{1}", "{2}" },
	[PREFLIGHT_USE_CONSOLE] = { "use-console", "in use", PROBLEM, "{1}",
				    "log in over the network, then: echo 0 "
				    ">/sys/class/vtconsole/{2}/bind" },
	[PREFLIGHT_USE_ROUTE] = { "use-route", "in use", PROBLEM, "{1}",
				  "do not pass this device, or give the host another default route "
				  "(ip route)" },
	[PREFLIGHT_USE_PROCESS] = { "use-process", "in use", WARNING,
				    "process {1} ({2}) has {3} open",
				    "end that process before binding" },
	[PREFLIGHT_USE_SCREEN] = { "use-screen", "in use", WARNING,
				   "the firmware's framebuffer ({1}) lies in its memory: the guest "
				   "may not get that BAR",
				   "add initcall_blacklist=sysfb_init to " GRUB },

	[PREFLIGHT_RESET_OK] = { "reset-ok", "reset", OK, "by {1}", NULL },
	[PREFLIGHT_RESET_BUS] = { "reset-bus", "reset", OK, "by a reset of its bus", NULL },
	[PREFLIGHT_RESET_PM] = { "reset-pm", "reset", WARNING,
				 "by power management only, which may leave parts of its state: "
				 "{1}",
				 "if that names a device, give it to the same guest: then the bus "
				 "can be reset" },
	[PREFLIGHT_RESET_NONE] = { "reset-none", "reset", WARNING,
				   "not possible ({1}): after a reboot of the guest the device may "
				   "not work",
				   "power the guest off instead of rebooting; if the device then "
				   "fails, reboot the host" },

	[PREFLIGHT_BARS_OK] = { "bars-ok", "memory", OK, "{1}", NULL },
	[PREFLIGHT_BARS_UNPLACED] = { "bars-unplaced", "memory", PROBLEM,
				      "BAR {1} ({2}) has no address: the host's firmware found no "
				      "space for it",
				      "enable 'Above 4G decoding' in the firmware setup (BIOS), or "
				      "boot with pci=realloc" },
	[PREFLIGHT_BARS_WIDE] = { "bars-wide", "memory", PROBLEM,
				  "{1}: too large for the {2} address bits that a guest has on "
				  "this host",
				  "make BARs smaller (Resizable BAR) in the firmware setup (BIOS), "
				  "or give the guest fewer devices" },

	[PREFLIGHT_ROM_OK] = { "rom-ok", "option ROM", OK, "{1}", NULL },
	[PREFLIGHT_ROM_EFI] = { "rom-efi", "option ROM", OK, "{1}, with an image for UEFI", NULL },
	[PREFLIGHT_ROM_NO_EFI] = { "rom-no-efi", "option ROM", WARNING,
				   "{1}, without an image for UEFI: the guest's firmware will show "
				   "no picture on it",
				   "--vfio {dev},romfile=FILE with a ROM that has a UEFI image "
				   "(GOP)" },
	[PREFLIGHT_ROM_BOOT] = { "rom-boot", "option ROM", WARNING,
				 "the host booted with this display, which may have changed its "
				 "ROM",
				 "if the guest shows no picture: --vfio {dev},romfile=FILE" },
	[PREFLIGHT_ROM_NONE] = { "rom-none", "option ROM", WARNING,
				 "none: the guest's firmware will show no picture on it",
				 "--vfio {dev},romfile=FILE with the card's ROM" },
	[PREFLIGHT_NODE_FAR] = { "node-no-hugepages", "hugepages", WARNING,
				 "none on node {1}, the node of the device",
				 "echo 2048 >/sys/devices/system/node/node{1}/hugepages/"
				 "hugepages-2048kB/nr_hugepages" },

	/* ---- a USB device ---- */
	[PREFLIGHT_USB_OK] = { "usb-ok", "usb", OK, "{1}, in port {2}", NULL },
	[PREFLIGHT_USB_DRIVERS] = { "usb-drivers", "driver", OK,
				    "the host's drivers lose it until the machine ends: {1}",
				    NULL },
	[PREFLIGHT_USB_MISSING] = { "usb-missing", "usb", PROBLEM,
				    "this host has no such USB device now",
				    "plug it in; minivmm usb lists the devices that are there" },
	[PREFLIGHT_USB_HUB] = { "usb-hub", "usb", PROBLEM, "a USB hub stays with the host",
				"name the devices behind it: minivmm usb lists them" },
	[PREFLIGHT_USB_SEVERAL] = { "usb-several", "usb", PROBLEM, "{1}",
				    "minivmm usb lists them" },
	[PREFLIGHT_USB_TAKEN] = { "usb-taken", "usb", PROBLEM, "{1}",
				  "minivmm ctl list shows the machines that run" },
	[PREFLIGHT_USB_ACCESS] = { "usb-access", "access", PROBLEM,
				   "there is no permission to open {1}", "{2}" },
	[PREFLIGHT_USB_NODE] = { "usb-node", "access", PROBLEM, "{1}", "mount /dev/bus/usb here" },
	[PREFLIGHT_USB_USE] = { "usb-use", "in use", PROBLEM, "{1}",
				"end that first (umount), or pass it all the same with force=on" },
	[PREFLIGHT_USB_FORCED] = { "usb-forced", "in use", WARNING,
				   "{1}; with force=on the host loses it all the same",
				   "end that first (umount)" },
	[PREFLIGHT_USB_KEYBOARD] = { "usb-only-keyboard", "in use", WARNING,
				     "it is the only keyboard of this host: you can end the "
				     "machine only from elsewhere, as by ssh",
				     "lend it with --input: both Ctrl keys give it back" },

	/* ---- a keyboard or mouse that is lent ---- */
	[PREFLIGHT_INPUT_OK] = { "input-ok", "input", OK, "{1}: {2}", NULL },
	[PREFLIGHT_INPUT_MISSING] = { "input-missing", "input", PROBLEM, "there is no such file",
				      "ls /dev/input/by-id shows what is there; keyboards end in "
				      "-event-kbd, mice in -event-mouse" },
	[PREFLIGHT_INPUT_ACCESS] = { "input-access", "access", PROBLEM,
				     "there is no permission to open it", "{1}" },
	[PREFLIGHT_INPUT_BUSY] = { "input-busy", "in use", PROBLEM, "{1}",
				   "as root, fuser -v {dev} shows who has it open" },
	[PREFLIGHT_INPUT_NONE] = { "input-none", "input", PROBLEM, "it is no input device",
				   "take one of /dev/input/by-id that has -event- in its name" },
	[PREFLIGHT_INPUT_OTHER] = { "input-other", "input", PROBLEM, "{1}",
				    "take one of /dev/input/by-id that ends in -event-kbd or "
				    "-event-mouse" },
	[PREFLIGHT_INPUT_TOGGLE] = { "input-no-toggle", "input", WARNING,
				     "no --input device has both Ctrl keys, which give the "
				     "devices back to the host",
				     "add a keyboard with --input, or be ready to end the machine "
				     "from elsewhere, as by ssh" },
};
