/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host bridge: CONFIG_ADDRESS/CONFIG_DATA, ECAM, and the Q35 memory controller at 00:00.0.
 *
 * Public functions are called by the main loop before vCPUs run, except where noted.
 */
#ifndef DEVICES_PCI_PCI_HOST_H
#define DEVICES_PCI_PCI_HOST_H

#include "devices/pci/pci.h"

#define PCI_HOST_CF8 0xcf8

struct pci_host {
	struct pci_root *root;
	struct pci_device mch;
	struct io_region cf8, cfc, ecam;
	/* The byte at 0xcf9 is the reset control register of the chipset, and not a part of
	 * CONFIG_ADDRESS. Byte accesses there go to rst_cnt (offset 0, size 1); NULL: no such
	 * register. The caller sets both before pci_host_init(). */
	const struct io_region_ops *rst_cnt;
	void *rst_cnt_opaque;
	pthread_mutex_t ecam_lock; /* held while ecam moves, never inside the root lock */
	bool ecam_stale;	   /* PCIEXBAR was written, and ecam has not moved yet */
};

/* The caller has set all pointers in root. Adds the regions to its buses, and device 8086:29c0 at
 * 00:00.0. */
int pci_host_init(struct pci_host *, struct pci_root *root, struct error *);
void pci_host_destroy(struct pci_host *);

/* Reads from PCIEXBAR where ECAM is. Returns its size: 256, 128 or 64 MiB, or 0 if it is off. Any
 * thread; takes the root lock. */
uint64_t pci_host_ecam(struct pci_host *, uint64_t *base);
/* For direct boot, after each pci_reset_all(): does what firmware would do, and enables ECAM at
 * base (a multiple of 256 MiB, below 4 GiB). */
void pci_host_set_ecam(struct pci_host *, uint64_t base);

#endif
