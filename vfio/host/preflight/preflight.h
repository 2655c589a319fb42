/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether this host is ready for a machine with passed-through devices: what stands in the way, and
 * what to do about it. Only reads.
 *
 * Everything that can be found has a row in one table (preflight_table.c): its level, what it
 * says, its remedy. The code only decides which row holds.
 *
 * Threads: any, one a struct.
 */
#ifndef VFIO_HOST_PREFLIGHT_PREFLIGHT_H
#define VFIO_HOST_PREFLIGHT_PREFLIGHT_H

#include "vfio/host/groups.h"

enum preflight_level {
	PREFLIGHT_OK,
	PREFLIGHT_WARNING, /* a run starts, and something will be less than it could */
	PREFLIGHT_PROBLEM, /* a run does not start */
};

enum preflight_finding {
	/* the host */
	PREFLIGHT_KVM_OK,
	PREFLIGHT_KVM_SLOW,
	PREFLIGHT_KVM_NO_VIRT,
	PREFLIGHT_KVM_NOT_LOADED,
	PREFLIGHT_KVM_ACCESS,
	PREFLIGHT_KVM_LACKS, /* for who opens KVM */
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
	PREFLIGHT_MEMLOCK_OK,
	PREFLIGHT_MEMLOCK_LOW,
	PREFLIGHT_HUGEPAGES_OK,
	PREFLIGHT_HUGEPAGES_NONE,
	PREFLIGHT_CPUS_OK,
	PREFLIGHT_CPUS_TICK,
	PREFLIGHT_CPUS_SHARED,
	PREFLIGHT_FIRMWARE_OK, /* for who looks for it */
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
	PREFLIGHT_GROUP_NO_ACS,
	PREFLIGHT_GROUP_ACCESS,
	PREFLIGHT_USE_GROUP,
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
	PREFLIGHT_FINDINGS
};

struct preflight_row {
	const char *id;	   /* never changes: programs know it */
	const char *topic; /* a word or two */
	enum preflight_level level;
	/* {1} to {4} are what is said with it, {dev} is the device. remedy: NULL for what is ok. */
	const char *text, *remedy;
};
extern const struct preflight_row preflight_table[PREFLIGHT_FINDINGS];

struct preflight_line {
	enum preflight_finding what;
	char bdf[VFIO_BDF_SIZE]; /* "": the host */
	char text[240], remedy[320];
};

struct preflight {
	const char *root; /* as in vfio/host/sysfs.h */
	struct pci_list pci;
	struct preflight_line *line; /* as they were found */
	size_t n;
	char bdf[VFIO_BDF_SIZE]; /* whose findings come next */
	unsigned iommu_bits;	 /* 0: not known */
	bool has_iommu, has_hugepages;
	bool failed; /* out of memory: findings are missing */
};

/* preflight_free() in the end. */
void preflight_init(struct preflight *, const char *root);
void preflight_free(struct preflight *);

/* What a run needs of the host; first. */
void preflight_host(struct preflight *);
/* What it needs of n devices that one guest is to have, by their addresses from sysfs_parse_bdf().
 */
void preflight_devices(struct preflight *, const char (*bdf)[VFIO_BDF_SIZE], size_t n);

/* Adds a finding. With up to four texts: preflight_say(p, WHAT, "one", "two"). */
#define PREFLIGHT_TEXTS 4
void preflight_add(struct preflight *, enum preflight_finding,
		   const char *const text[PREFLIGHT_TEXTS]);
#define preflight_say(p, what, ...) \
	preflight_add(p, what, (const char *const[PREFLIGHT_TEXTS]){ __VA_ARGS__ })

/* How many there are of a level. */
size_t preflight_count(const struct preflight *, enum preflight_level);

#endif
