/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP's commands for devices that come and go: device_add, device_del, and the nodes that a device
 * refers to (blockdev-add, netdev_add).
 *
 * Threads: the main loop's.
 */
#ifndef VMM_MACHINE_MONITOR_DEVICES_H
#define VMM_MACHINE_MONITOR_DEVICES_H

#include <jansson.h>
#include <stdint.h>

#include "vmm/core/error.h"

struct device;
struct hotplug;
struct machine_usb;
struct monitor_node;
struct pci_root;
struct qmp;

struct monitor_devices {
	struct qmp *qmp;	 /* whom answers go to; set by the machine */
	struct hotplug *hotplug; /* NULL: no --hotplug */
	struct machine_usb *usb; /* NULL: no --usb */
	struct pci_root *pci;
	struct monitor_node *nodes;
};

/* As change() of struct qmp_machine. */
json_t *monitor_devices_change(struct monitor_devices *, const char *command, const json_t *args,
			       uint64_t ticket, struct error *);
/* A device was deleted: its node can be used again. */
void monitor_devices_deleted(struct monitor_devices *, const struct device *);
/* The name of the node that the device was made from; NULL: none. */
const char *monitor_devices_node(const struct monitor_devices *, const struct device *);
void monitor_devices_free(struct monitor_devices *);

#endif
