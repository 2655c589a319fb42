/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI Express root port: one slot. root_port_slot.c makes the slot hot-pluggable.
 *
 * Threads: the main loop's, except where noted.
 */
#ifndef DEVICES_PCI_ROOT_PORT_H
#define DEVICES_PCI_ROOT_PORT_H

#include "devices/pci/pci.h"

enum root_port_news {
	ROOT_PORT_TAKEN,    /* the guest has switched on what was added to the slot */
	ROOT_PORT_RELEASED, /* the guest has switched the slot off: its functions must leave. They
			     * do not answer any more */
	ROOT_PORT_KEPT,	    /* the guest has stopped the removal that it was asked for */
};

struct root_port_hotplug {
	/* Bytes of address space that firmware should reserve: below 4 GiB, and for prefetchable
	 * 64-bit BARs. Powers of two of at least 1 MiB. */
	uint64_t mem32, mem64;
	/* Called on any thread with the root lock held. */
	void (*news)(void *opaque, enum root_port_news);
	void *opaque;
};

struct root_port {
	struct pci_device dev;
	unsigned pcie_cap, msi_cap; /* offsets of the capabilities */
	struct msi_route *msi;	    /* NULL until the first message */
	bool raised;		    /* the port wants an interrupt */
	bool told;		    /* ... and a message was sent for it */
	/* root_port_slot.c */
	bool hotplug, hidden, asked, added;
	uint16_t control; /* Slot Control before the guest's last write */
	struct root_port_hotplug hot;
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
/* Sets "presence detect" and "link active" if a device is behind the port, else clears them. Before
 * the guest runs. */
void root_port_link_up(struct root_port *);
/* Raises or lowers the port's interrupt. If the guest has enabled MSI, raising it sends a message;
 * otherwise INTA gets the level. Root lock held. */
void root_port_interrupt(struct root_port *, bool level);
/* The secondary bus must be empty. */
void root_port_destroy(struct root_port *);

/* Makes the slot hot-pluggable. Before the guest runs. -ENOSPC. */
int root_port_set_hotplug(struct root_port *, const struct root_port_hotplug *);
/* While hidden, nothing behind the port answers, and the slot looks empty: for functions that come
 * one after the other, and for those that leave. The guest is told when the slot is full or empty
 * all at once. Hiding functions that the guest uses is a surprise removal. */
void root_port_hide(struct root_port *, bool hidden);
/* Presses the attention button: asks the guest to switch the slot off. A slot that is off already
 * is released at once. -ENODEV: the slot is empty; -EBUSY: the guest is switching it on or off. */
int root_port_ask(struct root_port *, struct error *);
/* The guest has not answered; it may still do so later. */
void root_port_forget(struct root_port *);

/* For root_port.c: after a write of the guest, and at a reset; root lock held. */
void root_port_slot_written(struct root_port *);
void root_port_slot_reset(struct root_port *);

#endif
