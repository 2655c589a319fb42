/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/cap_list.h"

#include "vfio/vfio_pci.h"

void vfio_cap_unlink(struct vfio_pci *v, unsigned *cap)
{
	uint8_t *cfg = v->dev.cfg;
	unsigned link = PCI_CAPABILITY_LIST;

	/* vfio_config_init() has made the list: it ends. */
	while (*cap && cfg[link] && cfg[link] != *cap)
		link = cfg[link] + PCI_CAP_LIST_NEXT;
	if (*cap && cfg[link])
		cfg[link] = cfg[*cap + PCI_CAP_LIST_NEXT];
	if (!cfg[PCI_CAPABILITY_LIST])
		cfg[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
	*cap = 0;
}
