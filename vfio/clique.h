/* SPDX-License-Identifier: BSD-2-Clause */
/* NVIDIA's cliques of graphics cards that reach each other's memory. */
#ifndef VFIO_CLIQUE_H
#define VFIO_CLIQUE_H

#include "vfio/vfio_pci.h"

/* The capability that opt.clique asks for. -EINVAL: the device is no graphics card of NVIDIA's;
 * -EBUSY: its configuration space has no room. After the configuration space and the interrupts. */
int vfio_clique_init(struct vfio_pci *, struct error *);

#endif
