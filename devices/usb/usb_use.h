/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a USB device can be given to a guest, and what the host loses then. Nothing here changes
 * the host.
 *
 * `root` is explained in devices/usb/usb_scan.h. Threads: any; no state.
 */
#ifndef DEVICES_USB_USB_USE_H
#define DEVICES_USB_USB_USE_H

#include <stdbool.h>

#include "devices/usb/usb_scan.h"

#define USB_REMEDY_SIZE 320
/* What gives this process the permission: a sentence with the udev rule. */
void usb_use_remedy(const struct usb_info *, char buf[USB_REMEDY_SIZE]);
/* -EACCES or -ENOENT with *err set: this process may not open the device's node; the message has
 * the udev rule that permits it. */
int usb_use_permission(const char *root, const struct usb_info *, struct error *);
/* -EBUSY with *err set: a disk of the device is in use, or the default route leads through it. */
int usb_use_host(const char *root, const struct usb_info *, struct error *);
/* True if the device is a keyboard, and the host has no other one. */
bool usb_use_only_keyboard(const char *root, const struct usb_info *);
/* All checks before a device is opened. force: although the host uses it. Logs a warning if it is
 * the only keyboard. */
int usb_use_check(const char *root, const struct usb_info *, bool force, struct error *);

#endif
