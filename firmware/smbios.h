/* SPDX-License-Identifier: BSD-2-Clause */
/* SMBIOS 3 (DMTF DSP0134 3.4): who the machine is, for people and for tools inside the guest. */
#ifndef FIRMWARE_SMBIOS_H
#define FIRMWARE_SMBIOS_H

#include "vmm/core/addr.h"

struct fw_cfg;
struct guest_mem;

#define SMBIOS_ANCHOR_SIZE 24
#define SMBIOS_TABLES_MAX  (16 * KiB)

struct smbios_config {
	const char *name;		  /* product name's suffix and serial number; NULL = none */
	const char *version;		  /* ours */
	uint8_t uuid[16];		  /* in the order of its text form */
	unsigned sockets, cores, threads; /* cores per socket, threads per core */
	uint64_t low, high;		  /* bytes of RAM below 4 GiB and from high_base on */
	uint64_t high_base;
	bool uefi;			  /* started by UEFI firmware */
};

struct smbios_blobs {
	uint8_t tables[SMBIOS_TABLES_MAX];
	size_t len;
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];
};

/* The anchor's table address is 0: whoever places the tables fills it in. -ENOSPC. */
int smbios_build(struct smbios_blobs *, const struct smbios_config *);
/* Adds etc/smbios/smbios-anchor and smbios-tables. */
int smbios_fw_cfg_add(struct fw_cfg *, const struct smbios_config *);
/* For direct boot: anchor at `at` (16-aligned in 0xf0000-0xfffff, where kernels look), tables right
 * behind. Returns the bytes used or -errno. */
int smbios_install(struct guest_mem *, const struct smbios_config *, gpa_t at);

#endif
