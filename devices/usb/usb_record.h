/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USB devices that a machine took from their drivers: one small file for each in /run/minivmm, from
 * before the device is claimed until it is back. If minivmm is killed, the kernel lets go of the
 * interfaces, but does not look for drivers; so the record is what `minivmm restore` works from.
 *
 * Only root can write there. A machine of another user has no record; its devices can be restored
 * by their names.
 *
 * `root` is explained in devices/usb/usb_scan.h. Threads: any. A lock excludes other processes.
 */
#ifndef DEVICES_USB_USB_RECORD_H
#define DEVICES_USB_USB_RECORD_H

#include "devices/usb/usb_scan.h"
#include "devices/usb/usbfs.h"

#define USB_RECORD_SIZE 512 /* bytes of a file, at most */

struct usb_record {
	uint16_t vendor, product; /* a device with other ids is another one */
};

/* Parses the text of a file, which needs no terminator. -EINVAL: minivmm did not write it. */
int usb_record_parse(struct usb_record *, const char *text, size_t size);
/* -errno with *err set: no record could be written. */
int usb_record_write(const char *root, const struct usb_info *, struct error *);
void usb_record_remove(const char *root, const char *name);
/* Calls fn for the name of each record until it returns non-zero, and returns that. */
int usb_record_each(const char *root, int (*fn)(void *, const char *name), void *arg);

/* Has the kernel find drivers for all interfaces of the device that have none, and removes the
 * record. Without a record it does the same. 1: the device is not there, or it is another one, and
 * its record was removed. -EBUSY: a program uses the device. -ENODEV: neither a device nor a record
 * has this name. */
int usb_restore(const char *root, const struct usbfs *, const char *name, struct error *);

#endif
