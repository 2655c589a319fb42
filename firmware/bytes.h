/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes tables byte by byte into a buffer of fixed size. If something does not fit, `overflow` is
 * set and it is dropped, so callers need to check only once at the end. Numbers are little-endian.
 */
#ifndef FIRMWARE_BYTES_H
#define FIRMWARE_BYTES_H

#include "vmm/core/addr.h"

struct bytes {
	uint8_t *buf; /* cap bytes; the caller owns it */
	size_t len, cap;
	bool overflow;
};

void bytes_put(struct bytes *, const void *, size_t);
void bytes_u8(struct bytes *, uint8_t);
void bytes_u16(struct bytes *, uint16_t);
void bytes_u32(struct bytes *, uint32_t);
void bytes_u64(struct bytes *, uint64_t);

#endif
