/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binds devices to vfio-pci and gives them back. The former state of a device is recorded
 * (bind_record.h) before the device is changed.
 *
 * Threads: main thread. A lock excludes other processes.
 */
#ifndef VFIO_HOST_BIND_H
#define VFIO_HOST_BIND_H

#include "vfio/host/bind_record.h"
#include "vfio/host/host_write.h"

#define BIND_MAX 64 /* devices in one call, including the others of their groups */

enum bind_flags {
	BIND_GROUP = 1, /* with all other devices of their IOMMU groups, except bridges */
	BIND_FORCE = 2, /* also devices that the host uses */
};

struct bind_set {
	unsigned n;
	struct bind_record dev[BIND_MAX];
};

/* Binds the devices to vfio-pci. All checks come before the first change, and a later failure
 * undoes the changes. *bound receives the devices that this call changed, with their former state.
 * The others were bound to a vfio driver before, and stay. */
int bind_devices(const struct host *, const char (*bdf)[VFIO_BDF_SIZE], unsigned n, unsigned flags,
		 struct bind_set *bound, struct error *);

/* Gives a device back to its recorded driver; *was receives the record. 1: the device no longer
 * exists, and the record was removed. -ENOENT: there is no record. -EBUSY: a process has the device
 * open. */
int bind_restore(const struct host *, const char *bdf, struct bind_record *was, struct error *);

#endif
