/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A structure is a packed part, followed by its strings. The strings are numbered from 1 in their
 * order, and an empty string ends them (DSP0134 6.1.3). Handles are 0x<type>00 + index.
 */
#include "firmware/smbios.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/bytes.h"
#include "devices/chipset/fw_cfg.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/mem.h"

#define HANDLE(type, i) ((uint16_t)((unsigned)(type) << 8 | (unsigned)(i)))

struct head {
	uint8_t type, length;
	uint16_t handle;
} __attribute__((packed));

struct bios { /* 7.1 */
	struct head h;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t features;
	uint8_t ext[2], major, minor, ec_major, ec_minor;
} __attribute__((packed));
struct system { /* 7.2 */
	struct head h;
	uint8_t vendor, product, version, serial, uuid[16], wakeup, sku, family;
} __attribute__((packed));
struct chassis { /* 7.4 */
	struct head h;
	uint8_t vendor, type, version, serial, asset, states[4];
	uint32_t oem;
	uint8_t height, cords, elements, element_len, sku;
} __attribute__((packed));
struct processor { /* 7.5 */
	struct head h;
	uint8_t socket, type, family, vendor;
	uint64_t id;
	uint8_t version, voltage;
	uint16_t clock, max_speed, speed;
	uint8_t status, upgrade;
	uint16_t l1, l2, l3;
	uint8_t serial, asset, part, cores, enabled, threads;
	uint16_t characteristics, family2, cores2, enabled2, threads2;
} __attribute__((packed));
struct mem_array { /* 7.17 */
	struct head h;
	uint8_t location, use, ecc;
	uint32_t capacity_kib;
	uint16_t error, devices;
	uint64_t ext_capacity;
} __attribute__((packed));
struct mem_device { /* 7.18 */
	struct head h;
	uint16_t array, error, total_width, data_width, size_mib;
	uint8_t form, set, locator, bank, type;
	uint16_t detail, speed;
	uint8_t vendor, serial, asset, part, attributes;
	uint32_t ext_size_mib;
	uint16_t clock, min_mv, max_mv, mv;
} __attribute__((packed));
struct mem_mapped { /* 7.20 */
	struct head h;
	uint32_t first_kib, last_kib;
	uint16_t array;
	uint8_t partition;
	uint64_t ext_first, ext_last;
} __attribute__((packed));
struct boot_info { /* 7.33 */
	struct head h;
	uint8_t reserved[6], status;
} __attribute__((packed));
struct anchor { /* 5.2.2 */
	char signature[5];
	uint8_t checksum, length, major, minor, docrev, revision, reserved;
	uint32_t max_size;
	uint64_t address;
} __attribute__((packed));
static_assert(sizeof(struct bios) == 0x18 && sizeof(struct system) == 0x1b &&
		      sizeof(struct chassis) == 0x16 && sizeof(struct processor) == 0x30 &&
		      sizeof(struct mem_array) == 0x17 && sizeof(struct mem_device) == 0x28 &&
		      sizeof(struct mem_mapped) == 0x1f && sizeof(struct boot_info) == 0x0b &&
		      sizeof(struct anchor) == SMBIOS_ANCHOR_SIZE,
	      "DSP0134 3.4");

/* Appends a structure of len bytes with its strings; NULL ends the list of strings. */
static void emit(struct bytes *a, void *s, size_t len, uint8_t type, unsigned i,
		 const char *const *strings)
{
	struct head *h = s;

	h->type = type;
	h->length = (uint8_t)len;
	h->handle = htole16(HANDLE(type, i));
	bytes_put(a, s, len);
	if (!strings || !*strings)
		bytes_u8(a, 0);
	for (; strings && *strings; strings++)
		bytes_put(a, *strings, strlen(*strings) + 1);
	bytes_u8(a, 0);
}

#define EMIT(a, s, type, i, ...) \
	emit(a, &(s), sizeof(s), type, i, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void emit_machine(struct bytes *a, const struct platform *p)
{
	struct bios b = { .vendor = 1,
			  .version = 2,
			  .segment = htole16(0xe800),
			  .date = 3,
			  .features = htole64(1u << 3 /* characteristics are not given */),
			  .ext = { 0, 0x14 /* virtual machine, targeted content */ },
			  .ec_major = 0xff,
			  .ec_minor = 0xff };
	struct system s = { .vendor = 1, .product = 2, .version = 3, .serial = 4, .wakeup = 6 };
	struct chassis ch = { .vendor = 1, .type = 1, .states = { 3, 3, 3, 2 } };
	const char *name = p->name && *p->name ? p->name : "minivmm";

	if (p->uefi)
		b.ext[1] |= 8;
	/* The first three fields of the UUID are little-endian here (7.2.1). */
	for (unsigned i = 0; i < sizeof(s.uuid); i++) {
		static const uint8_t from[8] = { 3, 2, 1, 0, 5, 4, 7, 6 };

		s.uuid[i] = p->uuid[i < 8 ? from[i] : i];
	}
	EMIT(a, b, 0, 0, "minivmm", p->version, "01/01/2025");
	EMIT(a, s, 1, 0, "minivmm", "Virtual Machine", p->version, name);
	EMIT(a, ch, 3, 0, "minivmm");
}

static uint8_t count8(unsigned n)
{
	return n < 255 ? (uint8_t)n : 255;
}

static void emit_processors(struct bytes *a, const struct platform *p)
{
	unsigned threads = p->cores * p->threads;

	for (unsigned i = 0; i < p->sockets && i < 256; i++) {
		struct processor cpu = { .socket = 1,
					 .type = 3,
					 .family = 0xfe,
					 .vendor = 2,
					 .status = 0x41, /* populated, enabled */
					 .upgrade = 1,
					 .l1 = 0xffff,
					 .l2 = 0xffff,
					 .l3 = 0xffff,
					 .cores = count8(p->cores),
					 .enabled = count8(p->cores),
					 .threads = count8(threads),
					 .characteristics = htole16(4), /* 64-bit */
					 .family2 = htole16(1),
					 .cores2 = htole16((uint16_t)p->cores),
					 .enabled2 = htole16((uint16_t)p->cores),
					 .threads2 = htole16((uint16_t)threads) };
		char socket[16];

		snprintf(socket, sizeof(socket), "CPU %u", i);
		EMIT(a, cpu, 4, i, socket, "minivmm");
	}
}

/* One memory range (7.20). Addresses beyond 4 TiB fit only in the extended fields. */
static void emit_range(struct bytes *a, unsigned i, uint64_t base, uint64_t size)
{
	struct mem_mapped m = { .array = htole16(HANDLE(16, 0)), .partition = 1 };
	uint64_t last;

	if (!size)
		return;
	last = base + (size - 1);
	if (last / KiB < UINT32_MAX) {
		m.first_kib = htole32((uint32_t)(base / KiB));
		m.last_kib = htole32((uint32_t)(last / KiB));
	} else {
		m.first_kib = m.last_kib = UINT32_MAX;
		m.ext_first = htole64(base);
		m.ext_last = htole64(last);
	}
	EMIT(a, m, 19, i);
}

static void emit_memory(struct bytes *a, const struct platform *p)
{
	uint64_t total = p->map.low_ram + p->map.high_ram,
		 mib = total / MiB; /* RAM sizes are far below 2^64, so the sum cannot wrap */
	struct mem_array arr = { .location = 1,
				 .use = 3,
				 .ecc = 2, /* unknown */
				 .capacity_kib = htole32(0x80000000),
				 .error = htole16(0xfffe),
				 .devices = htole16(1),
				 .ext_capacity = htole64(total) };
	struct mem_device d = { .array = htole16(HANDLE(16, 0)),
				.error = htole16(0xfffe),
				.total_width = 0xffff,
				.data_width = 0xffff,
				.size_mib = htole16(mib < 0x7fff ? (uint16_t)mib : 0x7fff),
				.form = 9,
				.locator = 1,
				.type = 7,
				.detail = htole16(2),
				.vendor = 2,
				.ext_size_mib = htole32(mib < 0x7fff ? 0 : (uint32_t)mib) };

	if (total / KiB < 0x80000000) {
		arr.capacity_kib = htole32((uint32_t)(total / KiB));
		arr.ext_capacity = 0;
	}
	EMIT(a, arr, 16, 0);
	EMIT(a, d, 17, 0, "DIMM 0", "minivmm");
	emit_range(a, 0, 0, p->map.low_ram);
	emit_range(a, 1, p->map.high_base, p->map.high_ram);
}

static void make_anchor(uint8_t out[SMBIOS_ANCHOR_SIZE], size_t len, uint64_t address)
{
	struct anchor an = { .length = sizeof(an),
			     .major = 3,
			     .minor = 4,
			     .revision = 1,
			     .max_size = htole32((uint32_t)len),
			     .address = htole64(address) };
	const uint8_t *p = (const uint8_t *)&an;
	uint8_t sum = 0;

	memcpy(an.signature, "_SM3_", 5);
	for (unsigned i = 0; i < sizeof(an); i++)
		sum = (uint8_t)(sum + p[i]);
	an.checksum = (uint8_t)-sum;
	memcpy(out, &an, sizeof(an));
}

int smbios_build(struct smbios_blobs *b, const struct platform *p)
{
	struct bytes a = { .buf = b->tables, .cap = sizeof(b->tables) };
	struct boot_info boot = { .status = 0 };
	struct head end = { 0 };

	emit_machine(&a, p);
	emit_processors(&a, p);
	emit_memory(&a, p);
	EMIT(&a, boot, 32, 0);
	EMIT(&a, end, 127, 0);
	b->len = a.len;
	make_anchor(b->anchor, a.len, 0);
	return a.overflow ? -ENOSPC : 0;
}

int smbios_fw_cfg_add(struct fw_cfg *fw, const struct platform *p)
{
	scoped_free struct smbios_blobs *b = malloc(sizeof(*b));
	int ret = b ? smbios_build(b, p) : -ENOMEM;

	if (!ret)
		ret = fw_cfg_add_file(fw, "etc/smbios/smbios-tables", b->tables, b->len);
	return ret ? ret
		   : fw_cfg_add_file(fw, "etc/smbios/smbios-anchor", b->anchor, sizeof(b->anchor));
}

int smbios_install(struct guest_mem *mem, const struct platform *p, gpa_t at)
{
	const uint64_t gap = align_up(SMBIOS_ANCHOR_SIZE, 16);
	scoped_free struct smbios_blobs *b = malloc(sizeof(*b));
	int ret = b ? smbios_build(b, p) : -ENOMEM;

	if (!ret && (at.v % 16 || !range_ok(at.v, gap + b->len, 0x100000)))
		ret = -EINVAL;
	if (ret)
		return ret;
	make_anchor(b->anchor, b->len, at.v + gap);
	ret = guest_mem_write(mem, at, b->anchor, sizeof(b->anchor));
	if (!ret)
		ret = guest_mem_write(mem, GPA(at.v + gap), b->tables, b->len);
	return ret ? ret : (int)(gap + b->len);
}
