/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/chipset/pflash.h"
#include "vmm/core/mem.h"

#define BASE 0xffc00000u
#define SIZE 0x4000u

struct fixture {
	struct bus *mmio;
	struct guest_mem *mem;
	uint8_t *data;
	struct pflash flash;
	struct mem_listener slots;
	unsigned adds, dels;
	uint8_t stored[SIZE];
	int store_error;
};

static int on_add(struct mem_listener *l, const struct mem_range *r)
{
	struct fixture *f = container_of(l, struct fixture, slots);

	assert_int_equal(r->kind, MEM_ROM);
	assert_false(r->dma);
	f->adds++;
	return 0;
}

static void on_del(struct mem_listener *l, const struct mem_range *r)
{
	(void)r;
	container_of(l, struct fixture, slots)->dels++;
}

static int make(void **state, bool readonly)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mmio = bus_new(1ull << 52);
	f->mem = guest_mem_new();
	f->slots.add = on_add;
	f->slots.del = on_del;
	guest_mem_listen(f->mem, &f->slots);
	f->data = aligned_alloc(4096, SIZE);
	memset(f->data, 0x8d, SIZE);
	*state = f;
	return pflash_init(&f->flash, "nvram", f->mmio, f->mem, BASE, f->data, SIZE, readonly);
}

static int setup(void **state)
{
	return make(state, false);
}

static int setup_readonly(void **state)
{
	return make(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	uint8_t b;

	pflash_destroy(&f->flash);
	assert_int_equal(guest_mem_read(f->mem, GPA(BASE), &b, 1), -EFAULT);
	assert_int_equal(f->adds, f->dels);
	guest_mem_free(f->mem);
	bus_free(f->mmio);
	free(f->data);
	free(f);
	return 0;
}

/* Reads like a guest: from the memslot if it exists, otherwise through the bus. */
static uint8_t rd(struct fixture *f, uint32_t off)
{
	uint8_t b;

	if (guest_mem_read(f->mem, GPA(BASE + off), &b, 1) == 0)
		return b;
	return (uint8_t)bus_read(f->mmio, BASE + off, 1);
}

static void wr(struct fixture *f, uint32_t off, unsigned b)
{
	bus_write(f->mmio, BASE + off, 1, b);
}

/* QemuFlashDetected() of the OVMF in bookworm and trixie. */
static void test_detection(void **state)
{
	struct fixture *f = *state;

	wr(f, 0x10, 0x50);
	assert_int_equal(rd(f, 0x10), 0x8d);
	wr(f, 0x10, 0x70);
	assert_int_equal(rd(f, 0x10), 0x00);
	wr(f, 0x10, 0xff);
	assert_int_equal(rd(f, 0x10), 0x8d);
	wr(f, 0x10, 0x10);
	wr(f, 0x10, 0x8d);
	wr(f, 0x10, 0x70);
	assert_int_equal(rd(f, 0x10), 0x80);
	wr(f, 0x10, 0xff);
	assert_int_equal(rd(f, 0x10), 0x8d);
	assert_int_equal(f->adds, 3);
}

static void test_program_and_erase(void **state)
{
	struct fixture *f = *state;
	unsigned adds = f->adds;

	for (uint32_t i = 0; i < 256; i++) {
		wr(f, 0x1000 + i, i & 1 ? 0x40 : 0x10);
		wr(f, 0x1000 + i, i);
		assert_int_equal(rd(f, 0x1000 + i), i);
	}
	wr(f, 0x1123, 0x20);
	wr(f, 0x1123, 0xd0);
	assert_int_equal(rd(f, 0x0fff), 0x8d);
	assert_int_equal(rd(f, 0x1000), 0xff);
	assert_int_equal(rd(f, 0x1fff), 0xff);
	assert_int_equal(rd(f, 0x2000), 0x8d);
	assert_int_equal(f->adds, adds); /* the memslot stayed all the time */
	assert_int_equal(f->dels, 0);
}

static void test_broken_sequences(void **state)
{
	struct fixture *f = *state;

	wr(f, 0, 0x20);
	wr(f, 0, 0x11); /* not confirmed */
	assert_int_equal(rd(f, 0), 0x8d);
	wr(f, 0, 0x70);
	assert_int_equal(rd(f, 0), 0x90);
	wr(f, 0, 0x10); /* programs a byte in status mode */
	wr(f, 0, 0x42);
	assert_int_equal(rd(f, 0), 0x90);
	wr(f, 0, 0x50);
	assert_int_equal(rd(f, 0), 0x42);
	wr(f, 0, 0x33); /* unknown */
	assert_int_equal(rd(f, 0), 0x42);
	bus_write(f->mmio, BASE + SIZE - 4, 8, 0x4040404040404040); /* beyond the end */
	bus_write(f->mmio, BASE + 4, 4, 0x07100610);		    /* bytes, in order */
	assert_int_equal(rd(f, 5), 0x06);
	assert_int_equal(rd(f, 7), 0x07);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	wr(f, 0, 0x70);
	wr(f, 0, 0x10);
	pflash_reset(&f->flash);
	assert_int_equal(rd(f, 0), 0x8d);
	wr(f, 0, 0x70);
	assert_int_equal(rd(f, 0), 0);
}

static void test_readonly(void **state)
{
	struct fixture *f = *state;

	wr(f, 0x10, 0x10);
	wr(f, 0x10, 0x00);
	wr(f, 0x10, 0x70);
	/* it is a ROM, so OVMF sees that the byte has not changed */
	assert_int_equal(rd(f, 0x10), 0x8d);
	assert_int_equal(f->dels, 0);
}

static int on_store(void *arg, uint64_t off, const void *data, size_t len)
{
	struct fixture *f = arg;

	if (f->store_error)
		return f->store_error;
	memcpy(f->stored + off, data, len);
	return 0;
}

static unsigned status(struct fixture *f)
{
	unsigned s;

	wr(f, 0, 0x70);
	s = rd(f, 0);
	wr(f, 0, 0xff);
	return s;
}

/* Data is stored first; if this fails, it does not change. Errors stay until they are cleared. */
static void test_store(void **state)
{
	struct fixture *f = *state;

	pflash_set_store(&f->flash, on_store, f);
	wr(f, 0x1001, 0x40);
	wr(f, 0x1001, 0x5a);
	assert_int_equal(f->stored[0x1001], 0x5a);
	wr(f, 0x2fff, 0x20);
	wr(f, 0x2fff, 0xd0);
	assert_int_equal(f->stored[0x2000], 0xff);
	assert_int_equal(f->stored[0x2fff], 0xff);
	assert_int_equal(f->stored[0x3000], 0);
	assert_int_equal(status(f), 0x80);
	f->store_error = -ENOSPC;
	wr(f, 0x1001, 0x40);
	wr(f, 0x1001, 0x00);
	assert_int_equal(rd(f, 0x1001), 0x5a);
	assert_int_equal(status(f), 0x90);
	wr(f, 0x1001, 0x20);
	wr(f, 0x1001, 0xd0);
	assert_int_equal(rd(f, 0x1001), 0x5a);
	f->store_error = 0;
	wr(f, 0x1002, 0x40);
	wr(f, 0x1002, 0x01);
	assert_int_equal(rd(f, 0x1002), 0x01);
	assert_int_equal(status(f), 0xb0);
	wr(f, 0, 0x50);
	assert_int_equal(status(f), 0);
}

static void test_init_errors(void **state)
{
	struct fixture *f = *state;
	struct pflash two;

	assert_int_equal(pflash_init(&two, "x", f->mmio, f->mem, BASE + 1, f->data, SIZE, true),
			 -EINVAL);
	assert_int_equal(pflash_init(&two, "x", f->mmio, f->mem, BASE, f->data, 100, true),
			 -EINVAL);
	assert_int_equal(pflash_init(&two, "x", f->mmio, f->mem, BASE, f->data, SIZE, true),
			 -EEXIST);
}

#define T(fn, how) cmocka_unit_test_setup_teardown(fn, how, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_detection, setup),   T(test_program_and_erase, setup),
		T(test_store, setup),	    T(test_broken_sequences, setup),
		T(test_reset, setup),	    T(test_readonly, setup_readonly),
		T(test_init_errors, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
