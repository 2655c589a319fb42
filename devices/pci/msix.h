/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X of emulated devices: table and PBA in a BAR, one msi_route per vector, delivery by irqfd or
 * by call. (Passed-through devices keep guest state and host state apart in vfio/ and use their
 * own.) */
#ifndef DEVICES_PCI_MSIX_H
#define DEVICES_PCI_MSIX_H

#include "devices/pci/pci.h"

/* Adds the capability; table at bar/off, PBA right behind it, page-aligned. The device's BAR
 * callbacks must forward [off, off + msix_span(n)) to msix_read/msix_write. n: 1..2048. */
int msix_init(struct pci_device *, unsigned n, unsigned bar, uint32_t off, struct error *);
void msix_destroy(struct pci_device *);
uint32_t msix_span(unsigned n);
uint64_t msix_read(struct pci_device *, uint64_t off,
		   unsigned size); /* off relative to the table */
void msix_write(struct pci_device *, uint64_t off, unsigned size, uint64_t val);
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
