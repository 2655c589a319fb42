/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window for 64-bit BARs is where OVMF puts it by itself: in the top eighth of the processor's
 * address space. If the BARs need more, OVMF is told a size and takes that much from the top. The
 * size is twice that of the BARs, because each bridge window is aligned to its largest BAR. If
 * there is no space for that, it is an eighth more than the BARs need; the rest is for the BARs of
 * emulated devices.
 *
 * The number of bits is small, because the page tables of the firmware cover the whole address
 * space of the processor. The OVMF of Debian 12 maps it with 2 MiB pages; with 46 bits it needs 45
 * s to its shell in the test host, newer versions need 13 s. 42 bits are enough for 3.5 TiB of RAM
 * and 256 GiB of BARs, or for 2 TiB and 1 TiB.
 */
#include "vmm/core/memmap.h"

#include <cpuid.h>
#include <errno.h>

#define BITS_USUAL 42u
#define BITS_MAX   52u
#define BITS_OVMF  46u /* OVMF places the window below this, even if there are more bits */
#define BITS_LEAST 36u /* with fewer bits there is no window */
/* 64-bit BARs up to this size fit into the 32-bit window. */
#define MEM64_SMALL (512 * MiB)

void memmap_ram(struct memmap *l, uint64_t ram, bool amd_iommu)
{
	*l = (struct memmap){ .high_base = MEMMAP_HIGH_BASE };
	l->low_ram = ram < MEMMAP_LOW_RAM_MAX ? ram : MEMMAP_LOW_RAM_MAX;
	l->high_ram = ram - l->low_ram;
	if (amd_iommu && l->high_ram > MEMMAP_HT_BASE - MEMMAP_HIGH_BASE)
		l->high_base = MEMMAP_HT_END;
}

bool memmap_host_is_amd(void)
{
	unsigned a, b, c, d;

	/* "AuthenticAMD", "HygonGenuine" */
	return __get_cpuid(0, &a, &b, &c, &d) && (b == 0x68747541 || b == 0x6f677948);
}

static uint64_t ram_end(const struct memmap *l)
{
	return l->high_ram ? l->high_base + l->high_ram : MEMMAP_HIGH_BASE;
}

static unsigned min_bits(unsigned a, unsigned b)
{
	return b && b < a ? b : a;
}

/* Tries to place the window with this number of bits. */
static bool window_fits(struct memmap *l, uint64_t mem64, unsigned bits)
{
	unsigned of = min_bits(bits, BITS_OVMF);
	uint64_t end = 1ull << of, size = end >> 3;

	while (size < mem64 && size < end)
		size *= 2;
	if (of < BITS_LEAST || size >= end || ram_end(l) > end - size)
		return false;
	l->bits = bits;
	l->mmio64_base = end - size;
	l->mmio64_size = size;
	l->mmio64_told = size > end >> 3;
	return true;
}

/* Tries `bits`, then more bits up to `limit`. */
static bool window_find(struct memmap *l, uint64_t mem64, unsigned bits, unsigned limit)
{
	for (; bits <= limit; bits++)
		if (window_fits(l, mem64, bits))
			return true;
	return false;
}

static const char *whose_bits(const struct memmap_want *w, unsigned bits)
{
	if (w->asked_bits == bits)
		return "--cpu phys_bits= allows";
	return w->iommu_bits == bits ? "this host's IOMMU has" : "this host's processor has";
}

/* There is no window. RAM must fit nevertheless, and the BARs must fit below 4 GiB. */
static int window_none(struct memmap *l, const struct memmap_want *w, uint64_t mem64,
		       struct error *err)
{
	unsigned long long gib = ram_end(l) / GiB, need = (mem64 + GiB - 1) / GiB;

	if (ram_end(l) > 1ull << l->bits)
		return error_set(err, -ERANGE,
				 "--memory: its end, %llu GiB, is beyond the %u address bits that "
				 "%s: give the guest less",
				 gib, l->bits, whose_bits(w, l->bits));
	if (mem64 > MEM64_SMALL)
		return error_set(
			err, -ERANGE,
			"--vfio%s: %llu GiB of BARs do not fit above memory, which ends at "
			"%llu GiB, in the %u address bits that %s: give the guest fewer "
			"devices or less memory, or make the BARs smaller (Resizable BAR) "
			"in the machine's setup",
			w->slots64 ? ", --hotplug" : "", need, gib, l->bits,
			whose_bits(w, l->bits));
	return 0;
}

int memmap_window(struct memmap *l, const struct memmap_want *w, struct error *err)
{
	unsigned limit = min_bits(min_bits(BITS_MAX, w->host_bits), w->iommu_bits);
	unsigned from = min_bits(BITS_USUAL, limit);
	uint64_t mem64 = w->mem64 + w->slots64; /* both are below 2^62 */
	uint64_t twice = mem64 < 1ull << 62 ? mem64 * 2 : mem64;

	if (w->asked_bits)
		from = limit = min_bits(limit, w->asked_bits);
	if (window_find(l, twice, from, limit) || window_find(l, mem64 + mem64 / 8, from, limit))
		return 0;
	l->bits = limit;
	return window_none(l, w, mem64, err);
}
