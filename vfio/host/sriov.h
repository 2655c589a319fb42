/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creates, removes and lists SR-IOV virtual functions of the host's devices.
 *
 * `root` is explained in vfio/host/sysfs.h. Threads: main; no state.
 */
#ifndef VFIO_HOST_SRIOV_H
#define VFIO_HOST_SRIOV_H

#include "vfio/host/host_write.h"
#include "vfio/host/sysfs.h"

struct sriov {
	struct sysfs_pci pf;
	unsigned total, num;
	char netdev[32]; /* network interface of the PF; "": it has none */
};

/* Reads the state of the PF. -errno with *err set: the device does not exist or has no SR-IOV. */
int sriov_read(const char *root, const char *bdf, struct sriov *, struct error *);

/* Gives the device count VFs (0 removes them); the host's drivers do not bind to them. If there is
 * another number of VFs, these are removed first. Fails when a process or the host uses a VF, or
 * when the count is not possible. *s is up to date afterwards. */
int sriov_set(const struct host *, struct sriov *s, unsigned count, struct error *);

/* Reads the i-th VF. -ENODEV: it does not exist. */
int sriov_vf(const char *root, const struct sriov *, unsigned i, struct sysfs_pci *vf);

#endif
