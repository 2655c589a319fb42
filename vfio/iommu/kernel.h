/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one opened VFIO device can do, as an ops table: the real one makes the ioctls
 * (vfio/iommu/kernel.c), the unit tests' fake keeps a device in memory. Every decision in vfio/ is
 * made above this line and tested against the fake.
 *
 * Structures are the UAPI's own (linux/vfio.h, kernel document driver-api/vfio.rst). All calls
 * return 0/count or -errno.
 */
#ifndef VFIO_IOMMU_KERNEL_H
#define VFIO_IOMMU_KERNEL_H

#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vfio_kernel;

struct vfio_kernel_ops {
	/* *info is allocated with its capability chain; the caller frees it. */
	int (*device_info)(struct vfio_kernel *, struct vfio_device_info **info);
	int (*region_info)(struct vfio_kernel *, unsigned index, struct vfio_region_info **info);
	ssize_t (*region_read)(struct vfio_kernel *, uint64_t off, void *buf, size_t len);
	ssize_t (*region_write)(struct vfio_kernel *, uint64_t off, const void *buf, size_t len);
	/* Maps [off, off + len) of the device fd at `at` (reserved by the caller, MAP_FIXED). */
	int (*region_mmap)(struct vfio_kernel *, void *at, size_t len, int prot, uint64_t off);
	int (*irq_info)(struct vfio_kernel *, unsigned index, struct vfio_irq_info *);
	/* As VFIO_DEVICE_SET_IRQS: 0, a positive count (fewer vectors than asked), or -errno. */
	int (*set_irqs)(struct vfio_kernel *, const struct vfio_irq_set *);
	int (*reset)(struct vfio_kernel *); /* VFIO_DEVICE_RESET */
	/* Devices that a bus reset would hit; *n in: room, out: count. -ENOSPC with the count. */
	int (*hot_reset_info)(struct vfio_kernel *, struct vfio_pci_dependent_device *,
			      unsigned *n);
	/* fds: see iommu_hot_reset_fds(). */
	int (*hot_reset)(struct vfio_kernel *, const int *fds, unsigned n);
	void (*close)(struct vfio_kernel *);
};

struct vfio_kernel {
	const struct vfio_kernel_ops *ops;
	char name[16]; /* "0000:01:00.0" */
};

/* Wraps a descriptor that answers VFIO_DEVICE_*, and owns it. close() and a failure (NULL: out of
 * memory) give it to close_fd with opaque; NULL: they close it. */
struct vfio_kernel *vfio_kernel_new(int fd, const char *bdf, void (*close_fd)(void *opaque, int fd),
				    void *opaque);

/* Bytes of a region of the device; 0: there is none. */
uint64_t vfio_region_size(struct vfio_kernel *, unsigned index);

#endif
