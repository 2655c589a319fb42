/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's PCI devices by IOMMU group, and whether a device can be passed through alone.
 *
 * `root` is explained in vfio/host/sysfs.h. Threads: any; no state.
 */
#ifndef VFIO_HOST_GROUPS_H
#define VFIO_HOST_GROUPS_H

#include <stddef.h>

#include "vfio/host/sysfs.h"

struct pci_list {
	struct sysfs_pci *dev; /* sorted by group, then by address; devices without group last */
	size_t n;
};

enum group_pass {
	GROUP_PASS_ALONE,    /* can be passed through alone */
	GROUP_PASS_TOGETHER, /* only with the other devices of its group */
	GROUP_PASS_BRIDGE,   /* a bridge: stays with the host */
	GROUP_PASS_NO_IOMMU, /* cannot be passed through: it is not behind an IOMMU */
};

/* -ENOENT: the host has no PCI; or -ENOMEM. Call groups_free() also after an error. */
int groups_read(const char *root, struct pci_list *);
void groups_free(struct pci_list *);

enum group_pass groups_pass(const struct pci_list *, size_t i);
/* The n-th other device, counted from 0, that must be passed together with device i. NULL: there
 * are no more. */
const struct sysfs_pci *groups_other(const struct pci_list *, size_t i, size_t n);

#endif
