/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables: for OVMF through the table loader of fw_cfg, and for kernels that are booted
 * directly.
 *
 * One builder makes three blobs: the tables, the RSDP, and the loader script. The script says how
 * to place the other two, and how to patch pointers and checksums. OVMF runs the script; for direct
 * boot we run it.
 *
 * Threads: the callback of acpi_fw_cfg runs on a vCPU thread under fw_cfg's lock. All other
 * functions run on the thread of the caller.
 */
#ifndef FIRMWARE_ACPI_ACPI_H
#define FIRMWARE_ACPI_ACPI_H

#include "firmware/platform.h"
#include "vmm/core/addr.h"
#include "vmm/core/log.h"

struct fw_cfg;
struct guest_mem;
struct pci_host;

#define ACPI_TABLES_SIZE (128 * KiB) /* constant, because OVMF reads sizes before contents */
#define ACPI_LOADER_SIZE (8 * KiB)
#define ACPI_RSDP_SIZE	 36

struct acpi_blobs {
	size_t tables_len, loader_len; /* bytes in use; the rest is zero */
	uint8_t rsdp[ACPI_RSDP_SIZE];
	uint8_t loader[ACPI_LOADER_SIZE];
	uint8_t tables[ACPI_TABLES_SIZE];
};

/* -EINVAL: the platform is not consistent; -ENOSPC: the tables do not fit. */
int acpi_build(struct acpi_blobs *, const struct platform *);

/* Adds etc/acpi/tables, etc/acpi/rsdp and etc/table-loader. They are built when the guest selects
 * the loader script. OVMF does this after it has placed PCI devices, so ECAM, the buses and the
 * 64-bit window in the tables follow the registers. The platform is copied. host may be NULL: then
 * they stay as given.
 */
struct acpi_fw_cfg {
	struct platform platform;
	struct pci_host *host;
	struct acpi_blobs *blobs;
	struct log_limit limit;
};
int acpi_fw_cfg_add(struct acpi_fw_cfg *, struct fw_cfg *, const struct platform *,
		    struct pci_host *host);
void acpi_fw_cfg_destroy(struct acpi_fw_cfg *); /* after fw_cfg_free() */
/* Updates ECAM, the buses and the 64-bit window in the platform from the guest's PCI registers.
 * Takes the PCI root lock. */
void acpi_follow_pci(struct platform *, struct pci_host *);

/* Builds and places everything for a kernel that is booted without firmware. tables: 64-aligned,
 * below 4 GiB, ACPI_TABLES_SIZE bytes of RAM that the e820 map reserves. rsdp: 16-aligned, in
 * 0xe0000-0xfffff, where kernels search; or elsewhere if the kernel is told the address. -EFAULT:
 * there is no RAM. */
int acpi_install(struct guest_mem *, const struct platform *, gpa_t tables, gpa_t rsdp);

#endif
