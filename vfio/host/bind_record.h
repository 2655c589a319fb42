/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a device before it was bound to vfio-pci: one small file for each device in
 * /run/minivmm. It exists from before the first change until the device is back, so it survives
 * every end except that of the host itself.
 *
 * Threads: any; between processes the caller holds bind_record_lock().
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
	char driver[32];   /* "": it had none */
	char override[64]; /* its driver_override; "": none */
};

/* Fills driver and override from a file's text (no terminator needed), leaves bdf alone. -EINVAL:
 * not written by minivmm. */
int bind_record_parse(struct bind_record *, const char *text, size_t size);

/* The descriptor holds the lock until it is closed; makes the folder. */
int bind_record_lock(const char *root, struct error *);
/* Written completely or not at all; replaces an older one. */
int bind_record_write(const char *root, const struct bind_record *, struct error *);
/* -ENOENT, *err untouched: there is none. */
int bind_record_read(const char *root, const char *bdf, struct bind_record *, struct error *);
void bind_record_remove(const char *root, const char *bdf);
/* Calls fn for the address of each record, until it returns non-zero; returns that. */
int bind_record_each(const char *root, int (*fn)(void *, const char *bdf), void *arg);

#endif
