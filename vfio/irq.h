/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of a passed-through function. dev.lock held, unless it says otherwise. */
#ifndef VFIO_IRQ_H
#define VFIO_IRQ_H

#include "vfio/vfio_pci.h"

/* Asks what the device has, reads the MSI and MSI-X capabilities found by vfio_config_init(), and
 * takes those away from the guest that cannot be had. No lock. -ENOMEM. */
int vfio_irqs_init(struct vfio_pci *, struct error *);
void vfio_irqs_free(struct vfio_pci *); /* no lock; turns them off first */
/* Brings the host's and KVM's side in line with what the guest has set. Root lock held as well:
 * reads configuration space. */
void vfio_irqs_sync(struct vfio_pci *);
void vfio_irqs_off(struct vfio_pci *);	 /* no interrupt reaches the guest, INTx included */
void vfio_irqs_reset(struct vfio_pci *); /* the table as after a reset: masked, zero */

#endif
