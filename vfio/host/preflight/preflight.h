/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks whether this host is ready for a machine with passed-through devices: finds problems, and
 * names remedies. It changes nothing.
 *
 * Each possible finding has a row in one table (preflight_table.c) with its level, its text and its
 * remedy. The code only decides which rows apply.
 *
 * Threads: any; a struct preflight belongs to one thread.
 */
#ifndef VFIO_HOST_PREFLIGHT_PREFLIGHT_H
#define VFIO_HOST_PREFLIGHT_PREFLIGHT_H

#include "vfio/host/groups.h"

enum preflight_level {
	PREFLIGHT_OK,
	PREFLIGHT_WARNING, /* a run starts, but something will not work as well as it could */
	PREFLIGHT_PROBLEM, /* a run does not start */
};

enum preflight_finding {
	/* the host */
	PREFLIGHT_KVM_OK,
	PREFLIGHT_KVM_SLOW,
	PREFLIGHT_KVM_NO_VIRT,
	PREFLIGHT_KVM_NOT_LOADED,
	PREFLIGHT_KVM_ACCESS,
	PREFLIGHT_KVM_LACKS, /* added by vmm/cli/check.c, which opens KVM */
	PREFLIGHT_IOMMU_OK,
	PREFLIGHT_IOMMU_ARGUMENT,
	PREFLIGHT_IOMMU_INTEL,
	PREFLIGHT_IOMMU_FAILED,
	PREFLIGHT_IOMMU_NO_DMAR,
	PREFLIGHT_IOMMU_NO_IVRS,
	PREFLIGHT_IOMMU_VIRTUAL,
	PREFLIGHT_REMAPPING_OK,
	PREFLIGHT_REMAPPING_UNSAFE,
	PREFLIGHT_REMAPPING_OFF,
	PREFLIGHT_VFIO_OK,
	PREFLIGHT_VFIO_NOT_LOADED,
	PREFLIGHT_VFIO_MISSING,
	PREFLIGHT_VFIO_ACCESS,
	PREFLIGHT_MEMORY_LOW,
	PREFLIGHT_MEMLOCK_OK,
	PREFLIGHT_MEMLOCK_LOW,
	PREFLIGHT_HUGEPAGES_OK,
	PREFLIGHT_HUGEPAGES_NONE,
	PREFLIGHT_CPUS_OK,
	PREFLIGHT_CPUS_TICK,
	PREFLIGHT_CPUS_SHARED,
	PREFLIGHT_FIRMWARE_OK, /* added by vmm/cli/check.c, which searches for firmware */
	PREFLIGHT_FIRMWARE_MISSING,
	/* a device */
	PREFLIGHT_DEVICE_MISSING,
	PREFLIGHT_DEVICE_BRIDGE,
	PREFLIGHT_DEVICE_NO_IOMMU,
	PREFLIGHT_DRIVER_OK,
	PREFLIGHT_DRIVER_NONE,
	PREFLIGHT_DRIVER_OTHER,
	PREFLIGHT_GROUP_ALONE,
	PREFLIGHT_GROUP_SHARED,
	PREFLIGHT_GROUP_BLOCKED,
	PREFLIGHT_GROUP_USED,
	PREFLIGHT_GROUP_NO_ACS,
	PREFLIGHT_GROUP_ACCESS,
	PREFLIGHT_USE_GROUP,
	PREFLIGHT_USE_VFS,
	PREFLIGHT_USE_CONSOLE,
	PREFLIGHT_USE_ROUTE,
	PREFLIGHT_USE_NET,
	PREFLIGHT_USE_DISK,
	PREFLIGHT_USE_PROCESS,
	PREFLIGHT_USE_SCREEN,
	PREFLIGHT_RESET_OK,
	PREFLIGHT_RESET_BUS,
	PREFLIGHT_RESET_PM,
	PREFLIGHT_RESET_NONE,
	PREFLIGHT_BARS_OK,
	PREFLIGHT_BARS_UNPLACED,
	PREFLIGHT_BARS_WIDE,
	PREFLIGHT_ROM_OK,
	PREFLIGHT_ROM_EFI,
	PREFLIGHT_ROM_NO_EFI,
	PREFLIGHT_ROM_BOOT,
	PREFLIGHT_ROM_NONE,
	PREFLIGHT_NODE_FAR,
	/* a USB device or an input device: added by vmm/cli/check_usb.c */
	PREFLIGHT_USB_OK,
	PREFLIGHT_USB_DRIVERS,
	PREFLIGHT_USB_MISSING,
	PREFLIGHT_USB_HUB,
	PREFLIGHT_USB_SEVERAL,
	PREFLIGHT_USB_TAKEN,
	PREFLIGHT_USB_ACCESS,
	PREFLIGHT_USB_NODE,
	PREFLIGHT_USB_USE,
	PREFLIGHT_USB_FORCED,
	PREFLIGHT_USB_KEYBOARD,
	PREFLIGHT_INPUT_OK,
	PREFLIGHT_INPUT_MISSING,
	PREFLIGHT_INPUT_ACCESS,
	PREFLIGHT_INPUT_BUSY,
	PREFLIGHT_INPUT_NONE,
	PREFLIGHT_INPUT_OTHER,
	PREFLIGHT_INPUT_TOGGLE,
	PREFLIGHT_FINDINGS
};

struct preflight_row {
	const char *id;	   /* must not change, because programs use it */
	const char *topic; /* one or two words */
	enum preflight_level level;
	/* {1} to {4} stand for the texts given to preflight_add(), {dev} for the device. The remedy
	 * of PREFLIGHT_OK is NULL. */
	const char *text, *remedy;
};
extern const struct preflight_row preflight_table[PREFLIGHT_FINDINGS];

#define PREFLIGHT_NAME_SIZE 128

struct preflight_line {
	enum preflight_finding what;
	char bdf[PREFLIGHT_NAME_SIZE]; /* or the name of a USB or input device; "": the host */
	char text[400], remedy[400];
};

struct preflight {
	const char *root; /* see vfio/host/sysfs.h */
	struct pci_list pci;
	struct preflight_line *line; /* in the order in which they were found */
	size_t n;
	char bdf[PREFLIGHT_NAME_SIZE]; /* the device of the next findings; "": the host */
	bool no_vfio; /* the guest gets no PCI device: what only that needs is not looked at */
	unsigned iommu_bits; /* 0: not known */
	bool has_iommu, has_hugepages;
	bool failed; /* out of memory: findings are missing */
};

/* Call preflight_free() at the end. */
void preflight_init(struct preflight *, const char *root);
void preflight_free(struct preflight *);

/* Checks the host. Must be called before preflight_devices(). */
void preflight_host(struct preflight *);
/* Checks n devices that one guest shall get. The addresses come from sysfs_parse_bdf(). */
void preflight_devices(struct preflight *, const char (*bdf)[VFIO_BDF_SIZE], size_t n);

/* Adds a finding with up to four texts, for example preflight_say(p, WHAT, "one", "two"). */
#define PREFLIGHT_TEXTS 4
void preflight_add(struct preflight *, enum preflight_finding,
		   const char *const text[PREFLIGHT_TEXTS]);
#define preflight_say(p, what, ...) \
	preflight_add(p, what, (const char *const[PREFLIGHT_TEXTS]){ __VA_ARGS__ })

/* The number of findings of a level. */
size_t preflight_count(const struct preflight *, enum preflight_level);

#endif
