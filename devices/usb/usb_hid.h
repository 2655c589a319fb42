/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An emulated keyboard or mouse, with the boot protocol (HID 1.11, appendix B), so that firmware
 * understands it, too.
 *
 * Threads: any thread may press keys and move the mouse. new and free: any thread but the
 * controller's; the device must not be in a port then.
 */
#ifndef DEVICES_USB_USB_HID_H
#define DEVICES_USB_USB_HID_H

#include "devices/usb/usb_device.h"

enum usb_hid_kind { USB_HID_KEYBOARD, USB_HID_MOUSE };

struct usb_hid;

/* detached(opaque): it is out of its port, and may be freed; on the controller's thread. May be
 * NULL. Returns NULL if memory is exhausted. */
struct usb_hid *usb_hid_new(enum usb_hid_kind, void (*detached)(void *opaque), void *opaque);
void usb_hid_free(struct usb_hid *); /* NULL is allowed */
struct usb_device *usb_hid_device(struct usb_hid *);

/* A key, by its usage (HID Usage Tables, page 7). It must be a keyboard. */
void usb_hid_key(struct usb_hid *, uint8_t usage, bool down);
/* buttons: a bit for each, the left one first. It must be a mouse. */
void usb_hid_mouse(struct usb_hid *, uint8_t buttons, int dx, int dy, int wheel);
/* All keys, or all buttons, are up now. */
void usb_hid_release(struct usb_hid *);
/* What the guest has set with SET_REPORT: Num Lock, Caps Lock, Scroll Lock, from bit 0 on. */
uint8_t usb_hid_leds(struct usb_hid *);
/* The guest sets them: changed(arg) is called on the controller's thread. Before the device is in a
 * port. */
void usb_hid_on_leds(struct usb_hid *, void (*changed)(void *), void *arg);

#endif
