/* SPDX-License-Identifier: BSD-2-Clause */
/* For ovmf.c: firmware volumes on disk, and the variable store of a machine. */
#ifndef FIRMWARE_NVRAM_H
#define FIRMWARE_NVRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

enum fv_kind { FV_NONE, FV_CODE, FV_VARS };

/* The kind of the firmware volume at data (UEFI PI 1.8, vol. 3, 3.2.1); *fv_len is its length.
 * FV_NONE: the header's signature, length or checksum is wrong, or the volume is longer than
 * len. */
enum fv_kind fv_check(const uint8_t *data, size_t len, uint64_t *fv_len);
/* The same of a file's first len bytes, for messages: the rest of the volume is not there. */
enum fv_kind fv_head(const uint8_t *data, size_t len);

/* Opens path for reading and writing, and locks it. If it does not exist and there is a template,
 * creates it with the template's bytes (mode 0600) and sets *created. Returns the descriptor, or
 * -errno with *err set. */
int nvram_open(const char *path, const uint8_t *tmpl, size_t tmpl_len, bool *created,
	       struct error *);

#endif
