/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Under struct iommu: what a kind of I/O address space does (type1v2 in vfio/iommu/iommu_type1.c,
 * fakes with and without groups in the unit tests), and the decisions about it that need no kernel.
 * The table knows no groups, because iommufd has none.
 *
 * Threads: as iommu.h; the caller's lock serialises map and unmap. open_device and close_device are
 * called for several devices at the same time.
 */
#ifndef VFIO_IOMMU_IOMMU_BACKEND_H
#define VFIO_IOMMU_IOMMU_BACKEND_H

#include "vfio/iommu/iommu.h"

#define IOMMU_MAX_RANGES 64

/* The usable I/O virtual addresses, ascending; both ends belong to the range. */
struct iommu_limits {
	struct iommu_range {
		uint64_t first, last;
	} range[IOMMU_MAX_RANGES];
	unsigned n;
	unsigned maps_left;    /* UINT_MAX: the kernel does not say */
	const char *more_maps; /* else: what allows more */
};

struct iommu_ops {
	/* Before the device is opened: what devices may share, its IOMMU group, joins the address
	 * space and KVM. For one device after the other. 0, or -errno with *err filled in, naming
	 * the device. NULL: the kind has no groups. */
	int (*join)(void *backend, const struct sysfs_pci *, struct error *err);
	/* Opens the device into the address space, and tells KVM of the descriptor where it is the
	 * device's that KVM wants to know. Returns a descriptor that answers VFIO_DEVICE_*, or
	 * -errno with *err filled in, naming the device. */
	int (*open_device)(void *backend, const struct sysfs_pci *, struct error *err);
	/* Closes that descriptor; NULL: close() is all there is to do. */
	void (*close_device)(void *backend, int fd);
	/* Whatever no open device needs leaves the address space and KVM. NULL: closing the devices
	 * was all there is to do. */
	void (*leave)(void *backend);
	int (*map)(void *backend, uint64_t iova, void *host, uint64_t size, bool write);
	int (*unmap)(void *backend, uint64_t iova, uint64_t size);
	/* Valid once a device is open, and narrower with each further one. -errno with *err. */
	int (*limits)(void *backend, struct iommu_limits *, struct error *err);
	/* As iommu_hot_reset_fds(). The kernel names a device's group or its number in the address
	 * space; which of them, is the backend's to know. */
	int (*hot_reset_fds)(void *backend, const struct vfio_pci_dependent_device *hit, unsigned n,
			     int *fds, unsigned *foreign);
	void (*free)(void *backend);
};

/* Takes the backend over, also when it fails (NULL: out of memory). */
struct iommu *iommu_new_with(const struct iommu_ops *, void *backend);
/* The backend of Linux' type 1 IOMMU; NULL with *err set. */
void *iommu_type1_new(const struct iommu_config *, const struct iommu_ops **, struct error *err);

struct iommu_group {
	unsigned nr;
	int fd;
};

/* -1: it is none of these. */
int iommu_group_fd(const struct iommu_group *, unsigned n_groups, unsigned nr);
/* hot_reset_fds() where there are groups: each group that is hit once, and no others. */
int iommu_group_fds(const struct iommu_group *, unsigned n_groups,
		    const struct vfio_pci_dependent_device *hit, unsigned n, int *fds,
		    unsigned *foreign);

/* Reads the answer to VFIO_IOMMU_GET_INFO, capability chain included, of len bytes. An answer
 * without ranges means all of 64 bits. -EINVAL: the chain leads out of it. */
int iommu_limits_parse(const void *info, size_t len, struct iommu_limits *);
/* True when [iova, iova + size) may be mapped; else the first byte that may not is in *bad. */
bool iommu_limits_allow(const struct iommu_limits *, uint64_t iova, uint64_t size, uint64_t *bad);
unsigned iommu_limits_bits(const struct iommu_limits *);

#endif
