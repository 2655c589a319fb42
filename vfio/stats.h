/* SPDX-License-Identifier: BSD-2-Clause */
/* What statistics say of a passed-through function. */
#ifndef VFIO_STATS_H
#define VFIO_STATS_H

#include "vfio/vfio_pci.h"

/* Registers counters and interrupts with the root's statistics. Main thread. */
void vfio_stats_init(struct vfio_pci *);
/* Interrupts are about to be disabled, and the host's counts with them: keeps these. With --stats
 * only; dev.lock held. */
void vfio_stats_keep_irqs(struct vfio_pci *);

/* For io_region.explain: why an access to the region was trapped. */
void vfio_explain_bar(const struct io_region *, uint64_t off, struct io_place *);
void vfio_explain_vga(const struct io_region *, uint64_t off, struct io_place *);

#endif
