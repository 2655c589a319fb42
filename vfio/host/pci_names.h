/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What PCI devices are called: hwdata's pci.ids, the text file that lspci reads.
 *
 * Threads: any; no state.
 */
#ifndef VFIO_HOST_PCI_NAMES_H
#define VFIO_HOST_PCI_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct pci_names {
	char *text; /* of the whole file; NULL: there is none */
	size_t len;
};

/* Each is "" when the file does not know it; no control characters in them. */
struct pci_name {
	char class_name[64]; /* of the subclass, else of the class */
	char vendor[80], device[96];
};

/* The file at its usual places below root ("": the host's own); without one, nothing has a name.
 * pci_names_free() in either case. */
void pci_names_open(struct pci_names *, const char *root);
void pci_names_free(struct pci_names *);

/* class_code: 24 bits, as sysfs has it. */
void pci_names_find(const struct pci_names *, uint32_t class_code, uint16_t vendor, uint16_t device,
		    struct pci_name *);
/* "VGA compatible controller: NVIDIA Corporation GP107"; numbers where a name is not known. */
void pci_names_text(const struct pci_name *, uint32_t class_code, uint16_t vendor, uint16_t device,
		    char *buf, size_t size);

#endif
