/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSI-X table of a passed-through function. */
#ifndef VFIO_MSIX_H
#define VFIO_MSIX_H

#include "vfio/vfio_pci.h"

/* Makes irq.table and irq.msix from the capability, and adds table and PBA to their BARs; table.n
 * is 0 when the guest gets no MSI-X: the device has none, or its table lies outside its BAR. A PBA
 * that does is left out. -ENOMEM. Before the device is plugged. */
int vfio_msix_init(struct vfio_pci *);

#endif
