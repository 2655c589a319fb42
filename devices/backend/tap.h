/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a network card: a tap device. */
#ifndef DEVICES_BACKEND_TAP_H
#define DEVICES_BACKEND_TAP_H

#include <stdint.h>

struct error;

#define TAP_NAME 16 /* IFNAMSIZ */
#define TAP_HDR	 12 /* struct virtio_net_hdr_v1 before each frame, both ways */

/* Attaches to the tap device `ifname`, making it when it does not exist; NULL: makes one with a
 * name of the kernel's choice. The descriptor does not block; name: of the device. -errno with *err
 * naming the remedy. */
int tap_open(const char *ifname, char name[TAP_NAME], struct error *);
/* Which offloads the frames we read may carry: TUN_F_*. */
int tap_set_offload(int fd, unsigned flags);

#endif
