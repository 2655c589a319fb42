/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's usb-host in the words of --usb. Threads: any; no state. */
#ifndef VMM_MACHINE_MONITOR_USB_H
#define VMM_MACHINE_MONITOR_USB_H

#include <jansson.h>
#include <stddef.h>

#include "vmm/core/error.h"

/* Writes the argument of --usb for the properties of device_add. -EINVAL with *err set. */
int monitor_usb_arg(const json_t *args, char *buf, size_t size, struct error *);

#endif
