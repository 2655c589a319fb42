/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "firmware/smbios.h"
#include "vmm/core/mem.h"

static const struct platform config = {
	.name = "web1",
	.version = "1.0",
	.uuid = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
		  0xdd, 0xee, 0xff },
	.sockets = 2,
	.cores = 4,
	.threads = 2,
	.map = { .low_ram = 2 * GiB, .high_base = 1024 * GiB, .high_ram = 6 * 1024 * GiB },
};

/* The next structure, after the strings of this one. */
static const uint8_t *after(const uint8_t *p)
{
	p += p[1];
	while (p[0] || p[1])
		p++;
	return p + 2;
}

static const char *string(const uint8_t *p, unsigned n)
{
	const char *s = (const char *)p + p[1];

	while (--n)
		s += strlen(s) + 1;
	return s;
}

static void test_structures(void **state)
{
	static const uint8_t want[] = { 0, 1, 3, 4, 4, 16, 17, 19, 19, 32, 127 };
	struct smbios_blobs *b = malloc(sizeof(*b));
	const uint8_t *p = b->tables;

	(void)state;
	assert_int_equal(smbios_build(b, &config), 0);
	for (unsigned i = 0; i < sizeof(want); i++, p = after(p)) {
		assert_int_equal(p[0], want[i]);
		if (p[0] == 1) {
			assert_string_equal(string(p, p[7]), "web1");
			assert_memory_equal(p + 8, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99", 10);
		}
		if (p[0] == 0)
			assert_int_equal(p[0x13], 0x14); /* the UEFI bit is not set without UEFI */
		if (p[0] == 4)
			assert_int_equal(p[0x25], 8); /* threads */
		if (p[0] == 19 && p[2] == 1) {
			uint64_t base;

			/* in the extended fields, because 7 TiB does not fit in the short ones */
			memcpy(&base, p + 15, 8);
			assert_true(base == 1024 * GiB);
		}
		if (p[0] == 16)
			/* it is not known whether the host's RAM has ECC */
			assert_int_equal(p[6], 2);
	}
	assert_int_equal(p - b->tables, b->len);
	free(b);
}

static void test_anchor(void **state)
{
	struct smbios_blobs *b = malloc(sizeof(*b));
	uint8_t sum = 0;

	(void)state;
	assert_int_equal(smbios_build(b, &config), 0);
	assert_memory_equal(b->anchor, "_SM3_", 5);
	for (unsigned i = 0; i < SMBIOS_ANCHOR_SIZE; i++)
		sum = (uint8_t)(sum + b->anchor[i]);
	assert_int_equal(sum, 0);
	/* For OVMF the length field must be the size of the file with the tables. */
	assert_int_equal(b->anchor[12] | b->anchor[13] << 8, b->len);
	free(b);
}

static void test_too_many(void **state)
{
	struct platform c = config;
	struct smbios_blobs *b = malloc(sizeof(*b));

	(void)state;
	c.sockets = 1000;
	assert_int_equal(smbios_build(b, &c), -ENOSPC);
	c.sockets = 128;
	assert_int_equal(smbios_build(b, &c), 0);
	free(b);
}

static void test_install(void **state)
{
	struct guest_mem *mem = guest_mem_new();
	struct mem_range r = { .size = MiB, .host = aligned_alloc(4096, MiB) };
	uint8_t *ram = r.host;
	int n;

	(void)state;
	assert_int_equal(guest_mem_add(mem, &r), 0);
	n = smbios_install(mem, &config, GPA(0xf0000));
	assert_true(n > 100);
	assert_memory_equal(ram + 0xf0000, "_SM3_", 5);
	assert_int_equal(ram[0xf0010] | ram[0xf0011] << 8 | ram[0xf0012] << 16, 0xf0020);
	assert_int_equal(ram[0xf0020], 0);
	assert_int_equal(smbios_install(mem, &config, GPA(0xffff0)), -EINVAL);
	guest_mem_free(mem);
	free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structures),
		cmocka_unit_test(test_anchor),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_install),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
