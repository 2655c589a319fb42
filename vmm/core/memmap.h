/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of guest physical addresses: RAM, the window for 64-bit BARs, and how many address
 * bits are needed. These are pure functions, so that `minivmm run` and `minivmm check` decide in
 * the same way.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_MEMMAP_H
#define VMM_CORE_MEMMAP_H

#include "vmm/core/addr.h"
#include "vmm/core/error.h"

/* Low RAM ends at 2 GiB or below. From there to 4 GiB lie PCI, the chips and the flash. */
#define MEMMAP_LOW_RAM_MAX (2 * GiB)
#define MEMMAP_HIGH_BASE   (4 * GiB)
/* HyperTransport uses these addresses; an AMD IOMMU does not translate them. */
#define MEMMAP_HT_BASE 0xfd00000000ull
#define MEMMAP_HT_END  0x10000000000ull

struct memmap {
	uint64_t low_ram, high_base, high_ram;
	unsigned bits;			   /* the guest's physical address bits */
	uint64_t mmio64_base, mmio64_size; /* size 0: no window */
	bool mmio64_told;		   /* OVMF's own choice is smaller, so it must be told */
};

struct memmap_want {
	uint64_t mem64;	  /* bytes of 64-bit BARs of passed-through devices */
	uint64_t slots64; /* bytes of windows of hot-pluggable slots */
	/* Physical address bits of the host's processor, of the IOMMU, and of the user's option. 0:
	 * not known, or no limit. */
	unsigned host_bits, iommu_bits, asked_bits;
};

/* Places RAM. With amd_iommu, high RAM that would reach HyperTransport's addresses starts behind
 * them. */
void memmap_ram(struct memmap *, uint64_t ram, bool amd_iommu);
/* True if this host's processor is from AMD or Hygon. */
bool memmap_host_is_amd(void);
/* Called after memmap_ram(): places the window, and chooses as few address bits as possible, but at
 * least 42 if the host has them. -ERANGE: RAM and BARs do not fit; *error has the remedy. */
int memmap_window(struct memmap *, const struct memmap_want *, struct error *);

#endif
