/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/irq.h"
#include "vmm/core/stats.h"

struct fake {
	int level[24], line_calls, commits, n_routes, fds, signals;
	struct irq_backend_route routes[64];
};

static int set_line(void *o, uint32_t gsi, bool level)
{
	struct fake *f = o;

	f->level[gsi] = level;
	f->line_calls++;
	return 0;
}

static int set_routes(void *o, const struct irq_backend_route *r, unsigned n)
{
	struct fake *f = o;

	assert_true(n <= 64);
	memcpy(f->routes, r, n * sizeof(*r));
	f->n_routes = (int)n;
	f->commits++;
	return 0;
}

static int irqfd_add(void *o, uint32_t gsi, int fd, int resample)
{
	(void)gsi;
	(void)fd;
	(void)resample;
	((struct fake *)o)->fds++;
	return 0;
}

static int irqfd_del(void *o, uint32_t gsi, int fd)
{
	(void)gsi;
	(void)fd;
	((struct fake *)o)->fds--;
	return 0;
}

static int signal_msi(void *o, uint64_t addr, uint32_t data, uint32_t devid)
{
	(void)addr;
	(void)data;
	(void)devid;
	((struct fake *)o)->signals++;
	return 0;
}

static const struct irq_backend_ops ops = { set_line, set_routes, irqfd_add, irqfd_del,
					    signal_msi };

static void test_lines(void **state)
{
	struct fake f = { 0 };
	struct irq_table *t = irq_table_new(&ops, &f, 64);
	struct irq_source a, b;

	(void)state;
	assert_int_equal(irq_source_init(t, 24, &a), -EINVAL);
	assert_int_equal(irq_source_init(t, 16, &a), 0);
	assert_int_equal(irq_source_init(t, 16, &b), 0);
	irq_set(&a, true);
	irq_set(&b, true);
	irq_set(&a, false);
	assert_int_equal(f.level[16], 1);
	assert_int_equal(f.line_calls, 1);
	irq_source_release(&b);
	assert_int_equal(f.level[16], 0);
	irq_set(&a, false);
	assert_int_equal(f.line_calls, 2);
	irq_table_free(t);
}

static void see_line(void *arg, const struct stats_irq *irq)
{
	*(struct stats_irq *)arg = *irq;
}

static void test_stats(void **state)
{
	struct fake f = { 0 };
	struct irq_table *t = irq_table_new(&ops, &f, 26);
	struct stats *s = stats_new(false);
	struct stats_irq seen = { 0 };
	struct irq_source a, b;

	(void)state;
	irq_table_add_stats(t, s);
	assert_int_equal(irq_source_init(t, 9, &a), 0);
	assert_int_equal(irq_source_init(t, 9, &b), 0);
	stats_each_irq(s, see_line, &seen);
	assert_null(seen.device);
	irq_set(&a, true);
	irq_set(&b, true); /* is high already */
	irq_set(&a, false);
	irq_set(&b, false);
	irq_set(&b, true);
	stats_each_irq(s, see_line, &seen);
	assert_int_equal(seen.vector, 9);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.path, "userspace");
	stats_free(s);
	irq_table_free(t);
}

static void test_routes(void **state)
{
	struct fake f = { 0 };
	struct irq_table *t = irq_table_new(&ops, &f, 26);
	struct msi_route *a, *b;
	int i, pins;

	(void)state;
	assert_int_equal(irq_commit(t), 0);
	pins = f.n_routes;
	for (i = 0; i < pins; i++)
		if (f.routes[i].gsi == 0 && f.routes[i].pin.chip == 2)
			assert_int_equal(f.routes[i].pin.pin, 2);
	a = msi_route_new(t);
	b = msi_route_new(t);
	assert_non_null(b);
	assert_null(msi_route_new(t));
	assert_int_equal(irq_commit(t), 0);
	assert_int_equal(f.commits, 1);
	assert_int_equal(msi_route_signal(a), -EINVAL);
	msi_route_set(a, 0xfee00000, 0x41, 8);
	msi_route_set(b, 0xfee00000, 0x42, 8);
	assert_int_equal(irq_commit(t), 0);
	msi_route_set(b, 0xfee00000, 0x42, 8);
	assert_int_equal(irq_commit(t), 0);
	assert_int_equal(f.commits, 2);
	assert_int_equal(f.n_routes, pins + 2);
	assert_int_equal(f.routes[pins + 1].msi.data, 0x42);
	assert_int_equal(msi_route_signal(a), 0);
	assert_int_equal(f.signals, 1);
	assert_int_equal(msi_route_attach(a, 5), 0);
	assert_int_equal(msi_route_attach(a, 5), 0);
	assert_int_equal(f.fds, 1);
	msi_route_free(a);
	assert_int_equal(f.fds, 0);
	assert_int_equal(irq_commit(t), 0);
	assert_int_equal(f.n_routes, pins + 1);
	assert_non_null(a = msi_route_new(t));
	msi_route_free(a);
	msi_route_free(b);
	irq_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
