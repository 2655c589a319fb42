/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where things lie among the guest's physical addresses: RAM, the window for 64-bit BARs, and how
 * many address bits that takes. Numbers in, numbers out: `run` and `check` decide by the same code.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_MEMMAP_H
#define VMM_CORE_MEMMAP_H

#include "vmm/core/addr.h"
#include "vmm/core/error.h"

/* Low RAM ends at 2 GiB at the latest, so that everything from there to 4 GiB is
 * PCI's, the chips' and the flash's. */
#define MEMMAP_LOW_RAM_MAX (2 * GiB)
#define MEMMAP_HIGH_BASE   (4 * GiB)
/* HyperTransport's own addresses: an AMD IOMMU translates none of them. */
#define MEMMAP_HT_BASE 0xfd00000000ull
#define MEMMAP_HT_END  0x10000000000ull

struct memmap {
	uint64_t low_ram, high_base, high_ram;
	unsigned bits;			   /* the guest's physical address bits */
	uint64_t mmio64_base, mmio64_size; /* size 0: none */
	bool mmio64_told;		   /* the firmware would take less, and must be told */
};

struct memmap_want {
	uint64_t mem64; /* bytes of 64-bit BARs of passed-through devices */
	/* Physical address bits: the host's processor's, the IOMMU's, what the user said. 0: not
	 * known, or no limit. */
	unsigned host_bits, iommu_bits, asked_bits;
};

/* Places RAM. With amd_iommu none of it lies at HyperTransport's addresses: what would reach them
 * starts behind them. */
void memmap_ram(struct memmap *, uint64_t ram, bool amd_iommu);
/* This host's processor is AMD's, or a relative of it. */
bool memmap_host_is_amd(void);
/* After memmap_ram(): the window and the bits, as few as hold everything, 42 at least where the
 * host has them. -ERANGE: they cannot, with the remedy. */
int memmap_window(struct memmap *, const struct memmap_want *, struct error *);

#endif
