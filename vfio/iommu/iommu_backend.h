/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Under struct iommu: what a kind of I/O address space does (type1v2 in vfio/iommu/iommu_type1.c, a
 * fake in the unit tests), and the decisions about it that need no kernel.
 *
 * Threads: as iommu.h; the caller's lock serialises map and unmap.
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
	unsigned maps_left; /* UINT_MAX: the kernel does not say */
};

struct iommu_ops {
	/* Adds the group to the address space. -errno with *err filled in. */
	int (*attach)(void *backend, int group_fd, unsigned group, struct error *err);
	void (*detach)(void *backend, int group_fd);
	int (*map)(void *backend, uint64_t iova, void *host, uint64_t size, bool write);
	int (*unmap)(void *backend, uint64_t iova, uint64_t size);
	/* Valid once a group is attached, and narrower with each further one. */
	int (*limits)(void *backend, struct iommu_limits *);
	void (*free)(void *backend);
};

/* Takes the backend over, also when it fails (NULL: out of memory). */
struct iommu *iommu_new_with(const struct iommu_ops *, void *backend, const struct iommu_config *);
/* The backend of Linux' type 1 IOMMU; NULL with *err set. */
void *iommu_type1_new(const struct iommu_ops **, struct error *err);

/* Reads the answer to VFIO_IOMMU_GET_INFO, capability chain included, of len bytes. An answer
 * without ranges means all of 64 bits. -EINVAL: the chain leads out of it. */
int iommu_limits_parse(const void *info, size_t len, struct iommu_limits *);
/* True when [iova, iova + size) may be mapped; else the first byte that may not is in *bad. */
bool iommu_limits_allow(const struct iommu_limits *, uint64_t iova, uint64_t size, uint64_t *bad);
unsigned iommu_limits_bits(const struct iommu_limits *);

#endif
