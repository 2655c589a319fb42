/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory map as firmware and kernels read it: packed {base, length, type}. */
#ifndef FIRMWARE_E820_H
#define FIRMWARE_E820_H

#include <assert.h>

#include "firmware/platform.h"

struct fw_cfg;

#define E820_MAX 128 /* as many as Linux's boot parameters hold */

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };

struct e820_entry {
	uint64_t base, size; /* little-endian */
	uint32_t type;	     /* little-endian */
} __attribute__((packed));
static_assert(sizeof(struct e820_entry) == 20, "ACPI 6.5, 15.2");

struct e820_map {
	struct e820_entry e[E820_MAX];
	unsigned n;
};

/* Appends [base, base + size); an empty range is nothing. -EINVAL: it wraps; -ENOSPC. */
int e820_add(struct e820_map *, uint64_t base, uint64_t size, enum e820_type);
/* Declares a part of what is there as something else: splits the entries it overlaps, keeps the map
 * sorted. -ENOSPC. */
int e820_carve(struct e820_map *, uint64_t base, uint64_t size, enum e820_type);

/* The machine's RAM as the firmware wants it, which makes its own holes, and KVM's four pages below
 * 0xff000000. */
int e820_firmware(struct e820_map *, const struct platform *);
/* The same for a kernel booted without firmware: with the EBDA and BIOS holes of a PC, the ACPI
 * tables (size 0: none) and ECAM reserved. */
int e820_linux(struct e820_map *, const struct platform *, uint64_t acpi, uint64_t acpi_size);
/* Adds etc/e820. */
int e820_fw_cfg_add(struct fw_cfg *, const struct e820_map *);

#endif
