/* SPDX-License-Identifier: BSD-2-Clause */
/* A PCI Express root port: one slot, no hotplug. */
#ifndef DEVICES_PCI_ROOT_PORT_H
#define DEVICES_PCI_ROOT_PORT_H

#include "devices/pci/pci.h"

struct root_port {
	struct pci_device dev;
	unsigned pcie_cap, msi_cap; /* offsets of the capabilities */
	struct msi_route *msi;	    /* NULL until the first message */
	bool raised;
};

/* Adds the port to the root bus at devfn. slot: the physical slot number that the guest reads,
 * unique in the machine, 1..8191. speed 1..5 (2.5 to 32 GT/s) and width 1..32 (a PCIe width)
 * describe the link as trained; pass what the device behind it has, or 0 for 16 GT/s x16. Devices
 * go to port->dev.secondary with pci_add(); call root_port_link_up() afterwards. */
int root_port_init(struct root_port *, struct pci_root *, uint8_t devfn, unsigned slot,
		   unsigned speed, unsigned width, struct error *);
/* Sets the AtomicOps that the port says it completes (PCI_EXP_DEVCAP2_ATOMIC_COMP32, 64, 128). In
 * fact the host's port completes them. Call it before the guest runs. */
void root_port_set_atomics(struct root_port *, uint32_t bits);
/* Sets "presence detect" and "link active" if a device is behind the port, else clears them. */
void root_port_link_up(struct root_port *);
/* Raises or lowers the port's interrupt. If the guest has enabled MSI, raising it sends a message;
 * otherwise INTA gets the level. Root lock held. */
void root_port_interrupt(struct root_port *, bool level);
/* The secondary bus must be empty. */
void root_port_destroy(struct root_port *);

#endif
