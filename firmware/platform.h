/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine as the guest's software is told of it. It is filled in once; the ACPI tables, the
 * device tree, SMBIOS and the memory map are four ways of saying it.
 *
 * Pointers stay the filler's, in place as long as the platform is in use.
 */
#ifndef FIRMWARE_PLATFORM_H
#define FIRMWARE_PLATFORM_H

#include "vmm/core/addr.h"
#include "vmm/core/memmap.h"

#define PLATFORM_MAX_NODES 64
#define PLATFORM_NO_NODE   UINT32_MAX
#define PLATFORM_SERIALS   4

struct platform_cpu {
	uint32_t apic_id;
	uint32_t node; /* only read when there are nodes */
};

struct platform_memory {
	uint64_t base, size;
	uint32_t node;
};

/* A PC has serial ports 0 and 1 at 0x3f8, IRQ 4, and 0x2f8, IRQ 3. */
struct platform_serial {
	uint16_t port;
	uint8_t irq, number;
};

struct platform {
	const char *name;    /* the user's for the machine; NULL: none */
	const char *version; /* ours */
	uint8_t uuid[16];    /* in the order of its text form */
	bool uefi;	     /* started by UEFI firmware */

	const struct platform_cpu *cpus;
	unsigned n_cpus;		  /* 1..1024 */
	unsigned sockets, cores, threads; /* cores a socket, threads a core */

	struct memmap map; /* RAM, and the window of 64-bit BARs as the firmware computes it */
	uint64_t ecam_base, ecam_size; /* size 0: none; 256, 128 or 64 MiB */
	/* The 32-bit window of PCI, [base, end): from the end of low RAM on. ECAM may lie inside. */
	uint64_t mmio32_base, mmio32_end;

	uint16_t pmbase; /* of the power-management registers; 0: 0x600 */
	bool rtc;
	struct platform_serial serial[PLATFORM_SERIALS];
	unsigned n_serial;

	/* NUMA: none when n_nodes is 0; then memory is that of the map. */
	unsigned n_nodes, n_memory;
	const struct platform_memory *memory;
	const uint8_t *distance; /* n_nodes * n_nodes, row by row; NULL: not known */
	uint32_t pci_node;	 /* of the root bus; PLATFORM_NO_NODE or out of range: none */
};

#endif
