/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "devices/cmos_rtc.h"

static int64_t now = 1709164799ll * 1000000000; /* 2024-02-28 23:59:59 UTC, a Wednesday */

static int64_t fake_now(void)
{
	return now;
}

struct fixture {
	struct bus *pio;
	struct cmos_rtc rtc;
};
static struct fixture f;

static int setup(void **state)
{
	(void)state;
	f.pio = bus_new(0x10000);
	assert_int_equal(cmos_rtc_init(&f.rtc, f.pio, 2 * GiB, 3 * GiB), 0);
	f.rtc.now_ns = fake_now;
	now = 1709164799ll * 1000000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cmos_rtc_destroy(&f.rtc, f.pio);
	bus_free(f.pio);
	return 0;
}

static unsigned get(unsigned reg)
{
	bus_write(f.pio, 0x70, 1, reg);
	return (unsigned)bus_read(f.pio, 0x71, 1);
}

static void put(unsigned reg, unsigned v)
{
	bus_write(f.pio, 0x70, 1, reg);
	bus_write(f.pio, 0x71, 1, v);
}

static void test_time(void **state)
{
	(void)state;
	assert_int_equal(get(0), 0x59);
	assert_int_equal(get(4), 0x23);
	assert_int_equal(get(6), 4);
	assert_int_equal(get(7), 0x28);
	assert_int_equal(get(8), 2);
	assert_int_equal(get(9), 0x24);
	assert_int_equal(get(0x80 | 0x32), 0x20);
	now += 1000000000;
	assert_int_equal(get(7), 0x29); /* a leap year */
	assert_int_equal(get(4), 0);
	put(0xb, 0x04); /* binary, 12 hours */
	assert_int_equal(get(4), 12);
	now += 13 * 3600 * 1000000000ll;
	assert_int_equal(get(4), 0x80 | 1);
	assert_int_equal(get(9), 24);
}

static void test_set(void **state)
{
	(void)state;
	put(0xb, 0x82);
	put(0, 0x30);
	put(2, 0x15);
	put(4, 0x07);
	put(7, 0x01);
	put(8, 0x12);
	put(9, 0x31);
	now += 60000000000ll; /* the clock stands still meanwhile */
	assert_int_equal(get(0), 0x30);
	put(0xb, 2);
	now += 5000000000ll;
	assert_int_equal(get(0), 0x35);
	assert_int_equal(get(2), 0x15);
	assert_int_equal(get(9), 0x31);
	assert_int_equal(get(8), 0x12);
}

static void test_registers(void **state)
{
	(void)state;
	assert_int_equal(get(0xa), 0x26);
	now += 999900000;
	assert_int_equal(get(0xa), 0xa6);
	now += 100000;
	assert_int_equal(get(0xa), 0x26);
	put(0xd, 0);
	assert_int_equal(get(0xd), 0x80);
	assert_int_equal(get(0xc), 0);
	put(0xf, 0);
	assert_int_equal(get(0xf), 0);
	assert_int_equal(get(0x34) | get(0x35) << 8, (2 * GiB - 16 * MiB) / 65536);
	assert_int_equal(get(0x5b) | get(0x5c) << 8, 3 * GiB / 65536);
	assert_int_equal(bus_read(f.pio, 0x70, 1), 0xff);
	put(0xb, 0x72);
	cmos_rtc_reset(&f.rtc);
	assert_int_equal(get(0xb), 2);
}

/* Nonsense in the time registers is the guest's to have. */
static void test_nonsense(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 128; i++)
		put(i, 0xff);
	put(0xb, 0);
	for (i = 0; i < 128; i++)
		get(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
