/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of PCI devices, from pci.ids, the text file that lspci reads, too.
 *
 * Threads: any; no state.
 */
#ifndef VFIO_HOST_PCI_NAMES_H
#define VFIO_HOST_PCI_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct pci_names {
	char *text; /* the whole file; NULL: the host has no such file */
	size_t len;
};

/* A name that is not in the file is "". Names contain no control characters. */
struct pci_name {
	char class_name[64]; /* of the subclass, or of the class if the subclass has no name */
	char vendor[80], device[96];
};

/* Reads the file at its usual paths below root ("" on a real host). If there is no file, all names
 * are "". Call pci_names_free() in both cases. */
void pci_names_open(struct pci_names *, const char *root);
void pci_names_free(struct pci_names *);

/* class_code: the 24 bits of sysfs. */
void pci_names_find(const struct pci_names *, uint32_t class_code, uint16_t vendor, uint16_t device,
		    struct pci_name *);
/* Writes "VGA compatible controller: NVIDIA Corporation GP107"; a number replaces an unknown
 * name. */
void pci_names_text(const struct pci_name *, uint32_t class_code, uint16_t vendor, uint16_t device,
		    char *buf, size_t size);

#endif
