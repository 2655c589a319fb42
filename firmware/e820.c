/* SPDX-License-Identifier: BSD-2-Clause */
#include "firmware/e820.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "devices/chipset/fw_cfg.h"

/* The pages of the identity map and the TSS that KVM needs on Intel. They must agree with
 * vmm/kvm/kvm.h, which this room may not include. */
#define KVM_PAGES      0xfeffc000u
#define KVM_PAGES_SIZE 0x4000u

static struct e820_entry entry(uint64_t base, uint64_t size, enum e820_type type)
{
	return (struct e820_entry){ htole64(base), htole64(size), htole32(type) };
}

/* Inserts an entry before the first one that starts above it. */
static int insert(struct e820_map *m, uint64_t base, uint64_t size, enum e820_type type)
{
	unsigned i = m->n;

	if (size == 0)
		return 0;
	if (m->n == E820_MAX)
		return -ENOSPC;
	while (i > 0 && le64toh(m->e[i - 1].base) > base)
		i--;
	memmove(&m->e[i + 1], &m->e[i], (m->n - i) * sizeof(m->e[0]));
	m->e[i] = entry(base, size, type);
	m->n++;
	return 0;
}

int e820_add(struct e820_map *m, uint64_t base, uint64_t size, enum e820_type type)
{
	return range_ok(base, size, UINT64_MAX) ? insert(m, base, size, type) : -EINVAL;
}

int e820_carve(struct e820_map *m, uint64_t base, uint64_t size, enum e820_type type)
{
	struct e820_map out;
	uint64_t end;
	int ret = 0;

	if (__builtin_add_overflow(base, size, &end))
		return -EINVAL;
	out.n = 0;
	for (unsigned i = 0; i < m->n && !ret; i++) {
		uint64_t b = le64toh(m->e[i].base), e = b + le64toh(m->e[i].size);
		enum e820_type t = le32toh(m->e[i].type);

		if (!range_overlaps(b, e - b, base, size)) {
			ret = insert(&out, b, e - b, t);
			continue;
		}
		if (b < base)
			ret = insert(&out, b, base - b, t);
		if (!ret && e > end)
			ret = insert(&out, end, e - end, t);
	}
	if (!ret)
		ret = insert(&out, base, size, type);
	if (ret)
		return ret;
	m->n = out.n;
	memcpy(m->e, out.e, out.n * sizeof(out.e[0]));
	return 0;
}

int e820_firmware(struct e820_map *m, const struct platform *p)
{
	const struct memmap *ram = &p->map;
	int ret;

	m->n = 0;
	ret = e820_add(m, 0, ram->low_ram, E820_RAM);
	if (!ret)
		ret = e820_add(m, KVM_PAGES, KVM_PAGES_SIZE, E820_RESERVED);
	/* High RAM begins behind HyperTransport's addresses, which the guest must not use. */
	if (!ret && ram->high_ram && ram->high_base == MEMMAP_HT_END)
		ret = e820_add(m, MEMMAP_HT_BASE, MEMMAP_HT_END - MEMMAP_HT_BASE, E820_RESERVED);
	return ret ? ret : e820_add(m, ram->high_base, ram->high_ram, E820_RAM);
}

int e820_linux(struct e820_map *m, const struct platform *p, uint64_t acpi, uint64_t acpi_size)
{
	int ret = e820_firmware(m, p);

	if (!ret)
		ret = e820_carve(m, 0x9fc00, 0xa0000 - 0x9fc00, E820_RESERVED);
	if (!ret)
		ret = e820_carve(m, 0xa0000, 0xf0000 - 0xa0000, E820_RESERVED);
	if (!ret)
		ret = e820_carve(m, 0xf0000, 0x100000 - 0xf0000, E820_RESERVED);
	if (!ret && acpi_size)
		ret = e820_carve(m, acpi, acpi_size, E820_ACPI);
	/* Linux uses MCFG early only if the memory map reserves ECAM; otherwise only after it has
	 * read the DSDT. */
	if (!ret && p->ecam_size)
		ret = e820_carve(m, p->ecam_base, p->ecam_size, E820_RESERVED);
	return ret;
}

int e820_fw_cfg_add(struct fw_cfg *fw, const struct e820_map *m)
{
	return fw_cfg_add_file(fw, "etc/e820", m->e, m->n * sizeof(m->e[0]));
}
