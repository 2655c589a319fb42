/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct boot: a Linux bzImage (64-bit entry, or 32-bit where the kernel has no other) or a PVH ELF
 * (32-bit entry), put into guest RAM with its initrd, command line and tables.
 *
 * Main loop only, vCPUs not running. The descriptors stay the caller's: a reset loads again.
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
	int kernel_fd, initrd_fd;	       /* initrd_fd -1: none */
	const char *cmdline;		       /* NULL: empty */
	const struct e820_map *map;	       /* ascending */
	const void *dtb;		       /* NULL: none */
	size_t dtb_size;
	uint64_t rsdp; /* 0: none */
};

struct linux_boot_entry {
	bool long_mode; /* else 32-bit protected mode without paging */
	uint64_t rip, rsp, rbx, rsi, cr3, gdt_base;
	uint16_t gdt_limit; /* CS 0x10, DS 0x18 */
};

/* Whether these files can be started at all, before there is memory for them. initrd -1: none. */
int linux_boot_check(int kernel, const char *kernel_path, int initrd, const char *initrd_path,
		     struct error *);
/* Where the initrd went, for the device tree; size 0: none. Computed without loading anything. */
int linux_boot_initrd_range(const struct linux_boot *, uint64_t *base, uint64_t *size,
			    struct error *);
int linux_boot_load(const struct linux_boot *, struct linux_boot_entry *, struct error *);

#endif
