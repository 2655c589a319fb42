/* SPDX-License-Identifier: BSD-2-Clause */
/* The expansion ROM of a passed-through function. Root lock held. */
#ifndef VFIO_ROM_H
#define VFIO_ROM_H

#include "vfio/vfio_pci.h"

/* Adds the ROM BAR: opt.romfile's, or the device's, or none. A romfile without an image, or with
 * one that is cut off, is an error; what else is odd about it is a warning (rom_image.h). */
int vfio_rom_init(struct vfio_pci *, struct error *);
void vfio_rom_free(struct vfio_pci *);
void vfio_rom_mapped(struct vfio_pci *, bool mapped);
/* What decodes where has changed, for some device. */
void vfio_rom_recheck(struct vfio_pci *);

#endif
