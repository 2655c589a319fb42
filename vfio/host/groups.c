/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A group is a set of devices that the IOMMU cannot isolate from each other, so a guest gets all
 * devices of a group or none. Bridges stay with the host and usually do not matter. But a bridge
 * that is bound to a driver of the host (an ISA bridge with lpc_ich) prevents passthrough of its
 * group like any other device.
 */
#include "vfio/host/groups.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/hostfs.h"

struct reading {
	const char *root;
	struct pci_list *list;
};

static int add(void *arg, const char *bdf)
{
	struct reading *r = arg;
	struct pci_list *l = r->list;
	struct sysfs_pci *grown = realloc(l->dev, (l->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	l->dev = grown;
	l->n += sysfs_pci_read(r->root, bdf, &grown[l->n]) == 0;
	return 0;
}

static int by_group(const void *a, const void *b)
{
	const struct sysfs_pci *x = a, *y = b;
	/* -1 (no group) becomes the largest number, so these devices come last. */
	unsigned gx = (unsigned)x->group, gy = (unsigned)y->group;

	return gx == gy ? strcmp(x->bdf, y->bdf) : gx < gy ? -1 : 1;
}

int groups_read(const char *root, struct pci_list *l)
{
	struct reading r = { root, l };
	int ret;

	*l = (struct pci_list){ 0 };
	if (!hostfs_exists(root, "/sys/bus/pci/devices"))
		return -ENOENT;
	ret = hostfs_each(root, add, &r, "/sys/bus/pci/devices");
	if (ret == 0 && l->n)
		qsort(l->dev, l->n, sizeof(*l->dev), by_group);
	return ret;
}

void groups_free(struct pci_list *l)
{
	free(l->dev);
	*l = (struct pci_list){ 0 };
}

static bool counts(const struct sysfs_pci *d)
{
	return !sysfs_is_bridge(d) || sysfs_in_the_way(d);
}

const struct sysfs_pci *groups_other(const struct pci_list *l, size_t i, size_t n)
{
	size_t j;

	for (j = 0; j < l->n; j++)
		if (j != i && l->dev[j].group == l->dev[i].group && counts(&l->dev[j]) && n-- == 0)
			return &l->dev[j];
	return NULL;
}

enum group_pass groups_pass(const struct pci_list *l, size_t i)
{
	if (sysfs_is_bridge(&l->dev[i]))
		return GROUP_PASS_BRIDGE;
	if (l->dev[i].group < 0)
		return GROUP_PASS_NO_IOMMU;
	return groups_other(l, i, 0) ? GROUP_PASS_TOGETHER : GROUP_PASS_ALONE;
}
