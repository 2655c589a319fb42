/* SPDX-License-Identifier: BSD-2-Clause */
/* INTx of a passed-through function. dev.lock held. */
#ifndef VFIO_INTX_H
#define VFIO_INTX_H

#include "vfio/vfio_pci.h"

/* Connects the device's INTx with the guest's line; irq.mode says whether it is on. A function
 * without INTx stays off, a failure is a warning. */
void vfio_intx_enter(struct vfio_pci *);
/* Disconnects it; irq.mode is the caller's to set. */
void vfio_intx_leave(struct vfio_pci *);

#endif
