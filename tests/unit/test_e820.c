/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "firmware/e820.h"

struct want {
	uint64_t base, size;
	uint32_t type;
};

static void expect(const struct e820_map *m, const struct want *w, unsigned n)
{
	assert_int_equal(m->n, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(m->e[i].base, w[i].base);
		assert_int_equal(m->e[i].size, w[i].size);
		assert_int_equal(m->e[i].type, w[i].type);
	}
}

/* A machine with RAM only. */
static struct platform *ram(uint64_t low, uint64_t high_base, uint64_t high)
{
	static struct platform p;

	p = (struct platform){ .map = {
				       .low_ram = low, .high_base = high_base, .high_ram = high } };
	return &p;
}

static void test_firmware(void **state)
{
	static const struct want want[] = { { 0, 2 * GiB, 1 },
					    { 0xfeffc000, 0x4000, 2 },
					    { 4 * GiB, 3 * GiB, 1 } };
	struct e820_map m;

	(void)state;
	assert_int_equal(e820_firmware(&m, ram(2 * GiB, 4 * GiB, 3 * GiB)), 0);
	expect(&m, want, 3);
	assert_int_equal(e820_firmware(&m, ram(2 * GiB, 4 * GiB, 0)), 0);
	expect(&m, want, 2);
}

/* High RAM behind the addresses of HyperTransport, which must be reserved then. */
static void test_hypertransport(void **state)
{
	static const struct want want[] = { { 0, 2 * GiB, 1 },
					    { 0xfeffc000, 0x4000, 2 },
					    { 0xfd00000000, 0x300000000, 2 },
					    { 0x10000000000, 1024 * GiB, 1 } };
	struct e820_map m;

	(void)state;
	assert_int_equal(e820_firmware(&m, ram(2 * GiB, 0x10000000000, 1024 * GiB)), 0);
	expect(&m, want, 4);
}

static void test_linux(void **state)
{
	static const struct want want[] = {
		{ 0, 0x9fc00, 1 },
		{ 0x9fc00, 0x400, 2 },
		{ 0xa0000, 0x50000, 2 },
		{ 0xf0000, 0x10000, 2 },
		{ MiB, 126 * MiB, 1 },
		{ 127 * MiB, 128 * KiB, 3 },
		{ 127 * MiB + 128 * KiB, MiB - 128 * KiB, 1 },
		{ 0xb0000000, 256 * MiB, 2 },
		{ 0xfeffc000, 0x4000, 2 },
	};
	struct platform *p = ram(128 * MiB, 4 * GiB, 0);
	struct e820_map m;

	(void)state;
	p->ecam_base = 0xb0000000;
	p->ecam_size = 256 * MiB;
	assert_int_equal(e820_linux(&m, p, 127 * MiB, 128 * KiB), 0);
	expect(&m, want, 9);
}

static void test_errors(void **state)
{
	struct e820_map m = { .n = 0 };

	(void)state;
	assert_int_equal(e820_add(&m, UINT64_MAX - 1, 4, E820_RAM), -EINVAL);
	assert_int_equal(e820_carve(&m, UINT64_MAX - 1, 4, E820_RAM), -EINVAL);
	for (unsigned i = 0; i < E820_MAX; i++)
		assert_int_equal(e820_add(&m, i * MiB, KiB, E820_RAM), 0);
	assert_int_equal(e820_add(&m, 0, 1, E820_RAM), -ENOSPC);
	assert_int_equal(e820_carve(&m, 1, 1, E820_RESERVED), -ENOSPC);
	assert_int_equal(m.n, E820_MAX); /* as it was */
	assert_int_equal(m.e[0].size, KiB);
	assert_int_equal(e820_add(&m, 0, 0, E820_RAM), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_firmware),
		cmocka_unit_test(test_hypertransport),
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
