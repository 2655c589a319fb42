/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest's software is told of this machine: the options and the memory map as the tables
 * want them.
 *
 * Threads: main.
 */
#ifndef VMM_MACHINE_PLATFORM_H
#define VMM_MACHINE_PLATFORM_H

#include "firmware/platform.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/options.h"

/* The memory map below 4 GiB; RAM and the window above it: vmm/core/memmap.h. */
#define MACHINE_ECAM_BASE  0xb0000000u
#define MACHINE_ECAM_SIZE  (256 * MiB)
#define MACHINE_MMIO32_END 0xfc000000u

struct machine_platform {
	struct platform p;
	struct platform_cpu cpu[CONFIG_MAX_CPUS];
};

/* Once memory is planned and the memory map is complete. The options and the memory stay in place
 * as long as the platform is used. */
void machine_platform_fill(struct machine_platform *, const struct config *, const struct memmap *,
			   const struct machine_memory *);

#endif
