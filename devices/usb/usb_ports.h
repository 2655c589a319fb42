/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The devices of the host that a machine wants, and whether they are plugged in now.
 *
 * A thread waits for the kernel's messages. It takes a device that comes (again) and puts it into
 * the guest's controller, and takes one that has gone out of it. So a device may be pulled out, or
 * may leave by itself to load its firmware, and the guest has it again when it is back.
 *
 * Threads: new and free belong to the main loop; the others may be called on any thread.
 */
#ifndef DEVICES_USB_USB_PORTS_H
#define DEVICES_USB_USB_PORTS_H

#include "devices/usb/uevent.h"
#include "devices/usb/usb_host.h"

struct usb_entry;
struct usb_ports;

struct usb_ports_env {
	const char *root; /* as in usb_scan.h; it stays valid */
	const struct usbfs *fs;
	/* The kernel's messages; see uevent.h. */
	int (*events_open)(struct error *);
	int (*events_next)(int fd, struct uevent *);
	/* The controller: see devices/usb/xhci.h. */
	int (*attach)(void *controller, unsigned port, struct usb_device *, struct error *);
	void (*detach)(void *controller, struct usb_device *);
	void *controller;
};

struct usb_wish {
	struct usb_spec spec;
	unsigned port; /* of the controller; 0: any */
	bool reset, force;
};

/* Finds the device, checks it, and takes it from its drivers. May take seconds. NULL with *err
 * set. */
struct usb_host *usb_wish_open(const char *root, const struct usbfs *, const struct usb_wish *,
			       struct error *);

/* Starts the thread. NULL with *err set. */
struct usb_ports *usb_ports_new(const struct usb_ports_env *, struct error *);
/* False: an entry is left, because the kernel or the controller has not answered. */
bool usb_ports_empty(struct usb_ports *);
/* All entries were removed. NULL is allowed. */
void usb_ports_free(struct usb_ports *);

/* Puts the device of usb_wish_open() into the controller, and watches for it from now on. The
 * device belongs to the entry. NULL with *err set: the device is still the caller's. */
struct usb_entry *usb_ports_add(struct usb_ports *, const struct usb_wish *, struct usb_host *,
				struct error *);
/* Takes the device out, gives it back to its drivers, and forgets it. Does not wait: done() is
 * called on the thread when all of it has happened. */
void usb_ports_remove(struct usb_ports *, struct usb_entry *, void (*done)(void *), void *arg);
/* The same, but waits. False: the controller or the kernel does not answer within `ms`
 * milliseconds; the call may be repeated. */
bool usb_ports_remove_wait(struct usb_ports *, struct usb_entry *, unsigned ms);

#endif
