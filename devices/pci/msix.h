/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X of emulated devices: table and PBA in a BAR, one msi_route per vector, delivery by irqfd or
 * by call. The table itself is devices/pci/msix_table.h, which passed-through devices share. */
#ifndef DEVICES_PCI_MSIX_H
#define DEVICES_PCI_MSIX_H

#include "devices/pci/pci.h"

/* Adds the capability, and the table as a part of the BAR at off; the PBA is on the page behind it.
 * off is page-aligned, n is 1..2048. */
int msix_init(struct pci_device *, unsigned n, unsigned bar, uint32_t off, struct error *err);
void msix_destroy(struct pci_device *); /* the device is on no bus, and will not be again */
/* Call from cfg_written() when the capability's flags or bus mastering may have changed. */
void msix_cfg_written(struct pci_device *);
void msix_reset(struct pci_device *);
bool msix_enabled(const struct pci_device *);
/* Raise vector v now, from any thread; pends in the PBA while masked. */
void msix_notify(struct pci_device *, unsigned v);
/* The eventfd behind vector v (created on demand, owned by msix): writing to it interrupts the
 * guest without us; while the vector is masked the event pends. -errno on failure. */
int msix_eventfd(struct pci_device *, unsigned v);

#endif
