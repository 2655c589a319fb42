/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's messages that a USB device has come or gone, or that an input device has come
 * (NETLINK_KOBJECT_UEVENT).
 *
 * Threads: any; the owner of a socket uses it on one thread.
 */
#ifndef DEVICES_USB_UEVENT_H
#define DEVICES_USB_UEVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "devices/usb/usb_scan.h"
#include "vmm/core/error.h"

#define UEVENT_MAX 8192 /* bytes of a message; the kernel's own limit is less */

struct uevent {
	bool add; /* it has come, or has its configuration now; else it was removed */
	char name[USB_NAME_SIZE];
	unsigned bus, addr;
};

/* Parses a message; it needs no terminator. False: it is not about a USB device (but about an
 * interface, or something else), or it is damaged. */
bool uevent_parse(const char *text, size_t len, struct uevent *);
/* True: it says that a node like /dev/input/event3 has come. */
bool uevent_is_input(const char *text, size_t len);

/* A non-blocking socket. -errno with *err set. */
int uevent_open(struct error *);
/* 1: *e has the next event. 0: there are no more now. -ENOBUFS: events were lost, so the devices
 * must be looked at anew. Other messages are skipped; what other processes send is ignored. */
int uevent_next(int fd, struct uevent *e);
/* The same for nodes of input devices. */
int uevent_next_input(int fd);

#endif
