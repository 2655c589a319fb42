/* SPDX-License-Identifier: BSD-2-Clause */
/* The legacy VGA ranges of a passed-through display (x-vga=on). */
#ifndef VFIO_VGA_H
#define VFIO_VGA_H

#include "vfio/vfio_pci.h"

int vfio_vga_init(struct vfio_pci *, struct error *); /* -ENODEV: it has no VGA region */
int vfio_vga_plug(struct vfio_pci *, struct error *); /* on the buses */
void vfio_vga_unplug(struct vfio_pci *);

#endif
