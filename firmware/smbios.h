/* SPDX-License-Identifier: BSD-2-Clause */
/* SMBIOS 3 (DMTF DSP0134 3.4): who the machine is, for people and for tools inside the guest. */
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

/* The anchor's table address is 0: whoever places the tables fills it in. -ENOSPC. */
int smbios_build(struct smbios_blobs *, const struct platform *);
/* Adds etc/smbios/smbios-anchor and smbios-tables. */
int smbios_fw_cfg_add(struct fw_cfg *, const struct platform *);
/* For direct boot: anchor at `at` (16-aligned in 0xf0000-0xfffff, where kernels look), tables right
 * behind. Returns the bytes used or -errno. */
int smbios_install(struct guest_mem *, const struct platform *, gpa_t at);

#endif
