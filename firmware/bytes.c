/* SPDX-License-Identifier: BSD-2-Clause */
#include "firmware/bytes.h"

#include <string.h>

void bytes_put(struct bytes *b, const void *p, size_t n)
{
	if (b->overflow || n > b->cap - b->len) {
		b->overflow = true;
		return;
	}
	memcpy(b->buf + b->len, p, n);
	b->len += n;
}

void bytes_u8(struct bytes *b, uint8_t v)
{
	bytes_put(b, &v, 1);
}

void bytes_u16(struct bytes *b, uint16_t v)
{
	bytes_u8(b, (uint8_t)v);
	bytes_u8(b, (uint8_t)(v >> 8));
}

void bytes_u32(struct bytes *b, uint32_t v)
{
	bytes_u16(b, (uint16_t)v);
	bytes_u16(b, (uint16_t)(v >> 16));
}

void bytes_u64(struct bytes *b, uint64_t v)
{
	bytes_u32(b, (uint32_t)v);
	bytes_u32(b, (uint32_t)(v >> 32));
}
