/* SPDX-License-Identifier: BSD-2-Clause */
/* The expansion ROM of a passed-through function. Root lock held. */
#ifndef VFIO_ROM_H
#define VFIO_ROM_H

#include "vfio/parts.h"

/* Adds the ROM BAR: opt.romfile's, or the device's, or none. A broken romfile is an error. */
int vfio_rom_init(struct vfio_pci *, struct error *);
void vfio_rom_free(struct vfio_pci *);
void vfio_rom_mapped(struct vfio_pci *, bool mapped);

/* Is this a ROM image for the device (PCI Firmware 3.3, 5.1)? Checks every image in it: signature,
 * PCIR, ids, length, and the checksum of legacy images. 0, or -EINVAL with the reason in *err. */
int vfio_rom_check(const uint8_t *rom, size_t size, uint16_t vendor, uint16_t device,
		   struct error *err);

#endif
