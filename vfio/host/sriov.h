/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SR-IOV virtual functions of the host's devices: made, removed, listed.
 *
 * `root` as in sysfs.h. Threads: main; no state.
 */
#ifndef VFIO_HOST_SRIOV_H
#define VFIO_HOST_SRIOV_H

#include "vfio/host/host_write.h"
#include "vfio/host/sysfs.h"

struct sriov {
	struct sysfs_pci pf;
	unsigned total, num;
	char netdev[32]; /* the PF's; "": no network card */
};

/* The PF as it is. An error is one sentence: no such device, no SR-IOV. */
int sriov_read(const char *root, const char *bdf, struct sriov *, struct error *);

/* Makes it have count VFs, 0 to remove them, which no driver of the host's takes. Others than that
 * many are removed first. Refuses when a process or the host uses one, and counts that cannot be.
 * *s is up to date after it. */
int sriov_set(const struct host *, struct sriov *s, unsigned count, struct error *);

/* The i-th VF. -ENODEV: there is none. */
int sriov_vf(const char *root, const struct sriov *, unsigned i, struct sysfs_pci *vf);

#endif
