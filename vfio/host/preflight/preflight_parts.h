/* SPDX-License-Identifier: BSD-2-Clause */
/* Declarations for preflight_host.c, preflight_device.c and preflight_use.c only. */
#ifndef VFIO_HOST_PREFLIGHT_PREFLIGHT_PARTS_H
#define VFIO_HOST_PREFLIGHT_PREFLIGHT_PARTS_H

#include <stdint.h>

#include "vfio/host/preflight/preflight.h"

#define NODES "/sys/devices/system/node"

/* The number of physical address bits of the host's processor; 0: not known. */
unsigned preflight_cpu_bits(const char *root);
/* Checks who uses the device: interfaces, disks, screens, processes. */
void preflight_use(struct preflight *, const struct sysfs_pci *);

#endif
