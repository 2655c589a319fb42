/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reasons why the host needs a device: it has virtual functions, the console is on it, a disk
 * behind it is in use, or the default route leads through it. `bind` refuses what is found here,
 * and `check` calls it a problem. Nothing here changes the host.
 *
 * `root` is explained in vfio/host/sysfs.h. Threads: any; no state.
 */
#ifndef VFIO_HOST_HOST_USE_H
#define VFIO_HOST_HOST_USE_H

#include "vmm/core/error.h"

enum host_use_kind {
	HOST_USE_VFS,	  /* not even bind --force gets past it */
	HOST_USE_CONSOLE, /* the display that the host booted with; `name` is the console */
	HOST_USE_MOUNT,	  /* the block device `name` is mounted at `where` */
	HOST_USE_SWAP,	  /* the block device `name` is used for swap */
	HOST_USE_HELD,	  /* another block device uses it, for an unknown purpose */
	HOST_USE_OPEN,	  /* none of these, but the kernel says that it is in use */
	HOST_USE_ROUTE,	  /* the interface `name` has a default route */
};

struct host_use {
	enum host_use_kind kind;
	const char
		*name; /* of the disk or interface, or of LVM, a bridge, ... on top; may be NULL */
	const char *where; /* without control characters; may be NULL */
	char text[300];	   /* "has the disk /dev/sda with /dev/dm-0, mounted on /home" */
};

/* Calls fn for each reason, in this order: VFs, the console, the disks, the routes. */
typedef void host_use_fn(void *arg, const struct host_use *);
void host_use_each(const char *root, const char *bdf, host_use_fn *, void *arg);

/* 0: no reason was found. -EBUSY: *error has the first reason as one sentence. -ENOTEMPTY: the
 * same, for HOST_USE_VFS. */
int host_use_check(const char *root, const char *bdf, struct error *);

#endif
