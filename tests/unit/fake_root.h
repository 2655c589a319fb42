/* SPDX-License-Identifier: BSD-2-Clause */
/* A PCI root with its buses and interrupts, which keep what they were told. Not linked to any test
 * library, so that fuzz targets can use it. */
#ifndef FAKE_ROOT_H
#define FAKE_ROOT_H

#include "devices/pci/pci.h"

#define FAKE_GSIS 64

struct fake_root {
	struct pci_root root;
	bool line[FAKE_GSIS];
	int fd[FAKE_GSIS]; /* the irqfd; -1: none */
	struct {
		uint64_t addr;
		uint32_t data;
	} msi[FAKE_GSIS];
	struct {
		uint64_t addr;
		uint32_t data, devid;
		unsigned n;
	} signalled; /* messages without an eventfd: the last, and how many */
};

/* Stays where it is until fake_root_free(). Memory and a loop are the caller's to add. */
void fake_root_init(struct fake_root *);
void fake_root_free(struct fake_root *);

#endif
