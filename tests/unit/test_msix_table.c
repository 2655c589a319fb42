/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSI-X table and PBA, accessed through the bus like a guest does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/pci/msix_table.h"
#include "tests/unit/fake_root.h"

#define DEVFN	 PCI_DEVFN(3, 0)
#define N	 70u
#define BAR	 0xe0000000u
#define TABLE	 (BAR + 0x1000)
#define PBA	 (BAR + 0x2000)
#define ENTRY(v) (TABLE + (v)*PCI_MSIX_ENTRY_SIZE)
#define BESIDE	 0x77777777u /* the rest of the BAR reads as this value */

struct fixture {
	struct fake_root f;
	struct pci_device dev;
	struct msix_table t;
	pthread_mutex_t lock;
	uint64_t accesses;
	char heard[64]; /* "u5 " for vector 5 unmasked; m: masked, d: another message */
	bool waits[N];
	unsigned beside; /* number of writes that reached the BAR */
};

static void changed(void *opaque, unsigned v, enum msix_change what)
{
	struct fixture *x = opaque;
	size_t len = strlen(x->heard);

	assert_int_equal(pthread_mutex_trylock(&x->lock), EBUSY);
	snprintf(x->heard + len, sizeof(x->heard) - len, "%c%u ",
		 what == MSIX_MESSAGE  ? 'd'
		 : what == MSIX_MASKED ? 'm'
				       : 'u',
		 v);
}

static bool pending(void *opaque, unsigned v)
{
	assert_true(v < N);
	return ((struct fixture *)opaque)->waits[v];
}

static const struct msix_table_ops ops = { changed, pending };

static uint64_t beside_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque, (void)off, (void)size;
	return BESIDE;
}

static void beside_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	(void)off, (void)size, (void)val;
	((struct fixture *)opaque)->beside++;
}

static const struct io_region_ops beside = { .read = beside_read, .write = beside_write };

static void bar_map(struct fixture *x)
{
	pci_cfg_write(&x->f.root, 0, DEVFN, PCI_BASE_ADDRESS_0, 4, BAR);
	pci_cfg_write(&x->f.root, 0, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	uint8_t cap[PCI_CAP_MSIX_SIZEOF] = { 0 };
	int ret;

	fake_root_init(&x->f);
	pthread_mutex_init(&x->lock, NULL);
	pci_device_init(&x->dev, "dev", NULL, 1, 2, 0xff0000, 0);
	pci_set32(cap, PCI_MSIX_TABLE, TABLE - BAR);
	pci_set32(cap, PCI_MSIX_PBA, PBA - BAR);
	ret = msix_table_init(&x->t, N, &ops, x, &x->lock);
	msix_table_place(&x->t, cap);
	x->t.accesses = &x->accesses;
	ret |= pci_add_bar_part(&x->dev, &x->t.table);
	ret |= pci_add_bar_part(&x->dev, &x->t.pba);
	ret |= pci_add_bar(&x->dev, 0, PCI_BAR_MEM32, false, 0x4000, &beside, x);
	ret |= pci_add(&x->f.root, &x->f.root.bus, &x->dev, DEVFN, NULL);
	bar_map(x);
	*state = x;
	return ret;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	pci_remove(&x->dev);
	msix_table_free(&x->t);
	pci_device_destroy(&x->dev);
	pthread_mutex_destroy(&x->lock);
	fake_root_free(&x->f);
	free(x);
	return 0;
}

static uint64_t rd(struct fixture *x, uint64_t at, unsigned size)
{
	return bus_read(x->f.root.mmio, at, size);
}

static void wr(struct fixture *x, uint64_t at, unsigned size, uint64_t val)
{
	bus_write(x->f.root.mmio, at, size, val);
}

static void heard(struct fixture *x, const char *what)
{
	assert_string_equal(x->heard, what);
	x->heard[0] = '\0';
}

static void test_words(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(rd(x, ENTRY(5), 8), 0);
	assert_int_equal(rd(x, ENTRY(5) + 8, 8), 1ull << 32);
	wr(x, ENTRY(5), 8, 0x12345678fee00000);
	wr(x, ENTRY(5) + 8, 4, 0x4041);
	assert_int_equal(rd(x, ENTRY(5) + 4, 4), 0x12345678);
	assert_true(msix_table_address(&x->t, 5) == 0x12345678fee00000);
	assert_int_equal(msix_table_data(&x->t, 5), 0x4041);
	/* The control word has only one bit. */
	wr(x, ENTRY(5) + 12, 4, 0xfffffffe);
	assert_int_equal(rd(x, ENTRY(5) + 12, 4), 0);
	wr(x, ENTRY(5) + 8, 8, 0xffffffff00004042);
	assert_int_equal(rd(x, ENTRY(5) + 8, 8), 0x100004042);
	/* The neighbouring entries, and the last one. */
	assert_int_equal(rd(x, ENTRY(4) + 8, 8), 1ull << 32);
	assert_int_equal(rd(x, ENTRY(6), 8), 0);
	wr(x, ENTRY(N - 1) + 12, 4, 0);
	assert_false(msix_table_own_mask(&x->t, N - 1));
	msix_table_reset(&x->t);
	assert_true(msix_table_own_mask(&x->t, N - 1));
	assert_int_equal(rd(x, ENTRY(5), 8), 0);
}

static void test_tells(void **state)
{
	struct fixture *x = *state;

	wr(x, ENTRY(2), 8, 0xfee00000); /* it is masked, so the owner is not told */
	wr(x, ENTRY(2) + 8, 4, 0x41);
	wr(x, ENTRY(2) + 12, 4, 1);
	heard(x, "");
	wr(x, ENTRY(2) + 12, 4, 0);
	wr(x, ENTRY(2) + 12, 4, 0);
	heard(x, "u2 ");
	wr(x, ENTRY(2) + 8, 4, 0x41); /* the same again */
	heard(x, "");
	wr(x, ENTRY(2) + 8, 4, 0x42);
	wr(x, ENTRY(2), 8, 0x1fee01000);
	heard(x, "d2 d2 d2 ");
	wr(x, ENTRY(2) + 8, 8, 0x100000043);
	heard(x, "d2 m2 ");
	wr(x, ENTRY(2) + 8, 8, 0x44); /* the message is complete before it is unmasked */
	heard(x, "u2 ");
	msix_table_reset(&x->t);
	msix_table_set_flags(&x->t, PCI_MSIX_FLAGS_ENABLE);
	heard(x, "");
}

/* Accesses that the specification leaves undefined. */
static void test_other_sizes(void **state)
{
	struct fixture *x = *state;

	wr(x, ENTRY(1), 4, 0xfee00000);
	for (unsigned size = 1; size <= 3; size++) {
		for (unsigned off = 0; off < 16; off++)
			wr(x, ENTRY(1) + off, size, 0);
		assert_int_equal(rd(x, ENTRY(1) + 1, size), 0);
	}
	for (unsigned off = 1; off < 8; off++) {
		if (off != 4)
			wr(x, ENTRY(1) + off, 4, 0);
		wr(x, ENTRY(1) + off, 8, 0);
		assert_int_equal(rd(x, ENTRY(1) + off, 8), 0);
	}
	wr(x, ENTRY(1) + 12, 8, 0); /* reaches into the next entry, so it is not a qword */
	assert_int_equal(rd(x, ENTRY(1), 4), 0xfee00000);
	assert_int_equal(rd(x, ENTRY(1) + 12, 4), 1);
	assert_int_equal(rd(x, ENTRY(1) + 12, 2), 0);
	/* The bus splits accesses of other lengths. */
	wr(x, ENTRY(1), 5, 0x11fee01000);
	assert_int_equal(rd(x, ENTRY(1), 8), 0xfee01000);
	heard(x, "");
}

/* Accesses that only begin or end in the table, and accesses outside of it. */
static void test_ends(void **state)
{
	struct fixture *x = *state;
	uint64_t end = ENTRY(N);

	wr(x, end, 4, 0);
	wr(x, TABLE - 4, 4, 0);
	assert_int_equal(x->beside, 2);
	assert_int_equal(rd(x, end, 4), BESIDE);
	wr(x, end - 4, 8, 0);
	assert_int_equal(x->beside, 3);
	heard(x, "u69 ");
	assert_int_equal(rd(x, end - 4, 8), (uint64_t)BESIDE << 32);
	wr(x, TABLE - 4, 8, 0x1000ull << 32);
	assert_int_equal(x->beside, 4);
	assert_int_equal(rd(x, TABLE, 4), 0x1000);
	wr(x, TABLE - 2, 4, 0);
	assert_int_equal(rd(x, TABLE, 4), 0x1000);
	wr(x, PBA + 16, 4, 0);
	assert_int_equal(x->beside, 6);
}

static void test_masks(void **state)
{
	struct fixture *x = *state;

	assert_false(msix_table_enabled(&x->t));
	assert_true(msix_table_masked(&x->t, 0));
	wr(x, ENTRY(0) + 12, 4, 0);
	assert_false(msix_table_masked(&x->t, 0));
	msix_table_set_flags(&x->t, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_true(msix_table_enabled(&x->t));
	assert_true(msix_table_masked(&x->t, 0));
	assert_false(msix_table_own_mask(&x->t, 0));
}

static void test_pending_bits(void **state)
{
	struct fixture *x = *state;

	x->waits[1] = x->waits[31] = x->waits[32] = x->waits[63] = x->waits[64] = x->waits[69] =
		true;
	assert_true(rd(x, PBA, 8) == 0x8000000180000002);
	assert_int_equal(rd(x, PBA, 4), 0x80000002);
	assert_int_equal(rd(x, PBA + 4, 4), 0x80000001);
	assert_int_equal(rd(x, PBA + 8, 8), 0x21);
	assert_int_equal(rd(x, PBA + 12, 4), 0);
	for (unsigned size = 1; size < 4; size++)
		assert_int_equal(rd(x, PBA, size), 0);
	assert_int_equal(rd(x, PBA + 4, 8), 0);
	assert_int_equal(rd(x, PBA + 2, 4), 0);
	wr(x, PBA, 8, 0);
	wr(x, PBA, 1, 0xff);
	assert_true(rd(x, PBA, 8) == 0x8000000180000002);
	assert_int_equal(x->beside, 0);
	heard(x, "");
}

static void test_counts(void **state)
{
	struct fixture *x = *state;

	rd(x, TABLE, 4);
	wr(x, TABLE, 8, 1);
	rd(x, TABLE, 1);
	rd(x, PBA, 8);
	wr(x, PBA, 4, 0);
	assert_int_equal(x->accesses, 5);
	rd(x, PBA + 16, 4);
	assert_int_equal(x->accesses, 5);
	x->t.accesses = NULL;
	rd(x, TABLE, 4);
	wr(x, PBA, 4, 0);
}

static void test_follows_its_bar(void **state)
{
	struct fixture *x = *state;

	pci_cfg_write(&x->f.root, 0, DEVFN, PCI_COMMAND, 2, 0);
	wr(x, ENTRY(0) + 12, 4, 0);
	assert_int_equal(rd(x, TABLE, 4), UINT32_MAX);
	pci_cfg_write(&x->f.root, 0, DEVFN, PCI_BASE_ADDRESS_0, 4, BAR + 0x100000);
	pci_cfg_write(&x->f.root, 0, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	heard(x, "");
	wr(x, ENTRY(0) + 0x100000 + 12, 4, 0);
	heard(x, "u0 ");
}

static void test_bad_counts(void **state)
{
	struct msix_table t = { 0 };

	(void)state;
	msix_table_free(&t);
	assert_int_equal(msix_table_init(&t, 0, &ops, NULL, NULL), -EINVAL);
	assert_int_equal(msix_table_init(&t, MSIX_MAX_VECTORS + 1, &ops, NULL, NULL), -EINVAL);
	msix_table_free(&t);
	assert_int_equal(msix_table_init(&t, MSIX_MAX_VECTORS, &ops, NULL, NULL), 0);
	assert_true(msix_table_masked(&t, MSIX_MAX_VECTORS - 1));
	msix_table_free(&t);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_words),	T(test_tells),		 T(test_other_sizes),
		T(test_ends),	T(test_masks),		 T(test_pending_bits),
		T(test_counts), T(test_follows_its_bar), cmocka_unit_test(test_bad_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
