/* SPDX-License-Identifier: BSD-2-Clause */
/* Firmware volumes on disk, and the private variable store. What ovmf.c is made of. */
#ifndef FIRMWARE_NVRAM_H
#define FIRMWARE_NVRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

enum fv_kind { FV_NONE, FV_CODE, FV_VARS };

/* What a firmware volume at data is (UEFI PI 1.8, vol. 3, 3.2.1): header signature, length and
 * checksum are right and the volume lies within len. *fv_len: its length. */
enum fv_kind fv_check(const uint8_t *data, size_t len, uint64_t *fv_len);

/* Opens path read-write, or creates it (mode 0600) with the template's bytes when it does not exist
 * and there is a template; takes the lock. Returns the descriptor;
 * *created: the file was not there before. */
int nvram_open(const char *path, const uint8_t *tmpl, size_t tmpl_len, bool *created,
	       struct error *);

#endif
