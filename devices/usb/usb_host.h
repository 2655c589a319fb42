/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A USB device of the host for a guest, by its node in /dev/bus/usb (usbfs).
 *
 * Threads: open and close run on any thread but the controller's, because both may take seconds.
 * In between, the device belongs to the controller (usb_device.h).
 */
#ifndef DEVICES_USB_USB_HOST_H
#define DEVICES_USB_USB_HOST_H

#include "devices/usb/usb_device.h"
#include "devices/usb/usb_scan.h"
#include "devices/usb/usbfs.h"
#include "vmm/core/error.h"

struct usb_host;

struct usb_host_config {
	const char *root; /* as in usb_scan.h; it stays valid */
	const struct usbfs *fs;
	bool reset; /* a reset by the guest resets the real device */
	/* On the controller's thread: usb_host_close() may be called now. May be NULL. */
	void (*detached)(void *, struct usb_host *);
	void *opaque;
};

/* Opens the device, takes all its interfaces from their drivers, and leaves a record for `minivmm
 * restore` if this process may. NULL with *err set; then everything is as it was. */
struct usb_host *usb_host_open(const struct usb_host_config *, const struct usb_info *,
			       struct error *);
struct usb_device *usb_host_device(struct usb_host *);
const struct usb_info *usb_host_info(const struct usb_host *);
/* Sets what detached() calls, before the device is attached. */
void usb_host_on_detached(struct usb_host *, void (*detached)(void *, struct usb_host *),
			  void *opaque);
/* Gives the interfaces back to their drivers. The device was detached, or never attached. NULL is
 * allowed. */
void usb_host_close(struct usb_host *);

#endif
