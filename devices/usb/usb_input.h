/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyboards and mice of the host as one emulated keyboard and one emulated mouse of the guest.
 *
 * Both Ctrl keys together switch all of them between the guest and the host. The guest's devices
 * stay plugged in, whatever happens to those of the host.
 *
 * Threads: these functions belong to the main loop. A thread of its own reads the devices, so that
 * they can be switched whatever the guest and the rest of the program do.
 */
#ifndef DEVICES_USB_USB_INPUT_H
#define DEVICES_USB_USB_INPUT_H

#include <stdbool.h>

#include "devices/usb/evdev.h"

struct usb_device;
struct usb_input;

struct usb_input_env {
	/* The kernel's messages; see uevent.h. */
	int (*events_open)(struct error *);
	int (*events_next)(int fd);
	/* The controller: see devices/usb/xhci.h. */
	int (*attach)(void *controller, unsigned port, struct usb_device *, struct error *);
	void *controller;
};

/* Starts the thread. NULL with *err set. */
struct usb_input *usb_input_new(const struct usb_input_env *, struct error *);
/* From now on the device belongs to the guest, as soon as none of its keys is down. */
int usb_input_add(struct usb_input *, struct evdev *, struct error *);
/* Its keys are up for the guest, and the host has it again. */
void usb_input_remove(struct usb_input *, struct evdev *);
/* Ends the thread; all devices were removed. The emulated ones stay, for the controller. */
void usb_input_stop(struct usb_input *);
/* After the controller was freed. NULL is allowed. */
void usb_input_free(struct usb_input *);

#endif
