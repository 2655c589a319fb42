/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Containers, groups and DMA mappings, behind one ops table so that iommufd can follow.
 *
 * A struct iommu is the VM's I/O address space: groups are attached to it, guest RAM is mapped into
 * it with IOVA = GPA. It registers each group with KVM (through the callback; vfio/ does not see
 * <linux/kvm.h>). Threads: main loop only, but iommu_map/unmap of BARs, which take its lock.
 */
#ifndef VFIO_IOMMU_IOMMU_H
#define VFIO_IOMMU_IOMMU_H

#include "vmm/core/addr.h"
#include "vmm/core/error.h"
#include "vmm/core/mem.h"

struct iommu;
struct vfio_kernel;

struct iommu_config {
	/* KVM_DEV_VFIO_GROUP_ADD/DEL of a group's fd, before guest memory is mapped; 0 or -errno.
	 * May be NULL. */
	int (*kvm_group)(void *opaque, int group_fd, bool add);
	void *opaque;
};

/* NULL with *err set: no /dev/vfio/vfio, no permission, no type1 IOMMU, ... with the remedy. */
struct iommu *iommu_new(const struct iommu_config *, struct error *err);
void iommu_free(struct iommu *); /* after all devices are closed: unmaps, detaches */

/* Opens the group of the device (once a group), checks that it is viable (names the device and
 * driver that make it not so), attaches it and opens the device. The caller closes it by
 * ops->close(). bdf: "0000:01:00.0". */
struct vfio_kernel *iommu_open_device(struct iommu *, const char *bdf, struct error *err);
/* The descriptor of a group of ours, for a hot reset; -ENOENT: not ours. */
int iommu_group_fd(const struct iommu *, unsigned group);

/* Checks every dma range of guest memory against the IOMMU's valid IOVA ranges and the memlock
 * limit, which it raises; a failure names the range, or the limit and the command that raises it.
 * Once all groups have joined. */
int iommu_check_memory(struct iommu *, struct guest_mem *, struct error *err);
/* Maps every dma range, now and as they change; checks them first. */
int iommu_attach_memory(struct iommu *, struct guest_mem *, struct error *err);
void iommu_detach_memory(struct iommu *);

/* One contiguous mapping; for BARs (peer-to-peer). 0 or -errno; EBUSY is retried inside. */
int iommu_map(struct iommu *, iova_t, void *host, uint64_t size, bool write);
int iommu_unmap(struct iommu *, iova_t, uint64_t size);

/* Bits of the widest usable IOVA, for the guest's physical address width; 0: not known. Once all
 * groups have joined: each may narrow it. */
unsigned iommu_aperture_bits(struct iommu *);
/* For --stats. */
struct iommu_counts {
	unsigned map, unmap, groups;
};
struct iommu_counts iommu_counts(const struct iommu *);

#endif
