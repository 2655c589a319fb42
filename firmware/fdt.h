/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a flattened device tree (Devicetree Specification 0.4). */
#ifndef FIRMWARE_FDT_H
#define FIRMWARE_FDT_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

struct fdt_machine {
	const char *name;
	uint64_t low_ram, high_base, high_ram; /* bytes; high_ram 0: none */
	unsigned n_cpus;
	uint32_t (*apic_id)(const void *arg, unsigned i);
	const void *apic_arg;
	uint64_t ecam_base, ecam_size;
	uint64_t mmio32_base, mmio32_size, mmio64_base, mmio64_size; /* PCI windows */
	uint16_t serial_port[4];
	uint8_t serial_irq[4];
	unsigned n_serial;
	const char *bootargs; /* NULL: none */
	uint64_t initrd_base, initrd_size;
	/* NUMA: none when n_nodes is 0; then memory is low_ram and high_ram. */
	unsigned n_nodes, n_memory;
	const struct fdt_memory {
		uint64_t base, size;
		uint32_t node;
	} * memory;
	uint32_t (*cpu_node)(const void *arg, unsigned i); /* node_arg */
	const void *node_arg;
	const uint8_t *distance; /* n_nodes * n_nodes, row by row */
	uint32_t pci_node;	 /* n_nodes or more: none */
};

/* A new blob, the caller's to free(). */
int fdt_build(const struct fdt_machine *, void **blob, size_t *size, struct error *);

#endif
