/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card that another process serves (vhost-user-net): OVS with DPDK, passt, and others. */
#ifndef DEVICES_VIRTIO_VHOST_USER_NET_H
#define DEVICES_VIRTIO_VHOST_USER_NET_H

struct device_class;

extern const struct device_class vhost_user_net_class;

#endif
