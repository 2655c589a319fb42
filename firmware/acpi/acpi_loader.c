/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table-loader script: a list of commands of 128 bytes, which the loader of the tables executes
 * in order. The loader is OVMF (QemuFwCfgAcpi.c), or loader_run() for direct boot.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "firmware/acpi/acpi_parts.h"

#define CMD_ALLOCATE 1u
#define CMD_POINTER  2u
#define CMD_CHECKSUM 3u
#define FILE_LEN     56

struct loader_entry {
	uint32_t cmd;
	union {
		struct {
			char file[FILE_LEN];
			uint32_t align;
			uint8_t zone; /* 1 high memory, 2 the F segment */
		} alloc;
		struct {
			char in[FILE_LEN];
			char to[FILE_LEN];
			uint32_t off;
			uint8_t size;
		} pointer;
		struct {
			char file[FILE_LEN];
			uint32_t result, start, len;
		} sum;
		uint8_t pad[124];
	};
};
static_assert(sizeof(struct loader_entry) == 128, "ovmf-contract 4, table-loader");
static_assert(offsetof(struct loader_entry, alloc.zone) == 64, "allocate");
static_assert(offsetof(struct loader_entry, pointer.off) == 116, "add pointer");
static_assert(offsetof(struct loader_entry, pointer.size) == 120, "add pointer");
static_assert(offsetof(struct loader_entry, sum.len) == 68, "add checksum");

static bool append(struct acpi_blobs *b, const struct loader_entry *e)
{
	if (sizeof(*e) > sizeof(b->loader) - b->loader_len)
		return false;
	memcpy(b->loader + b->loader_len, e, sizeof(*e));
	b->loader_len += sizeof(*e);
	return true;
}

bool loader_allocate(struct acpi_blobs *b, const char *file, uint32_t align, bool fseg)
{
	struct loader_entry e = { .cmd = htole32(CMD_ALLOCATE) };

	strncpy(e.alloc.file, file, FILE_LEN - 1);
	e.alloc.align = htole32(align);
	e.alloc.zone = fseg ? 2 : 1;
	return append(b, &e);
}

bool loader_pointer(struct acpi_blobs *b, const char *in, const char *to, uint32_t off,
		    uint8_t size)
{
	struct loader_entry e = { .cmd = htole32(CMD_POINTER) };

	strncpy(e.pointer.in, in, FILE_LEN - 1);
	strncpy(e.pointer.to, to, FILE_LEN - 1);
	e.pointer.off = htole32(off);
	e.pointer.size = size;
	return append(b, &e);
}

bool loader_checksum(struct acpi_blobs *b, const char *file, uint32_t result, uint32_t start,
		     uint32_t len)
{
	struct loader_entry e = { .cmd = htole32(CMD_CHECKSUM) };

	strncpy(e.sum.file, file, FILE_LEN - 1);
	e.sum.result = htole32(result);
	e.sum.start = htole32(start);
	e.sum.len = htole32(len);
	return append(b, &e);
}

struct blob {
	uint8_t *data;
	size_t len;
	uint64_t gpa;
};

static bool find_blob(struct acpi_blobs *b, const char *file, uint64_t tables, uint64_t rsdp,
		      struct blob *out)
{
	if (!strncmp(file, ACPI_FILE_TABLES, FILE_LEN))
		*out = (struct blob){ b->tables, sizeof(b->tables), tables };
	else if (!strncmp(file, ACPI_FILE_RSDP, FILE_LEN))
		*out = (struct blob){ b->rsdp, sizeof(b->rsdp), rsdp };
	else
		return false;
	return true;
}

/* The pointer already holds an offset into the other file; adds the address of that file. */
static int run_pointer(const struct loader_entry *e, const struct blob *in, uint64_t base)
{
	uint32_t off = le32toh(e->pointer.off);
	uint64_t v = 0;

	if (e->pointer.size > 8 || !range_ok(off, e->pointer.size, in->len))
		return -EINVAL;
	memcpy(&v, in->data + off, e->pointer.size);
	v = htole64(le64toh(v) + base);
	memcpy(in->data + off, &v, e->pointer.size);
	return 0;
}

static int run_checksum(const struct loader_entry *e, const struct blob *in)
{
	uint32_t start = le32toh(e->sum.start), len = le32toh(e->sum.len);
	uint32_t result = le32toh(e->sum.result);
	uint8_t sum = 0;

	if (!range_ok(start, len, in->len) || !range_ok(result, 1, in->len))
		return -EINVAL;
	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + in->data[start + i]);
	in->data[result] = (uint8_t)(in->data[result] - sum);
	return 0;
}

int loader_run(struct acpi_blobs *b, uint64_t tables, uint64_t rsdp)
{
	for (size_t at = 0; at < b->loader_len; at += sizeof(struct loader_entry)) {
		struct loader_entry e;
		struct blob in, to;
		int ret = 0;

		memcpy(&e, b->loader + at, sizeof(e));
		/* In all three commands the first name is that of the file to change. */
		if (!find_blob(b, e.alloc.file, tables, rsdp, &in))
			return -EINVAL;
		if (le32toh(e.cmd) == CMD_POINTER)
			ret = find_blob(b, e.pointer.to, tables, rsdp, &to)
				      ? run_pointer(&e, &in, to.gpa)
				      : -EINVAL;
		else if (le32toh(e.cmd) == CMD_CHECKSUM)
			ret = run_checksum(&e, &in);
		if (ret)
			return ret;
	}
	return 0;
}
