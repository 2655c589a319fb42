/* SPDX-License-Identifier: BSD-2-Clause */
/* --input: a keyboard or mouse of the host. Threads: as in device.h. */
#ifndef DEVICES_USB_INPUT_OPTIONS_H
#define DEVICES_USB_INPUT_OPTIONS_H

#include "vmm/core/device.h"

/* env.input has the emulated keyboard and mouse. */
extern const struct device_class input_class;

#endif
