/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What users have: a dump of the card, whose first bytes may be a header of the vendor's flash tool
 * ("NVGI"); a dump that was patched, or taken after the card had run it, so that its checksum is
 * wrong; the ROM of a sister card; a driver that was made into a ROM for any device of the vendor.
 * UEFI firmware runs all of these, and none of them can harm more than the guest that runs it. So
 * only what firmware could not walk is an error: no image, or an image that is cut off.
 */
#include "vfio/rom_image.h"

#include <errno.h>
#include <string.h>

#include "devices/pci/pci.h"

#define ROM_UNIT      512u
#define PCIR_POINTER  0x18u
#define PCIR_LEN      0x18u /* without a device list */
#define PCIR_LIST     0x08u /* revision 3: offset of the device list, ends in a 0 */
#define PCIR_LAST     0x80u
#define CODE_TYPE_X86 0
#define CODE_TYPE_EFI 3

/* The PCI data structure of an image that begins at p; 0: no image begins there. */
static size_t image_pcir(const uint8_t *p, size_t left)
{
	size_t pcir;

	if (left < PCIR_POINTER + 2 || p[0] != 0x55 || p[1] != 0xaa)
		return 0;
	pcir = pci_get16(p, PCIR_POINTER);
	return range_ok(pcir, PCIR_LEN, left) && memcmp(p + pcir, "PCIR", 4) == 0 ? pcir : 0;
}

/* Tools put headers of any length before the images: every byte may be the first. */
static bool image_first(const uint8_t *rom, size_t size, size_t *at)
{
	const uint8_t *p = rom;

	while ((p = memchr(p, 0x55, size - (size_t)(p - rom)))) {
		*at = (size_t)(p - rom);
		if (image_pcir(p, size - *at))
			return true;
		p++;
	}
	return false;
}

static bool in_device_list(const uint8_t *image, size_t len, size_t at, uint16_t device)
{
	for (; range_ok(at, 2, len); at += 2) {
		uint16_t id = pci_get16(image, (unsigned)at);

		if (!id)
			return false;
		if (id == device)
			return true;
	}
	return false;
}

static void image_ids(struct rom_image *r, const uint8_t *image, size_t len, size_t pcir,
		      uint16_t vendor, uint16_t device)
{
	const uint8_t *p = image + pcir;
	uint16_t list = pci_get16(p, PCIR_LIST), v = pci_get16(p, 4), d = pci_get16(p, 6);

	r->any_device |= d == ROM_ANY_ID;
	if (v == vendor &&
	    (d == device || d == ROM_ANY_ID ||
	     (p[0xc] >= 3 && list && in_device_list(image, len, pcir + list, device))))
		return;
	if (r->other_vendor || r->other_device)
		return;
	r->other_vendor = v;
	r->other_device = d;
}

static void image_kind(struct rom_image *r, const uint8_t *image, size_t len, uint8_t type)
{
	uint8_t sum = 0;

	r->efi |= type == CODE_TYPE_EFI;
	if (type != CODE_TYPE_X86)
		return;
	r->legacy = true;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + image[i]);
	r->bad_sum |= sum != 0;
}

int rom_image_scan(const uint8_t *rom, size_t size, uint16_t vendor, uint16_t device,
		   struct rom_image *r, struct error *err)
{
	*r = (struct rom_image){ 0 };
	if (!size || !image_first(rom, size, &r->start))
		return error_set(
			err, -EINVAL,
			"this is not an option ROM: its %zu bytes contain no image (55 aa, PCIR)",
			size);
	for (r->end = r->start; !r->has_end;) {
		const uint8_t *image = rom + r->end;
		size_t left = size - r->end, pcir = image_pcir(image, left), len;

		if (!pcir) /* firmware ends here, too */
			return 0;
		len = (size_t)pci_get16(image + pcir, 0x10) * ROM_UNIT;
		if (len > left || pcir + PCIR_LEN > len)
			return error_set(err, -EINVAL,
					 "the image at %#zx should have %zu bytes, but only %zu "
					 "are there: the file is damaged or truncated",
					 r->end, len, left);
		image_ids(r, image, len, pcir, vendor, device);
		image_kind(r, image, len, image[pcir + 0x14]);
		r->has_end = image[pcir + 0x15] & PCIR_LAST;
		r->n++;
		r->end += len;
	}
	return 0;
}
