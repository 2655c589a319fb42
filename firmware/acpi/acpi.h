/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables, for OVMF through fw_cfg's table loader and for directly booted kernels.
 *
 * One builder makes three blobs: the tables, the RSDP, and the loader script that places the first
 * two and patches the pointers and checksums. Direct boot runs the same script itself.
 *
 * Threads: none of its own; acpi_fw_cfg's callback runs on a vCPU thread under fw_cfg's lock.
 */
#ifndef FIRMWARE_ACPI_ACPI_H
#define FIRMWARE_ACPI_ACPI_H

#include "firmware/platform.h"
#include "vmm/core/addr.h"
#include "vmm/core/log.h"

struct fw_cfg;
struct guest_mem;
struct pci_host;

#define ACPI_TABLES_SIZE (128 * KiB) /* constant: OVMF reads sizes before contents */
#define ACPI_LOADER_SIZE (8 * KiB)
#define ACPI_RSDP_SIZE	 36

struct acpi_blobs {
	uint8_t tables[ACPI_TABLES_SIZE];
	uint8_t rsdp[ACPI_RSDP_SIZE];
	uint8_t loader[ACPI_LOADER_SIZE];
	size_t tables_len, loader_len; /* used so far; the rest is zero */
};

/* -EINVAL: a platform that contradicts itself; -ENOSPC: it does not fit. */
int acpi_build(struct acpi_blobs *, const struct platform *);

/* Adds etc/acpi/tables, etc/acpi/rsdp and etc/table-loader. They are built when the loader script
 * is selected, which OVMF does after it has placed PCI devices: ecam_* and the 64-bit window then
 * follow the registers. The platform is copied, host may be NULL (ecam_* as given). */
struct acpi_fw_cfg {
	struct platform platform;
	struct pci_host *host;
	struct acpi_blobs *blobs;
	struct log_limit limit;
};
int acpi_fw_cfg_add(struct acpi_fw_cfg *, struct fw_cfg *, const struct platform *,
		    struct pci_host *host);
void acpi_fw_cfg_destroy(struct acpi_fw_cfg *); /* after fw_cfg_free() */
/* The part of the platform that follows the guest's own registers. Takes the PCI root lock. */
void acpi_follow_pci(struct platform *, struct pci_host *);

/* Builds and places everything for a kernel booted without firmware: the tables at `tables`
 * (page-aligned, below 4 GiB, ACPI_TABLES_SIZE bytes of RAM that the e820 map reserves), the RSDP
 * at `rsdp` (16-aligned, where the kernel looks: 0xe0000-0xfffff, or told otherwise). -EFAULT: no
 * RAM there. */
int acpi_install(struct guest_mem *, const struct platform *, gpa_t tables, gpa_t rsdp);

#endif
