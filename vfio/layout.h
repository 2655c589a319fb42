/* SPDX-License-Identifier: BSD-2-Clause */
/* Where passed-through functions go in the guest: which share a root port, as which function. */
#ifndef VFIO_LAYOUT_H
#define VFIO_LAYOUT_H

#include <stdbool.h>

#include "vmm/core/error.h"

struct vfio_place {
	const char *bdf; /* of the host */
	bool virtfn;
	unsigned slot; /* asked for; 0: any */
	/* The answer: ports are numbered from 0 in the order of the devices. */
	unsigned port, fn;
};

/* Functions of one physical slot share a port and keep their numbers; a virtual function, whose
 * number means nothing to a guest, has a port to itself. Each port has a function 0, without which
 * a guest looks no further: where the host's is not given, the lowest that is takes its place.
 * Returns the number of ports; -EINVAL: two cards ask for one slot. No state. */
int vfio_layout(struct vfio_place *, unsigned n, struct error *err);
/* The slot that the port's devices ask for; 0: any. */
unsigned vfio_layout_slot(const struct vfio_place *, unsigned n, unsigned port);

/* How many cards of the host the functions belong to, whatever slots of the guest they are in; a
 * virtual function, which works for itself, counts as one. */
unsigned vfio_layout_cards(const struct vfio_place *, unsigned n);

#endif
