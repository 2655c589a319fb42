/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct boot: loads a Linux bzImage (64-bit entry; 32-bit entry if the kernel has no other) or a
 * PVH ELF (32-bit entry) into guest RAM, with its initrd, command line and tables.
 *
 * Threads: main loop, while no vCPU runs. The caller keeps the descriptors open, because a reset
 * loads the files again.
 */
#ifndef FIRMWARE_LINUX_BOOT_H
#define FIRMWARE_LINUX_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

struct e820_map;
struct guest_mem;

struct linux_boot {
	struct guest_mem *mem;
	const char *kernel_path, *initrd_path; /* for messages */
	int kernel_fd, initrd_fd;	       /* initrd_fd -1: no initrd */
	const char *cmdline;		       /* NULL: empty */
	const struct e820_map *map;	       /* sorted by address */
	const void *dtb;		       /* NULL: no device tree */
	size_t dtb_size;
	uint64_t rsdp; /* guest-physical address; 0: no ACPI tables */
};

struct linux_boot_entry {
	bool long_mode; /* false: 32-bit protected mode without paging */
	uint64_t rip, rsp, rbx, rsi, cr3, gdt_base;
	uint16_t gdt_limit; /* CS 0x10, DS 0x18 */
};

/* Checks that these files can be booted; needs no guest memory. initrd -1: no initrd. */
int linux_boot_check(int kernel, const char *kernel_path, int initrd, const char *initrd_path,
		     struct error *);
/* Computes where the initrd will be loaded, for the device tree; size 0: no initrd. Loads
 * nothing. */
int linux_boot_initrd_range(const struct linux_boot *, uint64_t *base, uint64_t *size,
			    struct error *);
int linux_boot_load(const struct linux_boot *, struct linux_boot_entry *, struct error *);

#endif
