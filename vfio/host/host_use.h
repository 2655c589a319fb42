/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reasons why the host needs a device: its console is on it, a disk behind it is in use, or it
 * carries the default route. Nothing here writes.
 *
 * `root` is what stands before /sys, /proc and /dev, as in sysfs.h. Threads: any; no state.
 */
#ifndef VFIO_HOST_HOST_USE_H
#define VFIO_HOST_HOST_USE_H

#include "vmm/core/error.h"

enum host_use_kind {
	HOST_USE_CONSOLE, /* the display that the host booted with; name: of the console */
	HOST_USE_MOUNT,	  /* the block device `name` is mounted at `where` */
	HOST_USE_SWAP,	  /* it is swap */
	HOST_USE_HELD,	  /* another one lies on it, and nothing is seen of what that is used for */
	HOST_USE_OPEN,	  /* none of these, and the kernel says that it is in use */
	HOST_USE_ROUTE,	  /* the interface `name` has a default route */
};

struct host_use {
	enum host_use_kind kind;
	const char *name;  /* the device's own, or what stands on it: LVM, RAID, a bridge, ... */
	const char *where; /* without control characters; or NULL */
	char text[300];	   /* "has the disk /dev/sda with /dev/dm-0, mounted on /home" */
};

/* Calls fn for each reason: the console, the disks, the routes. */
typedef void host_use_fn(void *arg, const struct host_use *);
void host_use_each(const char *root, const char *bdf, host_use_fn *, void *arg);

/* -EBUSY: *error holds the first reason as one sentence. 0: no reason was found. */
int host_use_check(const char *root, const char *bdf, struct error *);

#endif
