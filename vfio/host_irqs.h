/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many interrupts of a passed-through device the host took: the only count there is, since they
 * go from there to the guest without us. /proc/interrupts has a line a vector, named by the
 * kernel's vfio_pci_intrs.c: vfio-msix[3](0000:01:00.0), vfio-msi[0](...), vfio-intx(...). A line
 * that shares its interrupt with other devices counts theirs, too.
 */
#ifndef VFIO_HOST_IRQS_H
#define VFIO_HOST_IRQS_H

#include <stdbool.h>
#include <stdint.h>

struct host_irq {
	enum { HOST_IRQ_INTX, HOST_IRQ_MSI, HOST_IRQ_MSIX } kind;
	unsigned vector; /* 0 for INTx */
	uint64_t count;	 /* over all CPUs, since the vector was enabled */
};

/* A line of the file, terminated: true when it is the device's. */
bool host_irq_parse(const char *line, const char *bdf, struct host_irq *);
/* Calls fn for every line of the device. A file that cannot be read has none. */
void host_irqs_each(const char *path, const char *bdf, void (*fn)(void *, const struct host_irq *),
		    void *arg);

#endif
