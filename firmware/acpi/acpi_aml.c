/* SPDX-License-Identifier: BSD-2-Clause */
#include "firmware/acpi/acpi_aml.h"

#include <string.h>

#define OP_NAME	   0x08
#define OP_BYTE	   0x0a
#define OP_WORD	   0x0b
#define OP_DWORD   0x0c
#define OP_STRING  0x0d
#define OP_QWORD   0x0e
#define OP_SCOPE   0x10
#define OP_BUFFER  0x11
#define OP_PACKAGE 0x12
#define OP_METHOD  0x14
#define OP_DUAL	   0x2e
#define OP_MULTI   0x2f
#define OP_EXT	   0x5b
#define OP_DEVICE  0x82 /* after OP_EXT */

/* Writes one segment, padded with underscores. Returns the rest of the string. */
static const char *name_segment(struct bytes *a, const char *s)
{
	unsigned n = 0;

	for (; n < 4 && *s && *s != '.'; n++)
		bytes_u8(a, (uint8_t)*s++);
	for (; n < 4; n++)
		bytes_u8(a, '_');
	return *s == '.' ? s + 1 : s;
}

void aml_path(struct bytes *a, const char *path)
{
	unsigned segments = 1;

	if (*path == '\\')
		bytes_u8(a, (uint8_t)*path++);
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (segments == 2) {
		bytes_u8(a, OP_DUAL);
	} else if (segments > 2) {
		bytes_u8(a, OP_MULTI);
		bytes_u8(a, (uint8_t)segments);
	}
	while (segments--)
		path = name_segment(a, path);
}

void aml_int(struct bytes *a, uint64_t v)
{
	if (v <= 1) {
		bytes_u8(a, (uint8_t)v); /* ZeroOp, OneOp */
	} else if (v <= UINT8_MAX) {
		bytes_u8(a, OP_BYTE);
		bytes_u8(a, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		bytes_u8(a, OP_WORD);
		bytes_u16(a, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		bytes_u8(a, OP_DWORD);
		bytes_u32(a, (uint32_t)v);
	} else {
		bytes_u8(a, OP_QWORD);
		bytes_u64(a, v);
	}
}

void aml_string(struct bytes *a, const char *s)
{
	bytes_u8(a, OP_STRING);
	bytes_put(a, s, strlen(s) + 1);
}

static unsigned hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

void aml_eisaid(struct bytes *a, const char id[8])
{
	/* Three letters of five bits each and four hex digits; big-endian (ACPI 6.5, 19.3.4). */
	uint32_t v = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
		     (uint32_t)(id[2] - '@') << 16 | hex(id[3]) << 12 | hex(id[4]) << 8 |
		     hex(id[5]) << 4 | hex(id[6]);

	bytes_u8(a, OP_DWORD);
	bytes_u32(a, __builtin_bswap32(v));
}

size_t aml_open(struct bytes *a)
{
	return a->len;
}

/* PkgLength includes its own bytes (ACPI 6.5, 20.2.4). It has one byte for lengths up to 63.
 * Otherwise its first byte has the number of further bytes and the low four bits of the length. */
void aml_close(struct bytes *a, size_t mark)
{
	size_t body = a->len - mark, total;
	unsigned n = body + 1 < 0x40 ? 1 : body + 2 < 0x1000 ? 2 : body + 3 < 0x100000 ? 3 : 4;
	uint8_t enc[4];

	if (a->overflow || n > a->cap - a->len) {
		a->overflow = true;
		return;
	}
	total = body + n;
	enc[0] = n == 1 ? (uint8_t)total : (uint8_t)((n - 1) << 6 | (total & 0xf));
	for (unsigned i = 1; i < n; i++)
		enc[i] = (uint8_t)(total >> (8 * i - 4));
	memmove(a->buf + mark + n, a->buf + mark, body);
	memcpy(a->buf + mark, enc, n);
	a->len += n;
}

size_t aml_scope(struct bytes *a, const char *path)
{
	size_t mark;

	bytes_u8(a, OP_SCOPE);
	mark = aml_open(a);
	aml_path(a, path);
	return mark;
}

size_t aml_device(struct bytes *a, const char *name)
{
	size_t mark;

	bytes_u8(a, OP_EXT);
	bytes_u8(a, OP_DEVICE);
	mark = aml_open(a);
	aml_path(a, name);
	return mark;
}

size_t aml_method(struct bytes *a, const char *name, unsigned args, bool serialized)
{
	size_t mark;

	bytes_u8(a, OP_METHOD);
	mark = aml_open(a);
	aml_path(a, name);
	bytes_u8(a, (uint8_t)(args | (serialized ? 8 : 0)));
	return mark;
}

size_t aml_package(struct bytes *a, unsigned elements)
{
	size_t mark;

	bytes_u8(a, OP_PACKAGE);
	mark = aml_open(a);
	bytes_u8(a, (uint8_t)elements);
	return mark;
}

void aml_name(struct bytes *a, const char *name)
{
	bytes_u8(a, OP_NAME);
	aml_path(a, name);
}

size_t aml_name_package(struct bytes *a, const char *name, unsigned elements)
{
	aml_name(a, name);
	return aml_package(a, elements);
}

void aml_name_int(struct bytes *a, const char *name, uint64_t v)
{
	aml_name(a, name);
	aml_int(a, v);
}

void aml_name_eisaid(struct bytes *a, const char *name, const char id[8])
{
	aml_name(a, name);
	aml_eisaid(a, id);
}

void aml_name_string(struct bytes *a, const char *name, const char *s)
{
	aml_name(a, name);
	aml_string(a, s);
}

struct aml_resources aml_resources_open(struct bytes *a, const char *name)
{
	struct aml_resources r;

	aml_name(a, name);
	bytes_u8(a, OP_BUFFER);
	r.mark = aml_open(a);
	bytes_u8(a, OP_WORD);
	r.size_at = a->len;
	bytes_u16(a, 0);
	r.data = a->len;
	return r;
}

void aml_resources_close(struct bytes *a, struct aml_resources r)
{
	size_t n;

	bytes_u8(a, 0x79); /* end tag; checksum 0 means that there is no checksum */
	bytes_u8(a, 0);
	if (a->overflow)
		return;
	n = a->len - r.data;
	a->buf[r.size_at] = (uint8_t)n;
	a->buf[r.size_at + 1] = (uint8_t)(n >> 8);
	aml_close(a, r.mark);
}

void aml_res_io(struct bytes *a, uint16_t base, uint8_t len)
{
	bytes_u8(a, 0x47);
	bytes_u8(a, 1); /* 16-bit decode */
	bytes_u16(a, base);
	bytes_u16(a, base);
	bytes_u8(a, 1);
	bytes_u8(a, len);
}

void aml_res_irq(struct bytes *a, unsigned irq)
{
	bytes_u8(a, 0x22); /* without the flags byte: edge, high, exclusive */
	bytes_u16(a, (uint16_t)(1u << irq));
}

void aml_res_mem32_fixed(struct bytes *a, uint32_t base, uint32_t len)
{
	bytes_u8(a, 0x86);
	bytes_u16(a, 9);
	bytes_u8(a, 1); /* read-write */
	bytes_u32(a, base);
	bytes_u32(a, len);
}

#define RES_MEM	     0
#define RES_IO	     1
#define RES_BUS	     2
#define RES_PRODUCER 0x0c /* min and max fixed, positive decode, producer */

static void address_space_head(struct bytes *a, uint8_t tag, uint16_t len, uint8_t type,
			       uint8_t type_flags)
{
	bytes_u8(a, tag);
	bytes_u16(a, len);
	bytes_u8(a, type);
	bytes_u8(a, RES_PRODUCER);
	bytes_u8(a, type_flags);
}

static void word_space(struct bytes *a, uint8_t type, uint8_t type_flags, uint16_t min,
		       uint16_t max)
{
	address_space_head(a, 0x88, 13, type, type_flags);
	bytes_u16(a, 0);
	bytes_u16(a, min);
	bytes_u16(a, max);
	bytes_u16(a, 0);
	bytes_u16(a, (uint16_t)(max - min + 1));
}

void aml_res_bus(struct bytes *a, uint16_t min, uint16_t max)
{
	word_space(a, RES_BUS, 0, min, max);
}

void aml_res_word_io(struct bytes *a, uint16_t min, uint16_t max)
{
	word_space(a, RES_IO, 3 /* ISA and non-ISA ranges */, min, max);
}

void aml_res_dword_mem(struct bytes *a, uint32_t min, uint32_t max, bool cacheable)
{
	address_space_head(a, 0x87, 23, RES_MEM, cacheable ? 3 : 1);
	bytes_u32(a, 0);
	bytes_u32(a, min);
	bytes_u32(a, max);
	bytes_u32(a, 0);
	bytes_u32(a, max - min + 1);
}

void aml_res_qword_mem(struct bytes *a, uint64_t min, uint64_t max)
{
	address_space_head(a, 0x8a, 43, RES_MEM, 3);
	bytes_u64(a, 0);
	bytes_u64(a, min);
	bytes_u64(a, max);
	bytes_u64(a, 0);
	bytes_u64(a, max - min + 1);
}
