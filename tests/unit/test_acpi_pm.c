/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "devices/chipset/acpi_pm.h"
#include "vmm/core/evloop.h"

static uint64_t fake_ns;

static uint64_t fake_now(void)
{
	return fake_ns;
}

static int set_line(void *opaque, uint32_t gsi, bool level)
{
	assert_int_equal(gsi, 9);
	*(bool *)opaque = level;
	return 0;
}

static const struct irq_backend_ops irq_ops = { .set_line = set_line };

struct fixture {
	struct bus *pio;
	struct irq_table *irq;
	struct acpi_pm pm;
	bool sci;
	unsigned offs;
};

static void on_off(void *arg)
{
	((struct fixture *)arg)->offs++;
}

static struct fixture fx;

static int setup(void **state)
{
	int ret;

	fx = (struct fixture){ .pio = bus_new(0x10000) };
	fx.irq = irq_table_new(&irq_ops, &fx.sci, 64);
	fx.pm.power_off = on_off;
	fx.pm.power_off_arg = &fx;
	ret = acpi_pm_init(&fx.pm, fx.pio, fx.irq, NULL);
	fake_ns = 0;
	fx.pm.now_ns = fake_now;
	acpi_pm_reset(&fx.pm);
	acpi_pm_set_base(&fx.pm, 0x600);
	*state = &fx;
	return ret;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	acpi_pm_destroy(&f->pm);
	irq_table_free(f->irq);
	bus_free(f->pio);
	return 0;
}

static uint32_t in(unsigned off, unsigned size)
{
	return (uint32_t)bus_read(fx.pio, 0x600 + off, size);
}

static void out(unsigned off, unsigned size, uint32_t v)
{
	bus_write(fx.pio, 0x600 + off, size, v);
}

static void test_timer(void **state)
{
	(void)state;
	fake_ns = 1000000000;
	assert_int_equal(in(8, 4), 3579545);
	assert_int_equal(in(8, 2), 3579545 & 0xffff);
	assert_int_equal(in(9, 1), 3579545 >> 8 & 0xff);
	out(8, 4, 0);
	assert_int_equal(in(8, 4), 3579545);
	fake_ns = 4700000000; /* 2^24 ticks are 4.687 s */
	assert_int_equal(in(8, 4), (4700ull * 3579545 / 1000) & 0xffffff);
}

static void test_timer_status(void **state)
{
	(void)state;
	assert_int_equal(in(0, 2), 0);
	fake_ns = 2400000000; /* bit 23 was set after 2.34 s */
	assert_int_equal(in(0, 2), 1);
	assert_false(fx.sci);
	out(2, 2, 1);
	assert_true(fx.sci);
	out(0, 2, 1);
	assert_false(fx.sci);
	assert_int_equal(in(0, 2), 0);
}

static void test_power_button(void **state)
{
	(void)state;
	assert_false(acpi_pm_power_button(&fx.pm));
	assert_false(fx.sci);
	out(0, 2, 0x100);
	out(2, 2, 0x120);
	assert_int_equal(in(2, 2), 0x120);
	assert_true(acpi_pm_power_button(&fx.pm));
	assert_true(fx.sci);
	assert_int_equal(in(0, 4), 0x01200100);
	out(0, 1, 0xff); /* the low byte only */
	assert_true(fx.sci);
	out(1, 1, 0x01);
	assert_false(fx.sci);
	assert_int_equal(in(0, 2), 0);
}

static void test_s5(void **state)
{
	(void)state;
	assert_int_equal(in(4, 2), 1);
	out(4, 2, 1);
	out(4, 2, 0x2000 | 1 << 10); /* S1, which is not offered */
	assert_int_equal(fx.offs, 0);
	out(4, 2, 0x0001);
	out(4, 2, 0x2001); /* OVMF: clears 10-13, sets 13 */
	assert_int_equal(fx.offs, 1);
	assert_int_equal(in(4, 2), 1); /* SLP_EN reads 0 */
	out(5, 1, 0x20);
	assert_int_equal(fx.offs, 2);
	out(4, 4, 0x2000);
	assert_int_equal(fx.offs, 3);
}

static void test_gpe(void **state)
{
	(void)state;
	assert_int_equal(in(0x20, 4), 0);
	out(0x20, 4, UINT32_MAX); /* status: nothing to clear */
	assert_int_equal(in(0x20, 4), 0);
	out(0x28, 4, 0x11223344);
	out(0x2f, 1, 0x55);
	assert_int_equal(in(0x28, 4), 0x11223344);
	assert_int_equal(in(0x2f, 1), 0x55);
	acpi_pm_reset(&fx.pm);
	assert_int_equal(in(0x28, 4), 0);
	assert_int_equal(in(0x30, 4), 0); /* SMI_EN */
	assert_int_equal(in(0x7f, 1), 0);
	assert_int_equal(in(0x80, 1), 0xff);
}

static void stop(void *arg)
{
	evloop_stop(arg, 0);
}

/* With a loop, an enabled timer interrupt comes although nobody reads the registers. */
static void test_timer_interrupt(void **state)
{
	struct evloop *loop = evloop_new();
	struct ev_timer *end = evloop_add_timer(loop, stop, loop);
	struct fixture *f = *state;

	acpi_pm_destroy(&f->pm);
	assert_int_equal(acpi_pm_init(&f->pm, f->pio, f->irq, loop), 0);
	acpi_pm_set_base(&f->pm, 0x600);
	out(2, 2, 1);
	ev_timer_set(end, evloop_now_ns() + 2500000000);
	evloop_run(loop);
	assert_true(f->sci);
	evloop_del_timer(end);
	acpi_pm_destroy(&f->pm);
	assert_int_equal(acpi_pm_init(&f->pm, f->pio, f->irq, NULL), 0);
	evloop_free(loop);
}

/* However often the guest switches the timer's interrupt on and off, the loop has only one call. */
static void test_timer_flood(void **state)
{
	struct evloop *loop = evloop_new();
	struct fixture *f = *state;

	acpi_pm_destroy(&f->pm);
	assert_int_equal(acpi_pm_init(&f->pm, f->pio, f->irq, loop), 0);
	acpi_pm_set_base(&f->pm, 0x600);
	for (unsigned i = 0; i < 1000; i++)
		out(2, 2, ~i & 1);
	assert_true(f->pm.arm.waits);
	assert_null(f->pm.arm.next);
	acpi_pm_destroy(&f->pm); /* while the call is still in the queue */
	assert_false(f->pm.arm.waits);
	assert_int_equal(acpi_pm_init(&f->pm, f->pio, f->irq, NULL), 0);
	evloop_free(loop);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_timer), T(test_timer_status),	T(test_power_button), T(test_s5),
		T(test_gpe),   T(test_timer_interrupt), T(test_timer_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
