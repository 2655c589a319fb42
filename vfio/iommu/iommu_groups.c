/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of an address space's groups a hot reset takes. No system calls, no state. */
#include <errno.h>
#include <linux/vfio.h>

#include "vfio/iommu/iommu_backend.h"

int iommu_group_fd(const struct iommu_group *g, unsigned n_groups, unsigned nr)
{
	for (unsigned i = 0; i < n_groups; i++)
		if (g[i].nr == nr)
			return g[i].fd;
	return -1;
}

/* The kernel takes no more descriptors than it resets devices. */
int iommu_group_fds(const struct iommu_group *g, unsigned n_groups,
		    const struct vfio_pci_dependent_device *hit, unsigned n, int *fds,
		    unsigned *foreign)
{
	int n_fds = 0, j;

	for (unsigned i = 0; i < n; i++) {
		int fd = iommu_group_fd(g, n_groups, hit[i].group_id);

		if (fd < 0) {
			*foreign = i;
			return -EPERM;
		}
		for (j = 0; j < n_fds && fds[j] != fd; j++)
			;
		if (j == n_fds)
			fds[n_fds++] = fd;
	}
	return n_fds;
}
