/* SPDX-License-Identifier: BSD-2-Clause */
/* What particular hardware needs beyond the rules. */
#ifndef VFIO_QUIRK_H
#define VFIO_QUIRK_H

#include "vfio/vfio_pci.h"

/* Adds parts to the BARs, by vendor and device. Between vfio_config_init() and vfio_bars_init(). */
void vfio_quirks_init(struct vfio_pci *);

#endif
