/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a network card: a tap device. Each descriptor is one queue of it. */
#ifndef DEVICES_BACKEND_TAP_H
#define DEVICES_BACKEND_TAP_H

#include <stdbool.h>
#include <stdint.h>

struct error;

#define TAP_NAME 16 /* IFNAMSIZ */
#define TAP_HDR	 12 /* struct virtio_net_hdr_v1 before each frame, both ways */

#define TAP_MTU_MIN 68
#define TAP_MTU_MAX 65521 /* the kernel's for a tap device */

/* TUN_F_USO4 and TUN_F_USO6, which the kernel takes together only. <linux/if_tun.h> has them since
 * Linux 6.2. */
#define TAP_OFFLOAD_USO 0x60u

struct tap {
	char name[TAP_NAME];
	bool multi_queue; /* tap_add_queue() works */
	bool uso;	  /* TAP_OFFLOAD_USO does */
	unsigned mtu;	  /* 0: not known */
};

struct tap_want {
	const char
		*ifname;  /* made when it does not exist; NULL: made, with a name of the kernel's */
	bool multi_queue; /* where the device has it; one that is made gets it */
	unsigned mtu;	  /* the device is set to it; 0: left as it is */
};

/* Attaches to the tap device. The descriptor does not block. -errno with *err naming the remedy. */
int tap_open(struct tap *, const struct tap_want *, struct error *);
/* One more queue, attached. The descriptor, or -errno. */
int tap_add_queue(const struct tap *);
/* A queue that is not attached gets no frames: those of the host go to the others. */
int tap_attach_queue(int fd, bool attached);
/* Which offloads the frames we read may carry: TUN_F_*. For all queues. */
int tap_set_offload(int fd, unsigned flags);

#endif
