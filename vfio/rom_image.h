/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is in the bytes of an expansion ROM (PCI Firmware 3.3, 5.1; UEFI 2.10, 14.4.2): a chain of
 * images, each with a header (55 aa) and a PCI data structure (PCIR).
 *
 * Threads: any; no state.
 */
#ifndef VFIO_ROM_IMAGE_H
#define VFIO_ROM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

#define ROM_MAX_SIZE (16u * 1024 * 1024) /* PCI 3.0, 6.2.5.2 */
#define ROM_ANY_ID   0xffff		 /* as a device id: for each device of the vendor */

struct rom_image {
	size_t start, end; /* of the images; a flash tool's header may lie before, data behind */
	unsigned n;	   /* images */
	bool efi, legacy;  /* an image for UEFI, for a PC's BIOS is among them */
	bool has_end;	   /* the last one says that it is the last */
	/* The first image that is for another device; 0: there is none. */
	uint16_t other_vendor, other_device;
	bool any_device; /* an image is for ROM_ANY_ID */
	bool bad_sum;	 /* a legacy image whose bytes do not add up to 0 */
};

/* Finds the first image and goes through the chain. -EINVAL with the reason in *err: there is no
 * image, or one goes on beyond the end of the bytes. Everything else is only told. */
int rom_image_scan(const uint8_t *rom, size_t size, uint16_t vendor, uint16_t device,
		   struct rom_image *, struct error *err);

#endif
