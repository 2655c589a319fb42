/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's USB devices, from sysfs, and how a user names one of them. Nothing here opens a
 * device, because that would wake it up.
 *
 * `root` is the prefix of /sys, /proc, /dev and /run: "" on a real host, a folder in tests.
 * Threads: any; no state.
 */
#ifndef DEVICES_USB_USB_SCAN_H
#define DEVICES_USB_USB_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

#define USB_NAME_SIZE  32 /* "1-4.2": a bus, and the ports on the way to the device */
#define USB_IFACES_MAX 32 /* usbfs knows no interface with a higher number */

struct usb_iface {
	uint8_t number, class, subclass, protocol;
	char driver[24]; /* "": it has no driver */
};

struct usb_info {
	char name[USB_NAME_SIZE]; /* in sysfs: "1-4.2" */
	unsigned bus, addr;
	unsigned mbits; /* speed: 1 (for 1.5), 12, 480, 5000, ... */
	uint16_t vendor, product;
	uint8_t class;
	/* What the device says about itself, without control characters; may be "". */
	char maker[64], model[64], serial[64];
	unsigned n_ifaces; /* of the configuration that the host has chosen */
	struct usb_iface iface[USB_IFACES_MAX];
};

struct usb_list {
	struct usb_info *dev;
	size_t n;
};

/* Reads all devices but hubs, in the order of their names. -ENOENT: this host has no USB. -ENOMEM.
 * Call usb_list_free() in all cases. */
int usb_scan(const char *root, struct usb_list *);
void usb_list_free(struct usb_list *);
/* Reads one device. -ENODEV: there is none with this name. */
int usb_info_read(const char *root, const char *name, struct usb_info *);
/* True for hubs, which always stay with the host. */
bool usb_info_is_hub(const struct usb_info *);
/* True if a program on this host (another machine, for example) uses the device. */
bool usb_info_is_taken(const struct usb_info *);
/* "/dev/bus/usb/001/004" */
void usb_info_node(const struct usb_info *, char *buf, size_t size);
/* "SanDisk Cruzer Blade", or what else can be said. */
void usb_info_title(const struct usb_info *, char *buf, size_t size);

enum usb_spec_kind { USB_SPEC_ID, USB_SPEC_ADDR, USB_SPEC_PORT };

struct usb_spec {
	enum usb_spec_kind kind;
	uint16_t vendor, product; /* USB_SPEC_ID */
	unsigned bus, addr;	  /* USB_SPEC_ADDR */
	char name[USB_NAME_SIZE]; /* USB_SPEC_PORT */
};

/* Reads 046d:c52b (vendor and product), 1.4 or /dev/bus/usb/001/004 (bus and address), or 1-4.2
 * (bus and ports). -EINVAL with *err set. */
int usb_spec_parse(const char *text, struct usb_spec *, struct error *);
/* The text of a spec; it can be parsed again. */
void usb_spec_text(const struct usb_spec *, char buf[USB_NAME_SIZE]);
bool usb_spec_matches(const struct usb_spec *, const struct usb_info *);
/* Finds the one device. Of several with the same vendor and product, those that are taken do not
 * count. -ENODEV, -EEXIST (several devices match) or -EBUSY, with *err set. */
int usb_find(const char *root, const struct usb_spec *, struct usb_info *, struct error *);
/* The --usb argument for a device: its vendor and product if no other device of the list has the
 * same ones, else its port. */
void usb_list_pass(const struct usb_list *, size_t i, char buf[USB_NAME_SIZE]);

#endif
