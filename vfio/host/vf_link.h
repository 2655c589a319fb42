/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a network card's physical function is told over rtnetlink: the addresses and VLANs of its
 * VFs, and to be up. rtnetlink(7), <linux/if_link.h>.
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
	const uint8_t *mac; /* 6 bytes; NULL: as it is */
	int vlan;	    /* 0 to 4094, 0 none; -1: as it is */
};

/* The request to the interface; bytes of it. */
size_t vf_link_message(uint8_t buf[VF_LINK_MESSAGE_SIZE], unsigned ifindex, const struct vf_link *);

/* -errno from the driver, with a sentence. */
int vf_link_set(const char *netdev, const struct vf_link *, struct error *);
int vf_link_up(const char *netdev, struct error *);

#endif
