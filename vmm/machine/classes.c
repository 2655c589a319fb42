/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine/classes.h"

#include "devices/chipset/debugcon.h"
#include "devices/chipset/serial.h"
#include "devices/usb/input_options.h"
#include "devices/usb/usb_options.h"
#include "devices/virtio/vhost_user_blk.h"
#include "devices/virtio/vhost_user_net.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_rng.h"
#include "vfio/options.h"
#include "vmm/control/qmp.h"

const struct device_class *const device_classes[] = {
	&vfio_class, /* passthrough.c puts them in */
	&virtio_blk_class,
	&virtio_net_class,
	&vhost_user_blk_class,
	&vhost_user_net_class,
	&virtio_rng_class,
	&usb_class,
	&input_class,
	/* These empty the files that they write, so they come after what may fail. */
	&virtio_console_class,
	&debugcon_class,
	&qmp_class,
	&serial_class,
	NULL,
};
