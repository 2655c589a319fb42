/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binds devices to vfio-pci and gives them back. The former state of a device is on record
 * (bind_record.h) before the device is touched.
 *
 * Threads: main; between processes a lock.
 */
#ifndef VFIO_HOST_BIND_H
#define VFIO_HOST_BIND_H

#include "vfio/host/bind_record.h"
#include "vfio/host/host_write.h"

#define BIND_MAX 64 /* devices in one call, their groups' included */

enum bind_flags {
	BIND_GROUP = 1, /* with all that share their IOMMU groups, but bridges */
	BIND_FORCE = 2, /* also what the host uses */
};

struct bind_set {
	unsigned n;
	struct bind_record dev[BIND_MAX];
};

/* Gives the devices to vfio-pci. All that can be refused is refused before the first change, and a
 * failure later undoes what was done. *bound: the devices that this call changed, with their former
 * state. The others were bound to a vfio driver before, and stay. */
int bind_devices(const struct host *, const char (*bdf)[VFIO_BDF_SIZE], unsigned n, unsigned flags,
		 struct bind_set *bound, struct error *);

/* Gives a device back to its recorded driver; *was receives the record. 1: the host no longer has
 * the device, and the record is removed. -ENOENT: there is no record. -EBUSY: a process has it
 * open. */
int bind_restore(const struct host *, const char *bdf, struct bind_record *was, struct error *);

#endif
