/* SPDX-License-Identifier: BSD-2-Clause */
#include "firmware/bytes.h"

#include <endian.h>
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
	if (b->overflow || b->len == b->cap)
		b->overflow = true;
	else
		b->buf[b->len++] = v;
}

void bytes_u16(struct bytes *b, uint16_t v)
{
	v = htole16(v);
	bytes_put(b, &v, sizeof(v));
}

void bytes_u32(struct bytes *b, uint32_t v)
{
	v = htole32(v);
	bytes_put(b, &v, sizeof(v));
}

void bytes_u64(struct bytes *b, uint64_t v)
{
	v = htole64(v);
	bytes_put(b, &v, sizeof(v));
}
