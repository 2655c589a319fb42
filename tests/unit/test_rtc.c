/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "devices/chipset/cmos_rtc.h"
#include "vmm/core/evloop.h"

#define NS  1000000000ll
#define UIE 0x10
#define AIE 0x20
#define PIE 0x40

static int64_t now = 1709164799ll * 1000000000; /* 2024-02-28 23:59:59 UTC, a Wednesday */

static uint64_t mono; /* CLOCK_MONOTONIC, which nobody can set */

static int64_t fake_now(void)
{
	return now;
}

static uint64_t fake_mono(void)
{
	return mono;
}

struct fixture {
	struct bus *pio;
	struct irq_table *irq;
	struct cmos_rtc rtc;
	bool line;
	unsigned raised;
};
static struct fixture f;

static int set_line(void *opaque, uint32_t gsi, bool level)
{
	(void)opaque;
	assert_int_equal(gsi, 8);
	f.raised += level && !f.line;
	f.line = level;
	return 0;
}

static const struct irq_backend_ops irq_ops = { .set_line = set_line };

static struct cmos_rtc_params params(struct evloop *loop, bool localtime)
{
	return (struct cmos_rtc_params){ .pio = f.pio,
					 .irq = f.irq,
					 .loop = loop,
					 .low_ram = 2 * GiB,
					 .high_ram = 3 * GiB,
					 .localtime = localtime };
}

static int setup(void **state)
{
	struct cmos_rtc_params p;

	(void)state;
	f = (struct fixture){ .pio = bus_new(0x10000) };
	f.irq = irq_table_new(&irq_ops, NULL, 64);
	p = params(NULL, false);
	assert_int_equal(cmos_rtc_init(&f.rtc, &p), 0);
	now = 1709164799ll * NS;
	mono = 5000 * NS;
	f.rtc.now_ns = fake_now;
	f.rtc.mono_ns = fake_mono;
	f.rtc.seen_s = now / NS;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cmos_rtc_destroy(&f.rtc);
	irq_table_free(f.irq);
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

static void pass(int64_t ns)
{
	now += ns;
	mono += (uint64_t)ns;
}

/* Nanoseconds until the timer is due; -1: never. */
static int64_t due(void)
{
	uint64_t at = cmos_rtc_due(&f.rtc);

	return at ? (int64_t)(at - mono) : -1;
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
	/* an update, and the alarm, which is set to midnight */
	assert_int_equal(get(0xc) & 0x30, 0x30);
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

/* The guest may write wrong values to the time registers. */
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

/* UIP is set 244 us before an update, which takes 1984 us. When UIP is cleared, the new second can
 * be read. */
static void test_uip(void **state)
{
	(void)state;
	pass(NS - 2230000);
	assert_int_equal(get(0xa), 0x26);
	pass(4000);
	assert_int_equal(get(0xa), 0xa6);
	assert_int_equal(get(0), 0x59);
	pass(2226000);
	assert_int_equal(get(0xa), 0x26);
	assert_int_equal(get(0), 0x00);
	pass(NS - 1000);
	put(0xb, 0x82); /* SET: no updates */
	assert_int_equal(get(0xa), 0x26);
}

static void test_update_ended(void **state)
{
	(void)state;
	get(0xc);
	put(0xb, 2 | UIE);
	pass(NS - 1);
	assert_int_equal(get(0xc) & 0x90, 0);
	pass(1);
	cmos_rtc_fire(&f.rtc);
	assert_true(f.line);
	assert_int_equal(get(0xc) & 0x90, 0x90);
	assert_false(f.line);
	assert_int_equal(get(0xc), 0);
	pass(2100000000);
	assert_int_equal(get(0xc) & 0x90, 0x90); /* the guest reads before the timer fires */
	put(0xb, 2);
	pass(NS);
	/* the flag is set although the interrupt is not enabled */
	assert_int_equal(get(0xc) & 0x90, 0x10);
}

/* If an interrupt is enabled while its flag is set, it is raised at once. */
static void test_enable_late(void **state)
{
	(void)state;
	get(0xc);
	pass(NS);
	put(0xb, 2 | UIE);
	assert_true(f.line);
	put(0xb, 2);
	assert_false(f.line);
	put(0xb, 0x82 | UIE); /* SET clears UIE */
	assert_int_equal(get(0xb), 0x82);
}

static void test_periodic(void **state)
{
	static const unsigned hz[16] = { 0,   256, 128, 8192, 4096, 2048, 1024, 512,
					 256, 128, 64,	32,   16,   8,	  4,	2 };
	unsigned rate, i;

	(void)state;
	for (rate = 0; rate < 16; rate++) {
		put(0xb, 2);
		put(0xa, 0x20 | rate);
		get(0xc);
		put(0xb, 2 | PIE);
		if (!hz[rate]) {
			assert_int_equal(due(), -1);
			continue;
		}
		f.raised = 0;
		for (i = 0; i < 2 * hz[rate]; i++) {
			assert_in_range(due(), 1, NS / hz[rate] + 1);
			pass(due());
			cmos_rtc_fire(&f.rtc);
			assert_int_equal(get(0xc) & 0xc0, 0xc0);
		}
		assert_int_equal(f.raised, 2 * hz[rate]);
	}
	put(0xa, 0x66); /* the divider is held in reset */
	get(0xc);
	pass(NS);
	assert_int_equal(get(0xc), 0);
	assert_int_equal(due(), -1);
}

/* Several missed ticks are one tick, and a guest that does not read register C gets no more. */
static void test_coalesce(void **state)
{
	(void)state;
	put(0xa, 0x23);
	put(0xb, 2 | PIE);
	get(0xc);
	f.raised = 0;
	pass(10 * NS);
	cmos_rtc_fire(&f.rtc);
	assert_int_not_equal(f.rtc.armed, 0);
	pass(NS);
	cmos_rtc_fire(&f.rtc);
	assert_int_equal(f.rtc.armed, 0);
	assert_int_equal(f.raised, 1);
	assert_int_equal(get(0xc) & 0xc0, 0xc0);
	assert_int_equal(get(0xc), 0);
}

static void set_alarm(unsigned h, unsigned m, unsigned s)
{
	put(5, h);
	put(3, m);
	put(1, s);
}

/* Seconds until the alarm's flag is set, at most n; 0: it was not set in this time. */
static unsigned wait_alarm(unsigned n)
{
	get(0xc);
	for (unsigned i = 1; i <= n; i++) {
		pass(NS);
		if (get(0xc) & 0x20)
			return i;
	}
	return 0;
}

static void test_alarm(void **state)
{
	(void)state;
	/* It is 23:59:59. */
	set_alarm(0x00, 0x00, 0x02);
	assert_int_equal(wait_alarm(10), 3);
	set_alarm(0xff, 0xff, 0x10);
	assert_int_equal(wait_alarm(100), 8);
	assert_int_equal(wait_alarm(100), 60);
	set_alarm(0xc0, 0x02, 0xd5); /* each second of minute 2 of each hour */
	assert_int_equal(wait_alarm(100), 50);
	assert_int_equal(wait_alarm(100), 1);
	set_alarm(0x00, 0x03, 0x00);
	pass(3600 * NS); /* the alarm's time passes while nobody reads */
	assert_int_equal(get(0xc) & 0x30, 0x30);
	set_alarm(0x7a, 0x00, 0x00); /* no time at all */
	pass(86400 * NS);
	assert_int_equal(get(0xc) & 0x30, 0x10);
	put(0xb, 0x04); /* binary, 12 hours */
	put(4, 11);
	put(2, 59);
	put(0, 58);
	set_alarm(0x80 | 12, 0, 1);
	assert_int_equal(wait_alarm(10), 3);
	set_alarm(0xff, 0xff, 0xff);
	put(0xb, 0x84);
	assert_int_equal(wait_alarm(10), 0); /* without updates there is no alarm */
}

/* An alarm byte that is no valid time never matches, whatever the others are. This must be found at
 * once: searching all seconds of a day took a thousand times as long as for another byte. */
static void test_alarm_never(void **state)
{
	static const uint8_t times[][3] = {
		{ 0xff, 0xff, 0x60 }, { 0xff, 0xff, 0x75 }, { 0xff, 0xff, 0x1a },
		{ 0xff, 0xff, 0x9f }, { 0xff, 0x60, 0xff }, { 0xff, 0x0f, 0xff },
		{ 0x24, 0xff, 0xff }, { 0x1b, 0xff, 0xff }, { 0xb0, 0xff, 0xff },
	};
	clock_t begin, took = 0;
	unsigned i, k;

	(void)state;
	for (i = 0; i < 9; i++) {
		put(0xb, 2);
		set_alarm(times[i][0], times[i][1], times[i][2]);
		assert_int_equal(wait_alarm(100), 0);
		put(0xb, 2 | AIE);
		begin = clock();
		for (k = 0; k < 1000; k++)
			assert_int_equal(due(), -1);
		took += clock() - begin;
	}
	assert_true(took < CLOCKS_PER_SEC);
	put(0xb, 0); /* with 12 hours there is no hour 0 and no hour 13 */
	set_alarm(0x00, 0xff, 0xff);
	assert_int_equal(wait_alarm(2000), 0);
	set_alarm(0x13, 0xff, 0xff);
	assert_int_equal(wait_alarm(5000), 0);
}

/* The alarm must come when it is due, over a whole day and for all kinds of bytes. */
static void test_alarm_each(void **state)
{
	static const uint8_t times[][3] = {
		{ 0xff, 0xff, 0xff }, { 0xff, 0xff, 0x00 }, { 0xff, 0x00, 0xff },
		{ 0x00, 0xff, 0xff }, { 0xff, 0x59, 0x59 }, { 0x23, 0xc5, 0x59 },
		{ 0x12, 0x34, 0xe1 }, { 0x12, 0x34, 0x56 },
	};
	unsigned i, seen;
	int64_t in;

	(void)state;
	for (i = 0; i < 8; i++) {
		set_alarm(times[i][0], times[i][1], times[i][2]);
		get(0xc);
		for (seen = 0; seen < 86400; seen += 600) {
			put(0xb, 2 | AIE);
			in = due();
			put(0xb, 2);
			assert_in_range(in, 1, 60 * NS); /* or the timer checks earlier */
			pass(in);
			if (in < 60 * NS)
				assert_true(get(0xc) & 0x20);
			pass(600 * NS - in);
			get(0xc);
		}
	}
}

static void test_alarm_interrupt(void **state)
{
	(void)state;
	set_alarm(0x00, 0x01, 0x30);
	get(0xc);
	put(0xb, 2 | AIE);
	/* the timer checks, because somebody may set the host's clock */
	assert_int_equal(due(), 60 * NS);
	pass(60 * NS);
	cmos_rtc_fire(&f.rtc);
	assert_false(f.line);
	assert_int_equal(due(), 31 * NS);
	pass(31 * NS);
	cmos_rtc_fire(&f.rtc);
	assert_true(f.line);
	assert_int_equal(get(0xc), 0xf0);
	put(0xb, 2 | AIE | UIE | PIE);
	put(0xa, 0x2f);
	assert_in_range(due(), 1, NS / 2);
}

/* If the host's clock is set, the guest's clock changes by the same time. */
static void test_step(void **state)
{
	(void)state;
	set_alarm(0x23, 0x59, 0x59);
	get(0xc);
	now -= 3600 * NS;
	assert_int_equal(get(4), 0x22);
	assert_int_equal(get(0xc) & 0x30, 0x10);
	now += 7200 * NS;
	assert_int_equal(get(0xc) & 0x30, 0x30);
}

/* A new time takes effect when both SET and the divider's reset have ended, in the order of Linux.
 */
static void test_divider(void **state)
{
	(void)state;
	put(0xb, 0x82);
	put(0xa, 0x76);
	put(0, 0x10);
	put(0xb, 0x02);
	pass(30 * NS);
	assert_int_equal(get(0), 0x10);
	put(0xa, 0x26);
	pass(2 * NS);
	assert_int_equal(get(0), 0x12);
	pass(500000000);
	assert_int_equal(get(0), 0x12); /* the second begins together with the host's */
}

static void test_reset(void **state)
{
	(void)state;
	put(0, 0x30);
	put(0xb, 0x02 | 0x08 | PIE | AIE | UIE);
	pass(NS);
	cmos_rtc_fire(&f.rtc);
	assert_true(f.line);
	cmos_rtc_reset(&f.rtc);
	assert_false(f.line);
	assert_int_equal(get(0xc), 0);
	assert_int_equal(get(0xb), 2);
	assert_int_equal(get(0), 0x31);
	assert_int_equal(due(), -1);
}

static void test_localtime(void **state)
{
	struct cmos_rtc_params p = params(NULL, true);
	struct tm tm;
	time_t t;

	(void)state;
	cmos_rtc_destroy(&f.rtc);
	setenv("TZ", "XYZ-9", 1); /* the zone is nine hours ahead of UTC */
	tzset();
	assert_int_equal(cmos_rtc_init(&f.rtc, &p), 0);
	t = time(NULL) + 9 * 3600;
	gmtime_r(&t, &tm);
	put(0xb, 0x06);
	assert_int_equal(get(4), tm.tm_hour);
	assert_int_equal(get(2), tm.tm_min);
	unsetenv("TZ");
	tzset();
}

struct look {
	struct evloop *loop;
	struct ev_timer *again;
	unsigned ticks;
};

static void look_again(void *arg)
{
	struct look *l = arg;

	l->ticks += f.line && (get(0xc) & 0xc0) == 0xc0;
	if (l->ticks == 20)
		evloop_stop(l->loop, 0);
	ev_timer_set(l->again, evloop_now_ns() + 100000);
}

/* With a loop, interrupts come although nobody reads register C, also at 8192 Hz. */
static void test_loop(void **state)
{
	struct look l = { .loop = evloop_new() };
	struct cmos_rtc_params p = params(l.loop, false);

	(void)state;
	l.again = evloop_add_timer(l.loop, look_again, &l);
	cmos_rtc_destroy(&f.rtc);
	assert_int_equal(cmos_rtc_init(&f.rtc, &p), 0);
	for (unsigned i = 0; i < 10000; i++) /* many calls are one call in the queue */
		put(0xb, i & 1 ? 2 : 2 | PIE);
	put(0xa, 0x23);
	put(0xb, 2 | PIE);
	ev_timer_set(l.again, 1);
	evloop_run(l.loop);
	assert_true(f.raised >= 20);
	cmos_rtc_destroy(&f.rtc);
	evloop_free(l.loop);
	p.loop = NULL;
	assert_int_equal(cmos_rtc_init(&f.rtc, &p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enable_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_periodic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_coalesce, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alarm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alarm_never, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alarm_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alarm_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_step, setup, teardown),
		cmocka_unit_test_setup_teardown(test_divider, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_localtime, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
