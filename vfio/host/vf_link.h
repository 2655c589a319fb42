/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets the MAC addresses and VLANs of a network card's VFs, and sets its interface up. This is done
 * on the physical function with rtnetlink(7) and <linux/if_link.h>.
 *
 * Threads: any; no state.
 */
#ifndef VFIO_HOST_VF_LINK_H
#define VFIO_HOST_VF_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

#define VF_LINK_MESSAGE_SIZE 256

struct vf_link {
	unsigned vf;
	const uint8_t *mac; /* 6 bytes; NULL: no change */
	int vlan;	    /* 1 to 4094; 0: no VLAN; -1: no change */
};

/* Writes the request to buf. Returns its length in bytes. */
size_t vf_link_message(uint8_t buf[VF_LINK_MESSAGE_SIZE], unsigned ifindex, const struct vf_link *);

/* 0, or the driver's -errno with *err set. */
int vf_link_set(const char *netdev, const struct vf_link *, struct error *);
int vf_link_up(const char *netdev, struct error *);

#endif
