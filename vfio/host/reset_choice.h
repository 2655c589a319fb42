/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a device will be reset: the one decision, from facts. A run asks VFIO for the facts
 * (vfio/reset.c), `minivmm check` reads them in sysfs before anything is opened
 * (vfio/host/preflight/preflight_device.c).
 *
 * Threads: any; no state.
 */
#ifndef VFIO_HOST_RESET_CHOICE_H
#define VFIO_HOST_RESET_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio/host/sysfs.h"

/* In the order of preference. */
enum vfio_reset_how {
	VFIO_RESET_FUNCTION, /* VFIO_DEVICE_RESET: FLR or a method of the device's own */
	VFIO_RESET_BUS,	     /* hot reset: everything behind its port, all of which is ours */
	VFIO_RESET_PM,	     /* VFIO_DEVICE_RESET by D3hot and back: often clears little */
	VFIO_RESET_NONE,
};

/* What a reset of everything behind the port above the device would hit. */
enum vfio_bus_reach {
	VFIO_BUS_UNKNOWN, /* nobody asked: see vfio_reset_needs_bus() */
	VFIO_BUS_NONE,	  /* nothing above the device can reset it */
	VFIO_BUS_ALONE,	  /* this device and nothing else */
	VFIO_BUS_OURS,	  /* other devices, too, and all are given to this guest */
	VFIO_BUS_FOREIGN, /* a device that is not given to this guest */
	VFIO_BUS_IN_USE,  /* a device that the guest uses meanwhile */
	VFIO_BUS_HOST,	  /* devices that no guest can have, because they have no IOMMU group */
};

struct vfio_reset_facts {
	bool function;	     /* the kernel can reset the function by itself, in whatever way */
	const char *methods; /* sysfs reset_method; NULL: not known (Linux < 5.15) */
	bool flr;	     /* for when it is not: the device has a function-level reset */
	enum vfio_bus_reach bus;
	char foreign[VFIO_BDF_SIZE]; /* VFIO_BUS_FOREIGN, _IN_USE: that device */
};

struct vfio_reset_choice {
	enum vfio_reset_how how;
	char method[20]; /* VFIO_RESET_FUNCTION: what the kernel calls it; "" when not known */
};

/* True when the choice depends on facts->bus, which costs something to find out. */
bool vfio_reset_needs_bus(const struct vfio_reset_facts *);
struct vfio_reset_choice vfio_reset_choose(const struct vfio_reset_facts *);
/* Why a bus reset was not chosen, as a clause; for VFIO_RESET_PM and VFIO_RESET_NONE. */
void vfio_reset_why_no_bus(const struct vfio_reset_facts *, char *buf, size_t size);

/* Whether a device with this configuration space, of which n bytes are known, has a function-level
 * reset: PCI Express, or Advanced Features of conventional PCI. */
bool vfio_reset_has_flr(const uint8_t *cfg, size_t n);

#endif
