/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What we ask of the kernel for one USB device (linux/usbdevice_fs.h), as a table of functions, so
 * that unit tests can replace the kernel; and the requests that may wait in the kernel for seconds:
 * taking a device from its drivers, and giving it back.
 *
 * The kernel holds the lock of the device during such a request, so other requests for the same
 * device wait, too.
 *
 * Threads: any; one request at a time for each descriptor.
 */
#ifndef DEVICES_USB_USBFS_H
#define DEVICES_USB_USBFS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

struct usbfs {
	int (*open)(const struct usbfs *, const char *node); /* a descriptor, or -errno */
	void (*close)(const struct usbfs *, int fd);
	/* The descriptors of the device. */
	long (*read)(const struct usbfs *, int fd, void *buf, size_t size);
	/* The value, or -errno. */
	int (*ioctl)(const struct usbfs *, int fd, unsigned long request, void *arg);
};

extern const struct usbfs usbfs_here;

/* Takes each interface of the set from its driver, and claims it. *claimed is the set of those that
 * are ours, also on failure. -EBUSY and others, with *err set: an interface stays with another
 * user. */
int usbfs_claim(const struct usbfs *, int fd, uint32_t ifaces, uint32_t *claimed, struct error *);
/* Lets go of interfaces; they have no driver then. */
void usbfs_release(const struct usbfs *, int fd, uint32_t ifaces);
/* Has the kernel look for drivers for these interfaces, which nobody has claimed. */
void usbfs_connect(const struct usbfs *, int fd, uint32_t ifaces);

#endif
