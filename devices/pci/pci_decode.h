/* SPDX-License-Identifier: BSD-2-Clause */
/* BAR decoding, for pci.c only; devices use pci.h. All functions need the root lock. */
#ifndef DEVICES_PCI_PCI_DECODE_H
#define DEVICES_PCI_PCI_DECODE_H

#include <stdbool.h>
#include <stdint.h>

struct pci_device;

/* Called after a write of val to [off, off + size). Remembers which BARs hold a sizing value. */
void pci_note_sizing(struct pci_device *, unsigned off, unsigned size, uint32_t val);
/* True if [off, off + size) contains a register that can change how BARs decode. */
bool pci_affects_decode(const struct pci_device *, unsigned off, unsigned size);
void pci_unmap_bars(struct pci_device *);

#endif
