/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of a network card: a tap device. */
#ifndef DEVICES_BACKEND_TAP_H
#define DEVICES_BACKEND_TAP_H

#include <stdint.h>

struct error;

#define TAP_NAME 16 /* IFNAMSIZ */
#define TAP_HDR	 12 /* struct virtio_net_hdr_v1 before each frame, both ways */

/* Attaches to the tap device `ifname`, and creates it if it does not exist. NULL: creates one, and
 * the kernel chooses its name. Returns a non-blocking descriptor, and the device's name in `name`;
 * or -errno with *err set. */
int tap_open(const char *ifname, char name[TAP_NAME], struct error *);
/* Sets which offloads the frames that we read may use: TUN_F_*. */
int tap_set_offload(int fd, unsigned flags);

#endif
