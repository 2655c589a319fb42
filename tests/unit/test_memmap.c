/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/memmap.h"

#define TiB (1024 * GiB)

static struct memmap l;
static struct error err;

static int window(uint64_t ram, bool amd, struct memmap_want w)
{
	err = (struct error){ 0 };
	memmap_ram(&l, ram, amd);
	return memmap_window(&l, &w, &err);
}

/* Conditions that must hold for every window. */
static void sound(uint64_t ram, uint64_t mem64)
{
	uint64_t end = l.high_ram ? l.high_base + l.high_ram : 4 * GiB;

	assert_int_equal(l.low_ram + l.high_ram, ram);
	assert_true(l.mmio64_size >= mem64);
	assert_true(end <= l.mmio64_base);
	assert_true(l.mmio64_base + l.mmio64_size <= 1ull << l.bits);
	assert_int_equal(l.mmio64_size & (l.mmio64_size - 1), 0);
	assert_int_equal(l.mmio64_base % l.mmio64_size, 0);
}

static void test_plain(void **state)
{
	(void)state;
	assert_int_equal(window(GiB, false, (struct memmap_want){ .host_bits = 48 }), 0);
	assert_int_equal(l.low_ram, GiB);
	assert_int_equal(l.high_ram, 0);
	assert_int_equal(l.bits, 42);
	assert_int_equal(l.mmio64_base, 0x38000000000);
	assert_int_equal(l.mmio64_size, 512 * GiB);
	assert_false(l.mmio64_told);
	assert_int_equal(window(8 * GiB, true, (struct memmap_want){ .host_bits = 39 }), 0);
	assert_int_equal(l.low_ram, 2 * GiB);
	assert_int_equal(l.high_base, 4 * GiB);
	assert_int_equal(l.high_ram, 6 * GiB);
	assert_int_equal(l.bits, 39);
	assert_int_equal(l.mmio64_base, 448 * GiB);
	assert_int_equal(window(GiB, false, (struct memmap_want){ 0 }), 0);
	assert_int_equal(l.bits, 42);
}

/* Cards with 256 GiB of BARs each. */
static void test_cards(void **state)
{
	static const struct {
		unsigned cards, bits;
		uint64_t size;
	} want[] = {
		{ 1, 42, 512 * GiB }, { 4, 42, 2 * TiB }, { 8, 43, 4 * TiB }, { 16, 44, 8 * TiB }
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		struct memmap_want w = { .mem64 = want[i].cards * 256 * GiB,
					 .host_bits = 52,
					 .iommu_bits = 48 };

		assert_int_equal(window(TiB, false, w), 0);
		assert_int_equal(l.bits, want[i].bits);
		assert_true(l.mmio64_size == want[i].size);
		assert_int_equal(l.mmio64_told, want[i].cards > 1);
		sound(TiB, w.mem64);
		assert_int_equal(window(2 * TiB, true, w), 0);
		assert_true(l.high_base == TiB);
		sound(2 * TiB, w.mem64);
	}
	/* With another 64 MiB, the sum is larger than a power of two. */
	assert_int_equal(
		window(GiB, false,
		       (struct memmap_want){ .mem64 = 2 * TiB + 64 * MiB, .host_bits = 48 }),
		0);
	assert_true(l.mmio64_size == 8 * TiB);
	sound(GiB, 2 * TiB);
}

/* For every host, the result must be correct or an error. */
static void test_all(void **state)
{
	(void)state;
	for (unsigned bits = 32; bits <= 52; bits++)
		for (unsigned iommu = 36; iommu <= 57; iommu += 3)
			for (uint64_t ram = 16 * MiB; ram <= 16 * TiB;
			     ram = ram * 5 / 2 / MiB * MiB)
				for (uint64_t mem64 = 0; mem64 <= 4 * TiB;
				     mem64 = mem64 * 3 + 16 * KiB) {
					struct memmap_want w = { .mem64 = mem64,
								 .host_bits = bits,
								 .iommu_bits = iommu };
					int ret = window(ram, true, w);

					assert_true(l.bits <= bits && l.bits <= iommu);
					if (ret == 0 && l.mmio64_size)
						sound(ram, mem64);
					else if (ret == 0)
						assert_true(mem64 <= 512 * MiB);
					else
						assert_int_equal(ret, -ERANGE);
				}
}

/* High memory must not use the addresses that an AMD IOMMU does not translate. */
static void test_hypertransport(void **state)
{
	uint64_t most = MEMMAP_HT_BASE - 4 * GiB + 2 * GiB; /* 1010 GiB */

	(void)state;
	memmap_ram(&l, most, true);
	assert_true(l.high_base == 4 * GiB && l.high_base + l.high_ram == MEMMAP_HT_BASE);
	memmap_ram(&l, most + MiB, true);
	assert_true(l.high_base == TiB && l.high_ram == most + MiB - 2 * GiB);
	memmap_ram(&l, most + MiB, false);
	assert_true(l.high_base == 4 * GiB);
	assert_int_equal(window(2 * TiB, true, (struct memmap_want){ .host_bits = 48 }), 0);
	assert_int_equal(l.bits, 42);
	sound(2 * TiB, 0);
}

static void test_asked(void **state)
{
	(void)state;
	assert_int_equal(
		window(GiB, false, (struct memmap_want){ .host_bits = 48, .asked_bits = 46 }), 0);
	assert_int_equal(l.bits, 46);
	assert_int_equal(
		window(GiB, false, (struct memmap_want){ .host_bits = 52, .asked_bits = 50 }), 0);
	assert_int_equal(l.bits, 50);
	assert_true(l.mmio64_base == 56 * TiB); /* OVMF uses no addresses above 46 bits */
	assert_int_equal(
		window(GiB, false, (struct memmap_want){ .host_bits = 40, .asked_bits = 46 }), 0);
	assert_int_equal(l.bits, 40);
	assert_int_equal(
		window(GiB, false, (struct memmap_want){ .host_bits = 48, .asked_bits = 32 }), 0);
	assert_int_equal(l.mmio64_size, 0);
}

static void test_refused(void **state)
{
	(void)state;
	assert_int_equal(window(2 * TiB, false, (struct memmap_want){ .host_bits = 40 }), -ERANGE);
	assert_non_null(strstr(err.text, "40 address bits that this host's processor has"));
	assert_int_equal(
		window(GiB, false,
		       (struct memmap_want){ .mem64 = TiB, .host_bits = 46, .iommu_bits = 39 }),
		-ERANGE);
	assert_non_null(strstr(err.text, "1024 GiB of BARs"));
	assert_non_null(strstr(err.text, "39 address bits that this host's IOMMU has"));
	assert_int_equal(
		window(GiB, false,
		       (struct memmap_want){ .mem64 = 8 * TiB, .host_bits = 48, .asked_bits = 42 }),
		-ERANGE);
	assert_non_null(strstr(err.text, "--cpu phys_bits= allows"));
	/* There is no space for twice the size, but for an eighth more than needed. */
	assert_int_equal(
		window(GiB, false, (struct memmap_want){ .mem64 = 200 * GiB, .host_bits = 39 }), 0);
	assert_int_equal(window(GiB, false,
				(struct memmap_want){ .mem64 = 100 * GiB, .slots64 = 100 * GiB, .host_bits = 39 }),
			 0);
	assert_true(l.mmio64_size >= 200 * GiB);
	sound(GiB, 200 * GiB);
	assert_int_equal(
		window(GiB, false, (struct memmap_want){ .mem64 = 256 * GiB, .host_bits = 39 }),
		-ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_cards),
		cmocka_unit_test(test_all),   cmocka_unit_test(test_hypertransport),
		cmocka_unit_test(test_asked), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
