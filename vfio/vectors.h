/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI and MSI-X vectors of a passed-through function, by what irq.table, irq.guest_msi and irq.mode
 * say. dev.lock held, unless it says otherwise. */
#ifndef VFIO_VECTORS_H
#define VFIO_VECTORS_H

#include "vfio/vfio_pci.h"

/* n vectors that nobody knows of yet; NULL: no memory. No lock. */
struct vfio_vector *vfio_vectors_new(unsigned n);
/* NULL: nothing to do. After vfio_vectors_leave(). No lock. */
void vfio_vectors_free(struct vfio_vector *, unsigned n);

/* Enables MSI or MSI-X on the host, with the vectors that the guest has unmasked. irq.mode is off
 * when the host refuses, which is a warning. */
void vfio_vectors_enter(struct vfio_pci *, enum vfio_irq_mode);
/* Masks or messages of vectors [first, end) of the present mode have changed, or may have. */
void vfio_vectors_update(struct vfio_pci *, unsigned first, unsigned end);
/* Disables the present mode; irq.mode is the caller's to set. */
void vfio_vectors_leave(struct vfio_pci *);

/* The pending bit of one vector, and MSI's of all, by polling. */
bool vfio_vector_pends(const struct vfio_vector *);
uint32_t vfio_msi_pending(const struct vfio_pci *);

#endif
