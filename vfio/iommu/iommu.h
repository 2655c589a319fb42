/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM's I/O address space: devices are opened into it, guest RAM is mapped into it with IOVA =
 * GPA. What opening takes, a VFIO group or none, is the matter of a kind of address space
 * (iommu_backend.h).
 *
 * Threads: one at a time, at the start the main one, but iommu_map/unmap of BARs, which take a
 * lock, and that any thread may close a device. Several are opened by a thread each: the kernel
 * resets a device as it opens it, which sleeps for 100 ms.
 */
#ifndef VFIO_IOMMU_IOMMU_H
#define VFIO_IOMMU_IOMMU_H

#include "vmm/core/addr.h"
#include "vmm/core/error.h"
#include "vmm/core/mem.h"

struct iommu;
struct sysfs_pci;
struct vfio_kernel;
struct vfio_pci_dependent_device;

struct iommu_config {
	/* KVM_DEV_VFIO_FILE_ADD/DEL: the descriptor of a group, or of a device where there are no
	 * groups, before guest memory is mapped; 0 or -errno. vfio/ does not see <linux/kvm.h>. May
	 * be NULL. */
	int (*kvm_file)(void *opaque, int fd, bool add);
	void *opaque;
};

/* NULL with *err set: no /dev/vfio/vfio, no permission, no type1 IOMMU, ... with the remedy. */
struct iommu *iommu_new(const struct iommu_config *, struct error *err);
void iommu_free(struct iommu *); /* after all devices are closed: unmaps, detaches */

/* Opens a device that sysfs_check() found fit, KVM told. The caller closes it by ops->close(). NULL
 * with *err set: what is in the way, and the remedy. */
struct vfio_kernel *iommu_open_device(struct iommu *, const struct sysfs_pci *, struct error *err);
/* The same for n devices at the same time, after the groups of all have been joined in this order.
 * -errno: *err is about the first device, in this order, that failed; k has those that are open
 * nevertheless, and NULL for the others. */
int iommu_open_devices(struct iommu *, const struct sysfs_pci *const *, unsigned n,
		       struct vfio_kernel **k, struct error *err);
/* After devices were closed: IOMMU groups without an open device leave the address space and KVM,
 * so that the host can have them. Without any device, guest memory is detached, too. */
void iommu_release_unused(struct iommu *);
/* For a hot reset that hits these n devices: fills fds, which has room for n, with what
 * VFIO_DEVICE_PCI_HOT_RESET takes as proof that all are ours, and returns how many it takes.
 * -EPERM: hit[*foreign] is not ours. The descriptors stay valid until the groups leave:
 * iommu_release_unused(), iommu_free(). */
int iommu_hot_reset_fds(const struct iommu *, const struct vfio_pci_dependent_device *hit,
			unsigned n, int *fds, unsigned *foreign);

/* Checks every dma range of guest memory against the IOMMU's valid IOVA ranges and the memlock
 * limit, which it raises; a failure names the range, or the limit and the command that raises it.
 * Once all devices are open. */
int iommu_check_memory(struct iommu *, struct guest_mem *, struct error *err);
/* Maps every dma range, now and as they change; checks them first. Does nothing when memory is
 * attached. The guest may be running. */
int iommu_attach_memory(struct iommu *, struct guest_mem *, struct error *err);
void iommu_detach_memory(struct iommu *);

/* One contiguous mapping; for BARs (peer-to-peer). 0 or -errno; EBUSY is retried inside. */
int iommu_map(struct iommu *, iova_t, void *host, uint64_t size, bool write);
int iommu_unmap(struct iommu *, iova_t, uint64_t size);

/* Bits of the widest usable IOVA, for the guest's physical address width; 0: not known. Once all
 * devices are open: each may narrow it. */
unsigned iommu_aperture_bits(struct iommu *);

#endif
