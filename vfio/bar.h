/* SPDX-License-Identifier: BSD-2-Clause */
/* BARs of a passed-through function. Root lock held, but for the trapped accesses. */
#ifndef VFIO_BAR_H
#define VFIO_BAR_H

#include "vfio/vfio_pci.h"

/* How long a BAR that does not decode may stay in guest memory: longer than a guest needs to size
 * the registers of a device. */
#define VFIO_LINGER_NS 20000000ull

/* Adds the guest's BARs and maps what can be mapped into our process. After vfio_config_init() and
 * vfio_irqs_init(). A part that cannot be mapped is trapped. -ENOMEM. */
int vfio_bars_init(struct vfio_pci *, struct error *);
void vfio_bars_free(struct vfio_pci *);
/* pci_device_ops. */
void vfio_bar_mapped(struct pci_device *, unsigned n, bool mapped);
void vfio_bar_claimed(struct pci_device *, const struct pci_device *by, unsigned n, uint64_t base,
		      uint64_t size);
void vfio_bars_recheck(struct vfio_pci *);
/* Brings guest memory in line with which BARs decode and whether the device sleeps. */
void vfio_bars_sync(struct vfio_pci *);
/* Takes BARs out of guest memory (and the IOMMU): all, or those that are stale. */
void vfio_bars_drop(struct vfio_pci *, bool only_stale);
bool vfio_bars_any(const struct vfio_pci *, bool stale); /* any live (stale: live and stale) one */
/* Peer-to-peer: brings the IOMMU in line with env.p2p and which BARs are live. Mapping may take
 * long; a failure is a warning. */
void vfio_bars_p2p(struct vfio_pci *);

/* What of a region is mapped: its sparse areas (or all of it), in ascending order, whole pages,
 * without the pages that `hole` touches. *out is allocated; returns the count or -ENOMEM. */
int vfio_bar_areas(const struct vfio_region_info *, const struct vfio_area *hole, unsigned n_holes,
		   struct vfio_area **out);

#endif
