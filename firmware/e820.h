/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory map in the form that firmware and kernels read: packed {base, length, type}. */
#ifndef FIRMWARE_E820_H
#define FIRMWARE_E820_H

#include <assert.h>

#include "firmware/platform.h"

struct fw_cfg;

#define E820_MAX 128 /* Linux's boot parameters have space for this many */

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

/* Appends [base, base + size); an empty range adds no entry. -EINVAL: the range wraps; -ENOSPC. */
int e820_add(struct e820_map *, uint64_t base, uint64_t size, enum e820_type);
/* Changes the type of a range: splits the entries that it overlaps and keeps the map sorted.
 * -ENOSPC. */
int e820_carve(struct e820_map *, uint64_t base, uint64_t size, enum e820_type);

/* The map for firmware: the machine's RAM, and KVM's four pages below 0xff000000. It has no holes
 * for the EBDA and the BIOS, because firmware makes its own. */
int e820_firmware(struct e820_map *, const struct platform *);
/* The map for a kernel that is booted without firmware. In addition, the EBDA and BIOS areas of a
 * PC, the ACPI tables (size 0: no tables) and ECAM are reserved. */
int e820_linux(struct e820_map *, const struct platform *, uint64_t acpi, uint64_t acpi_size);
/* Adds the file etc/e820. */
int e820_fw_cfg_add(struct fw_cfg *, const struct e820_map *);

#endif
