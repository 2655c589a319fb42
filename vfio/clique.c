/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVIDIA's drivers let GPUs of a guest reach each other's memory when a vendor-specific capability
 * says which of them can ("GPUDirect P2P on virtual machines", attached to QEMU's list in 2017 and
 * 2023): 8 bytes with the signature "P2P" and the number of the clique, at C8h, or at D4h where
 * newer chips have another capability in the way.
 *
 * Threads: before the device is plugged.
 */
#include "vfio/clique.h"

#include <errno.h>

#include "vfio/config.h"

#define NVIDIA	0x10de
#define DISPLAY 0x03

int vfio_clique_init(struct vfio_pci *v, struct error *err)
{
	static const uint8_t places[] = { 0xc8, 0xd4 };
	uint8_t cap[8] = { PCI_CAP_ID_VNDR, 0, sizeof(cap), 'P', '2', 'P' };

	if (v->cfg->clique == VFIO_NO_CLIQUE)
		return 0;
	if (pci_get16(v->dev.cfg, PCI_VENDOR_ID) != NVIDIA ||
	    v->dev.cfg[PCI_CLASS_DEVICE + 1] != DISPLAY)
		return error_set(err, -EINVAL,
				 "%s: p2p-clique is for NVIDIA's graphics cards, and this is none",
				 v->k->name);
	cap[6] = (uint8_t)(v->cfg->clique << 3);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		if (vfio_config_add_cap(v, places[i], cap, sizeof(cap)) == 0)
			return 0;
	return error_set(
		err, -EBUSY,
		"%s: p2p-clique: other capabilities are where NVIDIA's drivers look for it",
		v->k->name);
}
