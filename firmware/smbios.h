/* SPDX-License-Identifier: BSD-2-Clause */
/* SMBIOS 3 (DMTF DSP0134 3.4): the description of the machine that tools in the guest show. */
#ifndef FIRMWARE_SMBIOS_H
#define FIRMWARE_SMBIOS_H

#include "firmware/platform.h"
#include "vmm/core/addr.h"

struct fw_cfg;
struct guest_mem;

#define SMBIOS_ANCHOR_SIZE 24
#define SMBIOS_TABLES_MAX  (16 * KiB)

struct smbios_blobs {
	uint8_t tables[SMBIOS_TABLES_MAX];
	size_t len;
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];
};

/* The table address in the anchor is 0; the code that places the tables sets it. -ENOSPC. */
int smbios_build(struct smbios_blobs *, const struct platform *);
/* Adds etc/smbios/smbios-anchor and smbios-tables. */
int smbios_fw_cfg_add(struct fw_cfg *, const struct platform *);
/* For direct boot: puts the anchor at `at` (16-aligned in 0xf0000-0xfffff, where kernels search),
 * and the tables directly behind it. Returns the number of bytes used, or -errno. */
int smbios_install(struct guest_mem *, const struct platform *, gpa_t at);

#endif
