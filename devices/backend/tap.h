/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of a network card: a tap device. Each descriptor is one queue of the device. */
#ifndef DEVICES_BACKEND_TAP_H
#define DEVICES_BACKEND_TAP_H

#include <stdbool.h>
#include <stdint.h>

struct error;

#define TAP_NAME 16 /* IFNAMSIZ */
#define TAP_HDR	 12 /* struct virtio_net_hdr_v1 before each frame, both ways */

#define TAP_MTU_MIN 68
#define TAP_MTU_MAX 65521 /* the kernel's maximum for a tap device */

/* TUN_F_USO4 and TUN_F_USO6, which the kernel accepts only together. <linux/if_tun.h> has them
 * since Linux 6.2. */
#define TAP_OFFLOAD_USO 0x60u

struct tap {
	char name[TAP_NAME];
	bool multi_queue; /* the device has several queues: tap_add_queue() works */
	bool uso;	  /* TAP_OFFLOAD_USO works */
	unsigned mtu;	  /* 0: not known */
	unsigned old_mtu; /* before tap_open() changed it; 0: it did not */
	bool was_down;	  /* tap_open() set the interface up */
};

struct tap_want {
	/* Created if it does not exist. NULL: created, with a name that the kernel chooses. */
	const char *ifname;
	bool multi_queue; /* several queues, if the device has them; a new device gets them */
	unsigned mtu;	  /* the device is set to it; 0: no change */
};

/* Attaches to the tap device. Returns a non-blocking descriptor, or -errno with *err set. */
int tap_open(struct tap *, const struct tap_want *, struct error *);
/* Sets the MTU and the interface's state back to what tap_open() found. A device that was made by
 * tap_open() goes with its last descriptor, so this is for the others. Before that is closed. */
void tap_restore(struct tap *);
/* Attaches one more queue. Returns its descriptor, or -errno. */
int tap_add_queue(const struct tap *);
/* A queue that is not attached gets no frames: the host's frames go to the others. */
int tap_attach_queue(int fd, bool attached);
/* Sets which offloads the frames that we read may use: TUN_F_*. Applies to all queues. */
int tap_set_offload(int fd, unsigned flags);

#endif
