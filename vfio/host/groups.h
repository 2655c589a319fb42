/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's PCI devices by IOMMU group, and whether a device can be passed without others.
 *
 * `root` as in vfio/host/sysfs.h. Threads: any; no state.
 */
#ifndef VFIO_HOST_GROUPS_H
#define VFIO_HOST_GROUPS_H

#include <stddef.h>

#include "vfio/host/sysfs.h"

struct pci_list {
	struct sysfs_pci *dev; /* by group, those without one last; by address within it */
	size_t n;
};

enum group_pass {
	GROUP_PASS_ALONE,    /* goes by itself */
	GROUP_PASS_TOGETHER, /* drags the rest of its group along */
	GROUP_PASS_BRIDGE,   /* stays with the host, and lets its group go */
	GROUP_PASS_NO_IOMMU, /* cannot go at all */
};

/* -ENOENT: a host without PCI; -ENOMEM. groups_free() in either case. */
int groups_read(const char *root, struct pci_list *);
void groups_free(struct pci_list *);

enum group_pass groups_pass(const struct pci_list *, size_t i);
/* The n-th other device, counted from 0, that must be passed together with device i. NULL: there
 * are no more. */
const struct sysfs_pci *groups_other(const struct pci_list *, size_t i, size_t n);

#endif
