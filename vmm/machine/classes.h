/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices that a user can ask for: a row a class. */
#ifndef VMM_MACHINE_CLASSES_H
#define VMM_MACHINE_CLASSES_H

#include "vmm/core/device.h"

/* In the order in which they are put into a machine; a NULL ends it. */
extern const struct device_class *const device_classes[];

#endif
