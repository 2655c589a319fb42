/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_SET_IRQS, and the eventfds that it is given. dev.lock held, but for ERR and REQ,
 * which are the main loop's. */
#ifndef VFIO_SET_IRQS_H
#define VFIO_SET_IRQS_H

#include "vfio/vfio_pci.h"

/* action: VFIO_IRQ_SET_ACTION_*, on interrupts [start, start + count) of the index. fds: an eventfd
 * for each, -1 for none; NULL: the call carries no data. 0, -errno, or a positive number: so many
 * vectors can be had, fewer than were asked for. */
int vfio_set_irqs(struct vfio_pci *, unsigned index, uint32_t action, unsigned start,
		  unsigned count, const int32_t *fds);
/* Disables all interrupts of the index. */
void vfio_disable_irqs(struct vfio_pci *, unsigned index);

/* Makes an eventfd when *fd is -1. False with errno when there is none to be had. */
bool vfio_irq_fd(int *fd);
void vfio_irq_fd_close(int *fd); /* *fd is -1 afterwards, and may be before */

#endif
