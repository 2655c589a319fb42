/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables are written byte by byte into a buffer of fixed size. What does not fit sets `overflow`
 * and is dropped, so callers check once at the end. Numbers are little-endian.
 */
#ifndef FIRMWARE_BYTES_H
#define FIRMWARE_BYTES_H

#include "vmm/core/addr.h"

struct bytes {
	uint8_t *buf; /* the caller's, cap bytes */
	size_t len, cap;
	bool overflow;
};

void bytes_put(struct bytes *, const void *, size_t);
void bytes_u8(struct bytes *, uint8_t);
void bytes_u16(struct bytes *, uint16_t);
void bytes_u32(struct bytes *, uint32_t);
void bytes_u64(struct bytes *, uint64_t);

#endif
