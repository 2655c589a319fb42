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
	/* The byte at 0xcf9 is the chipset's reset control register, not part of CONFIG_ADDRESS:
	 * byte accesses there go to these (offset 0, size 1); ops NULL: nobody. Set before
	 * pci_host_init(). */
	const struct io_region_ops *rst_cnt;
	void *rst_cnt_opaque;
	pthread_mutex_t ecam_lock; /* held while ecam moves, never inside the root lock */
	bool ecam_stale;	   /* PCIEXBAR was written and ecam does not follow yet */
};

/* root: all pointers filled in. Adds the regions to its buses and 8086:29c0 at 00:00.0. */
int pci_host_init(struct pci_host *, struct pci_root *root, struct error *);
void pci_host_destroy(struct pci_host *);

/* Where ECAM is now, from PCIEXBAR: size 256, 128 or 64 MiB, 0 when it is off. Any thread; takes
 * the root lock. */
uint64_t pci_host_ecam(struct pci_host *, uint64_t *base);
/* What firmware would write: ECAM on at base (256 MiB aligned, below 4 GiB), for direct boot. After
 * each pci_reset_all(). */
void pci_host_set_ecam(struct pci_host *, uint64_t base);

#endif
