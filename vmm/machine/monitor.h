/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What --qmp can do to this machine and ask of it.
 *
 * Threads: the main loop's.
 */
#ifndef VMM_MACHINE_MONITOR_H
#define VMM_MACHINE_MONITOR_H

#include "vmm/control/qmp.h"
#include "vmm/machine/monitor_devices.h"

struct pci_root;
struct vm;

struct machine_monitor {
	struct qmp *qmp; /* NULL: no --qmp */
	struct qmp_machine machine;
	struct monitor_devices devices;
};

/* Before the sockets are plugged; nothing without a --qmp. */
int machine_monitor_open(struct vm *, struct error *);
void machine_monitor_close(struct vm *);

/* monitor_pci.c: the PCI devices as query-pci has them. Takes the root lock. NULL: out of memory.
 */
json_t *monitor_pci(struct pci_root *);
/* One of them has this qdev_id. Takes the root lock. */
bool monitor_pci_has(struct pci_root *, const char *id);

#endif
