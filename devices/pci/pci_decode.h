/* SPDX-License-Identifier: BSD-2-Clause */
/* BAR decoding: what pci.c needs of pci_decode.c. Devices use pci.h only. Root lock held. */
#ifndef DEVICES_PCI_PCI_DECODE_H
#define DEVICES_PCI_PCI_DECODE_H

#include <stdbool.h>
#include <stdint.h>

struct pci_device;

/* After a write of val to [off, off + size): remembers which BARs hold a sizing value now. */
void pci_note_sizing(struct pci_device *, unsigned off, unsigned size, uint32_t val);
/* True when [off, off + size) holds a register that some BAR's decoding depends on. */
bool pci_affects_decode(const struct pci_device *, unsigned off, unsigned size);
void pci_unmap_bars(struct pci_device *);

#endif
