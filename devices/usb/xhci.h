/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An emulated USB host controller (xHCI 1.2) on the PCI bus, for devices of usb_device.h.
 *
 * It has pairs of ports, one of USB 3 and one of USB 2 each, as a socket of a real machine has; the
 * speed of the device decides which of the two shows it.
 *
 * Threads: new, unplug and free belong to the main loop; free may run on another thread after
 * unplug. Any thread may attach and detach.
 */
#ifndef DEVICES_USB_XHCI_H
#define DEVICES_USB_XHCI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/usb/usb_device.h"
#include "vmm/core/error.h"

#define XHCI_PORTS_MAX	   15u /* pairs */
#define XHCI_PORTS_DEFAULT 4u

struct pci_bus;
struct pci_root;
struct xhci;

/* ports: pairs of them, 1 to 15; 0: the default. Starts the controller's thread. NULL with *err
 * set. */
struct xhci *xhci_new(struct pci_root *, struct pci_bus *, uint8_t devfn, unsigned ports,
		      struct error *err);
/* Takes the controller off the bus while the guest runs. */
void xhci_unplug(struct xhci *);
/* Detaches all devices, ends the thread, and frees the controller; NULL is allowed. False: a device
 * has not completed its transfers within a second. Then guest memory is still in use, and the call
 * may be repeated. */
bool xhci_free(struct xhci *);

/* Plugs a device into a pair of ports, 1 to 15, or into the first free one if port is 0. Returns
 * its number; the device belongs to the controller's thread from now on. -EINVAL: there is no such
 * port; -EBUSY: it is in use; -ENOSPC: all are. */
int xhci_attach(struct xhci *, unsigned port, struct usb_device *, struct error *err);
/* Unplugs it. Does not wait: when its transfers have completed, its detached() is called on the
 * controller's thread. A device that is not attached is ignored. */
void xhci_detach(struct xhci *, struct usb_device *);

#endif
