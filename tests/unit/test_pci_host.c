/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "devices/chipset/acpi_pm.h"
#include "devices/chipset/ich9_lpc.h"
#include "devices/pci/pci_host.h"
#include "tests/unit/fake_root.h"

struct fixture {
	struct fake_root fake;
	struct pci_root *root;
	struct pci_host host;
	struct acpi_pm pm;
	struct ich9_lpc lpc;
	unsigned resets;
};

static void on_reset(void *arg)
{
	((struct fixture *)arg)->resets++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ret;

	fake_root_init(&f->fake);
	f->root = &f->fake.root;
	f->host.rst_cnt = &ich9_rst_cnt_ops;
	f->host.rst_cnt_opaque = &f->lpc;
	f->lpc.reset = on_reset;
	f->lpc.reset_arg = f;
	ret = acpi_pm_init(&f->pm, f->root->pio, f->root->irq, NULL);
	ret |= pci_host_init(&f->host, f->root, NULL);
	ret |= ich9_lpc_init(&f->lpc, f->root, &f->pm, NULL);
	*state = f;
	return ret;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ich9_lpc_destroy(&f->lpc);
	pci_host_destroy(&f->host);
	acpi_pm_destroy(&f->pm);
	fake_root_free(&f->fake);
	free(f);
	return 0;
}

static uint32_t in(struct fixture *f, unsigned port, unsigned size)
{
	return (uint32_t)bus_read(f->root->pio, port, size);
}

static void out(struct fixture *f, unsigned port, unsigned size, uint32_t v)
{
	bus_write(f->root->pio, port, size, v);
}

static void cf8_write(struct fixture *f, unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
	out(f, 0xcf8, 4, 0x80000000 | devfn << 8 | (off & 0xfc));
	out(f, 0xcfc + (off & 3), size, v);
}

static uint32_t cf8_read(struct fixture *f, unsigned devfn, unsigned off, unsigned size)
{
	out(f, 0xcf8, 4, 0x80000000 | devfn << 8 | (off & 0xfc));
	return in(f, 0xcfc + (off & 3), size);
}

static void test_cf8(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(in(f, 0xcfc, 4), UINT32_MAX); /* disabled */
	assert_int_equal(cf8_read(f, 0, 0, 4), 0x29c08086);
	assert_int_equal(cf8_read(f, 0, 2, 2), 0x29c0);
	assert_int_equal(cf8_read(f, 0, 3, 1), 0x29);
	assert_int_equal(cf8_read(f, 0, 1, 2), 0xc080);
	assert_int_equal(cf8_read(f, 0, 9, 1), 0x00);
	assert_int_equal(cf8_read(f, 0, 0xb, 1), 0x06);
	assert_int_equal(cf8_read(f, PCI_DEVFN(31, 0), 0, 4), 0x29188086);
	assert_int_equal(cf8_read(f, PCI_DEVFN(31, 1), 0, 4), UINT32_MAX);
	/* CONFIG_ADDRESS is saved and restored by firmware. */
	out(f, 0xcf8, 4, 0xffffffff);
	assert_int_equal(in(f, 0xcf8, 4), 0x80fffffc);
	out(f, 0xcf8, 2, 0);
	assert_int_equal(in(f, 0xcf8, 4), 0x80fffffc);
	assert_int_equal(in(f, 0xcf8, 2), 0xffff);
}

static void test_ecam_follows(void **state)
{
	struct fixture *f = *state;
	uint64_t base;

	assert_int_equal(pci_host_ecam(&f->host, &base), 0);
	assert_int_equal(bus_read(f->root->mmio, 0xb0000000, 4), UINT32_MAX);
	cf8_write(f, 0, 0x60, 4, 0); /* as OVMF does */
	cf8_write(f, 0, 0x64, 4, 0);
	cf8_write(f, 0, 0x60, 4, 0xb0000001);
	assert_int_equal(bus_read(f->root->mmio, 0xb0000000, 4), 0x29c08086);
	assert_int_equal(bus_read(f->root->mmio, 0xb0000002, 2), 0x29c0);
	assert_int_equal(bus_read(f->root->mmio, 0xb0000001, 2), 0xc080);
	assert_int_equal(bus_read(f->root->mmio, 0xb00f8000, 8), 0x0000000029188086);
	assert_int_equal(bus_read(f->root->mmio, 0xb0100000, 4), UINT32_MAX); /* bus 1 */
	assert_int_equal(pci_host_ecam(&f->host, &base), 256 * MiB);
	assert_int_equal(base, 0xb0000000);
	/* The window is moved by a write through itself, and made 64 MiB large. */
	bus_write(f->root->mmio, 0xb0000060, 4, 0xe4000005);
	assert_int_equal(bus_read(f->root->mmio, 0xb0000000, 4), UINT32_MAX);
	assert_int_equal(bus_read(f->root->mmio, 0xe4000000, 4), 0x29c08086);
	assert_int_equal(bus_read(f->root->mmio, 0xe8000000, 4), UINT32_MAX);
	assert_int_equal(pci_host_ecam(&f->host, &base), 64 * MiB);
	bus_write(f->root->mmio, 0xe4000060, 4, 0xe4000007); /* reserved length */
	assert_int_equal(bus_read(f->root->mmio, 0xe4000000, 4), UINT32_MAX);
	cf8_write(f, 0, 0x60, 4, 0xe0000003);
	assert_int_equal(pci_host_ecam(&f->host, &base), 128 * MiB);
	cf8_write(f, 0, 0x60, 4, 0x00000001); /* over RAM */
	assert_int_equal(pci_host_ecam(&f->host, &base), 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;
	uint64_t base;

	pci_host_set_ecam(&f->host, 0xe0000000);
	ich9_lpc_set_pmbase(&f->lpc);
	assert_int_equal(bus_read(f->root->mmio, 0xe0000000, 4), 0x29c08086);
	assert_int_equal(in(f, 0x604, 2), 1);
	pci_reset_all(f->root);
	assert_int_equal(pci_host_ecam(&f->host, &base), 0);
	assert_int_equal(bus_read(f->root->mmio, 0xe0000000, 4), UINT32_MAX);
	assert_int_equal(in(f, 0x604, 2), 0xffff);
	assert_int_equal(cf8_read(f, PCI_DEVFN(31, 0), 0x40, 4), 1);
	assert_int_equal(cf8_read(f, PCI_DEVFN(31, 0), 0x60, 4), 0x80808080);
}

struct mover {
	struct fixture *f;
	unsigned seed;
};

/* A hostile guest: every vCPU moves the window, through the ports and through the window itself. */
static void *move_around(void *arg)
{
	struct mover *m = arg;

	for (unsigned i = 0; i < 2000; i++) {
		uint32_t to = 0xb0000000 + ((i * 7 + m->seed) % 4) * 0x10000000;

		bus_write(m->f->root->mmio, 0xb0000060 + ((i + m->seed) % 4) * 0x10000000ull, 4,
			  to | 1);
		out(m->f, 0xcf8, 4, 0x80000060);
		out(m->f, 0xcfc, 4, to | (i & 1));
	}
	return NULL;
}

static void test_moved_by_many(void **state)
{
	struct fixture *f = *state;
	struct mover m[4];
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++) {
		m[i] = (struct mover){ f, i };
		assert_int_equal(pthread_create(&t[i], NULL, move_around, &m[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	cf8_write(f, 0, 0x60, 4, 0xe0000001);
	assert_int_equal(bus_read(f->root->mmio, 0xe0000000, 4), 0x29c08086);
}

static void test_reset_control(void **state)
{
	struct fixture *f = *state;

	out(f, 0xcf8, 4, 0x80000600); /* a dword that contains 0xcf9 causes no reset */
	assert_int_equal(f->resets, 0);
	out(f, 0xcf9, 1, 0x02);
	assert_int_equal(f->resets, 0);
	assert_int_equal(in(f, 0xcf9, 1), 0x02);
	out(f, 0xcf9, 1, 0x06);
	assert_int_equal(f->resets, 1);
	assert_int_equal(in(f, 0xcf8, 4), 0x80000600);
	pci_reset_all(f->root);
	out(f, 0xcf9, 1, 0x0f); /* the reset value of the FADT */
	assert_int_equal(f->resets, 2);
	out(f, 0x92, 1, in(f, 0x92, 1) | 2);
	assert_int_equal(f->resets, 2);
	out(f, 0x92, 1, 3);
	assert_int_equal(f->resets, 3);
	assert_int_equal(in(f, 0xb2, 1), 0xff);
}

static void test_lpc(void **state)
{
	struct fixture *f = *state;
	const unsigned lpc = PCI_DEVFN(31, 0);

	assert_int_equal(cf8_read(f, lpc, 8, 4) >> 8, 0x060100);
	cf8_write(f, lpc, 4, 2, 7);
	assert_int_equal(cf8_read(f, lpc, 4, 2), 7);
	cf8_write(f, lpc, 0x40, 4, 0x601);
	assert_int_equal(cf8_read(f, lpc, 0x40, 4), 0x601);
	assert_int_equal(in(f, 0x604, 2), 0xffff); /* not readable before ACPI_EN is set */
	cf8_write(f, lpc, 0x44, 1, 0x80);
	assert_int_equal(in(f, 0x604, 2), 1);
	cf8_write(f, lpc, 0x40, 4, 0xb00);
	assert_int_equal(in(f, 0x604, 2), 0xffff);
	assert_int_equal(in(f, 0xb04, 2), 1);
	cf8_write(f, lpc, 0xf0, 4, 0xfed1c001);
	assert_int_equal(cf8_read(f, lpc, 0xf0, 4), 0xfed1c001);
	cf8_write(f, lpc, 0x60, 4, 0x0b0b0a0a);
	assert_int_equal(cf8_read(f, lpc, 0x60, 4), 0x0b0b0a0a);
	cf8_write(f, lpc, 0x40, 4, 0x0);
	assert_int_equal(in(f, 0xb04, 2), 0xffff);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_cf8),	       T(test_ecam_follows),  T(test_reset),
		T(test_moved_by_many), T(test_reset_control), T(test_lpc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
