/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk that another process serves (vhost-user-blk): SPDK, qemu-storage-daemon, and others. */
#ifndef DEVICES_VIRTIO_VHOST_USER_BLK_H
#define DEVICES_VIRTIO_VHOST_USER_BLK_H

struct device_class;

extern const struct device_class vhost_user_blk_class;

#endif
