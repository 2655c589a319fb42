/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The description of the machine for the guest's software. The ACPI tables, the device tree, SMBIOS
 * and the memory map are all made from it.
 *
 * The creator of a platform owns what its pointers point to, and keeps it while the platform is
 * used.
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
	uint32_t node; /* used only if there are nodes */
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
	const char *name;    /* the user's name for the machine; NULL: no name */
	const char *version; /* of minivmm */
	uint8_t uuid[16];    /* in the order of its text form */
	bool uefi;	     /* UEFI firmware boots the machine */

	const struct platform_cpu *cpus;
	unsigned n_cpus;		  /* 1..1024 */
	unsigned sockets, cores, threads; /* cores per socket, threads per core */

	struct memmap map; /* RAM, and the window for 64-bit BARs as OVMF will compute it */
	uint64_t ecam_base, ecam_size; /* size: 256, 128 or 64 MiB; 0: no ECAM */
	/* How many PCI buses there can be, from number 0 on. 0: as many as ECAM holds. Kernels
	 * probe each bus that they are told of, which costs 64 exits for an empty one. */
	unsigned buses;
	/* The 32-bit PCI window [base, end). It begins at the end of low RAM; ECAM may lie
	 * inside. */
	uint64_t mmio32_base, mmio32_end;

	bool hotplug;	 /* some root ports have hot-pluggable slots */
	uint16_t pmbase; /* I/O port of the power management registers; 0: 0x600 */
	bool rtc;
	struct platform_serial serial[PLATFORM_SERIALS];
	unsigned n_serial;

	/* NUMA. If n_nodes is 0 there are no nodes, and `map` alone describes the memory. */
	unsigned n_nodes, n_memory;
	const struct platform_memory *memory;
	const uint8_t *distance; /* n_nodes * n_nodes, row by row; NULL: not known */
	uint32_t pci_node;	 /* node of the root bus; PLATFORM_NO_NODE: not known */
};

/* The highest number of a PCI bus. */
static inline uint8_t platform_last_bus(const struct platform *p)
{
	unsigned n = p->ecam_size && p->ecam_size / MiB < 256 ? (unsigned)(p->ecam_size / MiB)
							      : 256;

	return (uint8_t)((p->buses && p->buses < n ? p->buses : n) - 1);
}

#endif
