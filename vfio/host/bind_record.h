/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a device before it was bound to vfio-pci: one small file for each device in
 * /run/minivmm. The file exists from before the first change until the device is back. So it is
 * lost only when the host reboots.
 *
 * Threads: any. The caller holds bind_record_lock(), which excludes other processes.
 */
#ifndef VFIO_HOST_BIND_RECORD_H
#define VFIO_HOST_BIND_RECORD_H

#include <stddef.h>

#include "vfio/host/sysfs.h"
#include "vmm/core/error.h"

#define BIND_RECORD_DIR	 "/run/minivmm"
#define BIND_RECORD_SIZE 256 /* bytes of a file, at most */

struct bind_record {
	char bdf[VFIO_BDF_SIZE];
	char driver[32];   /* "": it had no driver */
	char override[64]; /* its driver_override; "": it had no override */
};

/* Sets driver and override from a file's text, which needs no terminator; does not set bdf.
 * -EINVAL: the text was not written by minivmm. */
int bind_record_parse(struct bind_record *, const char *text, size_t size);

/* Takes the lock, and makes the folder if needed. The lock is held until the returned descriptor is
 * closed. */
int bind_record_lock(const char *root, struct error *);
/* Writes a file of the folder completely or not at all; replaces an older one. *err must not be
 * NULL. */
int bind_record_put(const char *root, const char *file, const char *text, struct error *);
/* The same for a record. */
int bind_record_write(const char *root, const struct bind_record *, struct error *);
/* -ENOENT: there is no record; then *err is not set. */
int bind_record_read(const char *root, const char *bdf, struct bind_record *, struct error *);
void bind_record_remove(const char *root, const char *bdf);
/* Calls fn for the address of each record until it returns a non-zero value, and returns it. */
int bind_record_each(const char *root, int (*fn)(void *, const char *bdf), void *arg);

#endif
