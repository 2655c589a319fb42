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

/* Gives the device count VFs (0 removes them); the host's drivers do not bind to them. If there is
 * another number of VFs, these are removed first. Fails when a process or the host uses a VF, or
 * when the count is not possible. *s is up to date afterwards. */
int sriov_set(const struct host *, struct sriov *s, unsigned count, struct error *);

/* The i-th VF. -ENODEV: there is none. */
int sriov_vf(const char *root, const struct sriov *, unsigned i, struct sysfs_pci *vf);

#endif
