/* SPDX-License-Identifier: BSD-2-Clause */
/* A PCI root with buses and interrupts that record what they were told. It uses no test library, so
 * that fuzz targets can use it. */
#ifndef FAKE_ROOT_H
#define FAKE_ROOT_H

#include "devices/pci/pci.h"

#define FAKE_GSIS 64

struct fake_root {
	struct pci_root root;
	bool line[FAKE_GSIS];
	int fd[FAKE_GSIS]; /* the irqfd; -1: no irqfd */
	struct {
		uint64_t addr;
		uint32_t data;
	} msi[FAKE_GSIS];
	struct {
		uint64_t addr;
		uint32_t data, devid;
		unsigned n;
	} signalled; /* messages without an eventfd: the last one, and their number */
};

/* The struct must not move until fake_root_free(). The caller adds memory and a loop. */
void fake_root_init(struct fake_root *);
void fake_root_free(struct fake_root *);

#endif
