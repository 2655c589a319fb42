/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/bus.h"
#include "vmm/core/trap.h"

struct dev {
	uint8_t reg[16];
	unsigned last_size, calls;
	struct bus *bus;
	struct io_region *del;
};

static uint64_t dev_read(void *opaque, uint64_t off, unsigned size)
{
	struct dev *d = opaque;
	uint64_t v = 0;

	assert_true(range_ok(off, size, sizeof(d->reg)));
	d->last_size = size;
	d->calls++;
	memcpy(&v, d->reg + off, size);
	return v;
}

static void dev_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct dev *d = opaque;

	assert_true(range_ok(off, size, sizeof(d->reg)));
	d->last_size = size;
	d->calls++;
	memcpy(d->reg + off, &val, size);
	if (d->del)
		bus_del(d->bus, d->del);
}

static const struct io_region_ops any_ops = { dev_read, dev_write, 0, 0 };
static const struct io_region_ops word_ops = { dev_read, dev_write, 2, 4 };

static void test_sizes(void **state)
{
	struct bus *b = bus_new(0x10000);
	struct dev d = { 0 };
	struct io_region r = { .base = 0x100, .size = 16, .ops = &any_ops, .opaque = &d };
	struct io_region w = { .base = 0x200, .size = 16, .ops = &word_ops, .opaque = &d };

	(void)state;
	assert_int_equal(bus_add(b, &r), 0);
	assert_int_equal(bus_add(b, &w), 0);
	assert_int_equal(bus_read(b, 0x300, 4), 0xffffffff);
	assert_int_equal(bus_read(b, 0xffff, 2), 0xffff);
	bus_write(b, 0x100, 8, 0x8877665544332211);
	assert_int_equal(bus_read(b, 0x100, 8), 0x8877665544332211);
	assert_int_equal(bus_read(b, 0x101, 1), 0x22);
	/* Accesses that are too wide are split. Those that are too narrow read all ones, and are
	 * dropped. Other sizes are split into powers of two. */
	assert_int_equal(bus_read(b, 0x200, 8), 0x8877665544332211);
	assert_int_equal(d.last_size, 4);
	assert_int_equal(bus_read(b, 0x200, 1), 0xff);
	bus_write(b, 0x200, 1, 0);
	assert_int_equal(d.reg[0], 0x11);
	assert_int_equal(bus_read(b, 0x101, 3), 0x443322);
	/* An access over the end of a region: the region answers its part, the rest is all ones. */
	d.reg[15] = 0x5a;
	assert_int_equal(bus_read(b, 0x10f, 2), 0xff5a);
	bus_write(b, 0xff, 2, 0x3344);
	assert_int_equal(d.reg[0], 0x33);
	bus_free(b);
}

static void test_counts_traps(void **state)
{
	struct trap_table *t = calloc(1, sizeof(*t));
	struct bus *pio = bus_new(0x10000), *mmio = bus_new(1ull << 40);
	struct dev d = { 0 };
	struct io_region r = {
		.name = "dev", .base = 0x100, .size = 16, .ops = &any_ops, .opaque = &d
	};
	struct io_region m = r;
	struct io_place p;

	(void)state;
	t->timed = true;
	bus_count_traps(t);
	assert_int_equal(bus_add(pio, &r), 0);
	assert_int_equal(bus_add(mmio, &m), 0);
	bus_read(pio, 0x102, 1);
	bus_write(pio, 0x102, 1, 0);
	bus_write(pio, 0x103, 1, 0);
	assert_int_equal(trap_slots(t), 2);
	assert_int_equal(t->slot[0].off, 2);
	assert_int_equal(t->slot[0].reads + t->slot[0].writes, 2);
	assert_true(t->slot[0].ticks > 0);
	/* Registers in memory space are counted as dwords. */
	bus_read(mmio, 0x104, 1);
	bus_read(mmio, 0x107, 1);
	assert_int_equal(trap_slots(t), 3);
	assert_int_equal(t->slot[2].off, 4);
	assert_int_equal(t->slot[2].reads, 2);
	/* An access that finds no region, and one of which only half does. */
	bus_write(mmio, 0x5000, 4, 0);
	bus_read(pio, 0x10f, 2);
	assert_int_equal(trap_slots(t), 6);
	bus_explain(t->slot[3].region, t->slot[3].off, &p);
	assert_string_equal(p.device, "nothing");
	assert_int_equal(p.off, 0x5000);
	bus_explain(t->slot[0].region, t->slot[0].off, &p);
	assert_string_equal(p.device, "dev");
	assert_string_equal(p.cause, "");
	assert_int_equal(p.off, 0x102);
	/* A device that leaves: its memory may be another one's soon. */
	bus_del(pio, &r);
	trap_forget(t, &r);
	bus_explain(trap_region(&t->slot[0]), t->slot[0].off, &p);
	assert_string_equal(p.device, "a removed device");
	assert_ptr_equal(trap_region(&t->slot[2]), &m);
	assert_int_equal(bus_add(pio, &r), 0);
	bus_read(pio, 0x102, 1);
	/* Its slots are one, and the others are used again. */
	assert_int_equal(trap_slots(t), 6);
	assert_int_equal(t->slot[0].reads + t->slot[0].writes, 4);
	assert_ptr_equal(trap_region(&t->slot[1]), &r);
	assert_int_equal(t->slot[1].off, 2);
	assert_int_equal(t->slot[1].reads, 1);
	bus_count_traps(NULL);
	bus_read(pio, 0x102, 1);
	assert_int_equal(t->slot[1].reads, 1);
	bus_free(pio);
	bus_free(mmio);
	free(t);
}

static void test_topology(void **state)
{
	struct bus *b = bus_new(0x1000);
	struct dev lo = { .reg = "\1\1\1\1\1\1\1" }, hi = { .reg = "\2\2" };
	struct io_region r = { .base = 0, .size = 16, .ops = &any_ops, .opaque = &lo };
	struct io_region top = {
		.base = 4, .size = 2, .ops = &any_ops, .opaque = &hi, .priority = 1
	};
	struct io_region same = { .base = 8, .size = 32, .ops = &any_ops, .opaque = &hi };
	struct io_region end = { .base = 0xff0, .size = 16, .ops = &any_ops, .opaque = &hi };
	struct io_region past = { .base = 0xff1, .size = 16, .ops = &any_ops, .opaque = &hi };

	(void)state;
	assert_int_equal(bus_add(b, &r), 0);
	assert_int_equal(bus_add(b, &r), -EEXIST);
	assert_int_equal(bus_add(b, &same), -EEXIST);
	assert_int_equal(bus_add(b, &past), -ERANGE);
	assert_int_equal(bus_add(b, &end), 0);
	assert_int_equal(bus_add(b, &top), 0);
	assert_int_equal(bus_read(b, 3, 4), 0x01020201);
	bus_del(b, &top);
	assert_int_equal(bus_read(b, 3, 4), 0x01010101);
	bus_del(b, &r);
	assert_int_equal(bus_add(b, &same), 0);
	assert_int_equal(bus_read(b, 8, 1), 2);
	/* There is nothing behind the end of the bus, and addresses do not wrap to 0. */
	hi.reg[15] = 3;
	assert_int_equal(bus_read(b, 0xfff, 1), 3);
	assert_int_equal(bus_read(b, 0xfff, 2), 0xffff);
	assert_int_equal(bus_read(b, 0x1000, 4), 0xffffffff);
	assert_int_equal(bus_read(b, UINT64_MAX, 8), UINT64_MAX);
	bus_write(b, 0xfff, 2, 0);
	bus_write(b, UINT64_MAX - 3, 8, 0);
	assert_int_equal(hi.reg[15], 3);
	bus_free(b);
}

static void count_region(void *arg, const struct io_region *r)
{
	*(uint64_t *)arg += r->size;
}

/* Also regions that are partly or completely hidden by another one. */
static void test_each(void **state)
{
	struct bus *b = bus_new(0x1000);
	struct io_region low = { .base = 16, .size = 16, .ops = &any_ops };
	struct io_region hidden = { .base = 8, .size = 4, .ops = &any_ops };
	struct io_region top = { .base = 8, .size = 16, .ops = &any_ops, .priority = 1 };
	uint64_t sum = 0;

	(void)state;
	bus_each(b, count_region, &sum);
	assert_int_equal(sum, 0);
	assert_int_equal(bus_add(b, &low), 0);
	assert_int_equal(bus_add(b, &hidden), 0);
	assert_int_equal(bus_add(b, &top), 0);
	bus_each(b, count_region, &sum);
	assert_int_equal(sum, 36);
	bus_free(b);
}

static void test_del_inside(void **state)
{
	struct bus *b = bus_new(0x1000);
	struct dev d = { .bus = b };
	struct io_region r = { .base = 0, .size = 16, .ops = &any_ops, .opaque = &d };

	(void)state;
	d.del = &r;
	assert_int_equal(bus_add(b, &r), 0);
	bus_write(b, 0, 1, 7);
	assert_int_equal(bus_read(b, 0, 1), 0xff);
	assert_int_equal(r.refs, 0);
	bus_free(b);
}

static void test_doorbell(void **state)
{
	struct bus *b = bus_new(0x1000);
	struct dev d = { 0 };
	struct io_region r = { .base = 0, .size = 16, .ops = &any_ops, .opaque = &d };
	struct doorbell bell = {
		.addr = 4, .len = 2, .datamatch = 9, .fd = eventfd(0, EFD_NONBLOCK)
	};
	uint64_t n;

	(void)state;
	assert_int_equal(bus_add(b, &r), 0);
	assert_int_equal(bus_doorbell_add(b, &bell), 0);
	bus_write(b, 4, 2, 8);
	bus_write(b, 4, 4, 9);
	assert_int_equal(d.calls, 2);
	assert_int_equal(read(bell.fd, &n, 8), -1);
	bus_write(b, 4, 2, 9);
	assert_int_equal(d.calls, 2);
	assert_int_equal(read(bell.fd, &n, 8), 8);
	bus_doorbell_del(b, &bell);
	bus_write(b, 4, 2, 9);
	assert_int_equal(d.calls, 3);
	close(bell.fd);
	bus_free(b);
}

/* The view of bus b and a plain search among 40 regions agree; region i reads as i. */
static void view_agrees(struct bus *b, const struct io_region *r)
{
	for (unsigned addr = 0; addr < 450; addr++) {
		uint64_t want = 0xff;

		for (unsigned i = 0; i < 40; i++)
			if (r[i].mapped && range_within(addr, 1, r[i].base, r[i].size))
				want = i;
		assert_int_equal(bus_read(b, addr, 1), want);
	}
}

/* Many regions at random places, which come and go. */
static void test_view(void **state)
{
	struct bus *b = bus_new(0x1000);
	struct io_region r[40];
	struct dev d[40];
	unsigned i, rnd = 1;

	(void)state;
	for (i = 0; i < 40; i++) {
		rnd = rnd * 1103515245 + 12345;
		memset(&d[i], (int)i, sizeof(d[i].reg));
		d[i].del = NULL;
		r[i] = (struct io_region){ .base = (rnd >> 8) % 400,
					   .size = 1 + (rnd >> 20) % 16,
					   .ops = &any_ops,
					   .opaque = &d[i],
					   .priority = (int)i };
		assert_int_equal(bus_add(b, &r[i]), 0);
	}
	view_agrees(b, r);
	for (i = 0; i < 200; i++) {
		struct io_region *one = &r[(rnd >> 16) % 40];

		rnd = rnd * 1103515245 + 12345;
		if (one->mapped)
			bus_del(b, one);
		else
			assert_int_equal(bus_add(b, one), 0);
		view_agrees(b, r);
	}
	bus_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	 cmocka_unit_test(test_counts_traps),
		cmocka_unit_test(test_topology), cmocka_unit_test(test_del_inside),
		cmocka_unit_test(test_each),	 cmocka_unit_test(test_doorbell),
		cmocka_unit_test(test_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
