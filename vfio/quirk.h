/* SPDX-License-Identifier: BSD-2-Clause */
/* What particular hardware needs beyond the rules. */
#ifndef VFIO_QUIRK_H
#define VFIO_QUIRK_H

#include "vfio/vfio_pci.h"

/* Fills in v->mirror[] by vendor and device. After vfio_config_init(), before vfio_bars_init(). */
void vfio_quirks_init(struct vfio_pci *);
/* Root lock held: BAR n began or ended to decode. */
void vfio_mirrors_mapped(struct vfio_pci *, unsigned n, bool mapped);

#endif
