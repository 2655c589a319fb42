/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why the host would miss a device: its console is on it, a disk behind it is in use, it carries
 * the default route. Only reads.
 *
 * `root` is what stands before /sys, /proc and /dev, as in sysfs.h. Threads: any; no state.
 */
#ifndef VFIO_HOST_USE_H
#define VFIO_HOST_USE_H

#include "vmm/error.h"

/* -EBUSY with one sentence when the host needs the device; 0 when nothing is seen that does. */
int host_use(const char *root, const char *bdf, struct error *);

#endif
