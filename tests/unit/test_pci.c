/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_root.h"

static uint64_t reg_read(void *opaque, uint64_t off, unsigned size)
{
	(void)size;
	return (uint64_t)(uintptr_t)opaque + off;
}

static void reg_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	(void)opaque, (void)off, (void)size, (void)val;
}

static const struct io_region_ops reg_ops = { reg_read, reg_write, 1, 4 };

struct fixture {
	struct fake_root fake;
	struct pci_root *root;
	struct pci_device dev, port, below;
	char events[64];
	unsigned n_events;
	unsigned resets;
};

static struct fixture *fixture_of(struct pci_device *dev)
{
	return container_of(dev, struct fixture, dev);
}

static void on_mapped(struct pci_device *dev, unsigned n, bool mapped)
{
	struct fixture *f = fixture_of(dev);

	if (f->n_events + 2 < sizeof(f->events)) {
		f->events[f->n_events++] = mapped ? '+' : '-';
		f->events[f->n_events++] = (char)('0' + n);
	}
}

static void on_reset(struct pci_device *dev)
{
	fixture_of(dev)->resets++;
}

static const struct pci_device_ops dev_ops = { .bar_mapped = on_mapped, .reset = on_reset };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ret;

	fake_root_init(&f->fake);
	f->root = &f->fake.root;
	pci_device_init(&f->dev, "dev", &dev_ops, 0x1234, 0x5678, 0x020000, 1);
	ret = pci_add_bar(&f->dev, 0, PCI_BAR_MEM32, false, 0x1000, &reg_ops, (void *)0x100);
	ret |= pci_add_bar(&f->dev, 1, PCI_BAR_IO, false, 0x20, &reg_ops, (void *)0x200);
	ret |= pci_add_bar(&f->dev, 2, PCI_BAR_MEM64, true, 2 * GiB, &reg_ops, (void *)0x300);
	ret |= pci_add_bar(&f->dev, PCI_ROM_BAR, PCI_BAR_MEM32, false, 0x10000, &reg_ops,
			   (void *)0x400);
	ret |= pci_add(f->root, &f->root->bus, &f->dev, PCI_DEVFN(3, 0), NULL);
	pci_device_init(&f->port, "port", NULL, 0x1b36, 0xc, 0x060400, 0);
	ret |= pci_bridge_init(&f->port);
	ret |= pci_add(f->root, &f->root->bus, &f->port, PCI_DEVFN(4, 0), NULL);
	pci_device_init(&f->below, "below", NULL, 0x1234, 1, 0x020000, 0);
	ret |= pci_add_bar(&f->below, 0, PCI_BAR_MEM32, false, 0x1000, &reg_ops, (void *)0x500);
	ret |= pci_add_bar(&f->below, 2, PCI_BAR_MEM64, true, 0x4000, &reg_ops, (void *)0x600);
	ret |= pci_add_bar(&f->below, 4, PCI_BAR_IO, false, 0x10, &reg_ops, (void *)0x700);
	ret |= pci_add(f->root, f->port.secondary, &f->below, 0, NULL);
	*state = f;
	return ret;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->dev.root)
		pci_remove(&f->dev);
	pci_remove(&f->below);
	pci_remove(&f->port);
	pci_device_destroy(&f->dev);
	pci_device_destroy(&f->below);
	pci_device_destroy(&f->port);
	fake_root_free(&f->fake);
	free(f);
	return 0;
}

#define DEV  PCI_DEVFN(3, 0)
#define PORT PCI_DEVFN(4, 0)

static uint32_t rd(struct fixture *f, unsigned devfn, unsigned off, unsigned size)
{
	return pci_cfg_read(f->root, 0, (uint8_t)devfn, off, size);
}

static void wr(struct fixture *f, unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
	pci_cfg_write(f->root, 0, (uint8_t)devfn, off, size, v);
}

static void expect_events(struct fixture *f, const char *want)
{
	f->events[f->n_events] = 0;
	assert_string_equal(f->events, want);
	f->n_events = 0;
}

static void test_ids_and_absent(void **state)
{
	struct fixture *f = *state;
	char where[8];

	assert_int_equal(rd(f, DEV, 0, 4), 0x56781234);
	assert_int_equal(rd(f, DEV, 1, 2), 0x7812); /* an unaligned access is done byte by byte */
	assert_int_equal(rd(f, DEV, PCI_CLASS_REVISION, 4), 0x02000001);
	assert_int_equal(rd(f, PCI_DEVFN(9, 0), 0, 4), UINT32_MAX);
	assert_int_equal(rd(f, PCI_DEVFN(9, 0), 0, 2), 0xffff);
	assert_int_equal(rd(f, PCI_DEVFN(9, 0), 0, 1), 0xff);
	assert_int_equal(pci_cfg_read(f->root, 7, 0, 0, 4), UINT32_MAX);
	assert_int_equal(rd(f, DEV, 0xfff, 4), UINT32_MAX);
	assert_int_equal(rd(f, DEV, 0x1000, 1), 0xff);
	wr(f, DEV, 0xfff, 4, 0);
	wr(f, DEV, 0, 4, 0); /* read-only */
	assert_int_equal(rd(f, DEV, 0, 4), 0x56781234);
	for (unsigned off = 0x100; off < 0x1000; off += 4) {
		wr(f, DEV, off, 4, UINT32_MAX); /* behind the masks */
		assert_int_equal(rd(f, DEV, off, 4), 0);
	}
	assert_string_equal(pci_where(&f->dev, where), "00:03.0");
}

static void test_add_errors(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct pci_device d;

	pci_device_init(&d, "late", NULL, 1, 1, 0, 0);
	assert_int_equal(pci_add(f->root, &f->root->bus, &d, DEV, &err), -EBUSY);
	assert_non_null(strstr(err.text, "dev"));
	assert_int_equal(pci_add_bar(&d, 0, PCI_BAR_MEM32, false, 24, NULL, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&d, 0, PCI_BAR_MEM32, false, 8, NULL, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&d, 5, PCI_BAR_MEM64, false, 64, NULL, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&d, 7, PCI_BAR_MEM32, false, 64, NULL, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&d, 1, PCI_BAR_MEM64, false, 64, NULL, NULL), 0);
	assert_int_equal(pci_add_bar(&d, 2, PCI_BAR_MEM32, false, 64, NULL, NULL), -EBUSY);
	assert_int_equal(pci_add_bar(&d, 0, PCI_BAR_MEM64, false, 64, NULL, NULL), -EBUSY);
	assert_int_equal(pci_add_bar(&d, PCI_ROM_BAR, PCI_BAR_IO, false, 4096, NULL, NULL),
			 -EINVAL);
	assert_int_equal(pci_add_intx(&d, 1), -EINVAL);
	/* One that was only placed leaves the other device where it is. */
	pci_place(f->root, &f->root->bus, &d, DEV);
	assert_int_equal(pci_add_intx(&d, 1), 0);
	pci_set_intx(&d, true);
	assert_true(f->fake.line[pci_slot_gsi(DEV >> 3, 0)]);
	assert_int_equal(pci_add(f->root, &f->root->bus, &d, DEV, &err), -EBUSY);
	pci_remove(&d);
	assert_false(f->fake.line[pci_slot_gsi(DEV >> 3, 0)]);
	assert_int_equal(rd(f, DEV, 0, 4), 0x56781234);
	pci_device_destroy(&d);
}

static void test_bar_sizing(void **state)
{
	struct fixture *f = *state;

	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_0, 4), 0xfffff000);
	wr(f, DEV, PCI_BASE_ADDRESS_1, 4, UINT32_MAX);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_1, 4), 0xffffffe1);
	wr(f, DEV, PCI_BASE_ADDRESS_2, 4, UINT32_MAX);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_2, 4), 0x8000000c);
	wr(f, DEV, PCI_BASE_ADDRESS_3, 4, UINT32_MAX);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_3, 4), UINT32_MAX);
	wr(f, DEV, PCI_ROM_ADDRESS, 4, 0xfffffffe);
	assert_int_equal(rd(f, DEV, PCI_ROM_ADDRESS, 4), 0xffff0000);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_5, 4), 0);
	expect_events(f, "");
	assert_int_equal(pci_bar_addr(&f->dev, 2), 0);
	/* The size mask of a 2 GiB BAR is a valid address if the guest writes it as an address. */
	wr(f, DEV, PCI_BASE_ADDRESS_2, 4, 0x80000000);
	expect_events(f, "");
	wr(f, DEV, PCI_BASE_ADDRESS_3, 4, 0x38);
	expect_events(f, "+2");
	assert_true(f->dev.bar[2].addr == 0x3880000000);
	assert_int_equal(bus_read(f->root->mmio, 0x3880000010, 4), 0x310);
}

static void test_bar_map_and_move(void **state)
{
	struct fixture *f = *state;

	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0000000);
	wr(f, DEV, PCI_BASE_ADDRESS_1, 4, 0x6000);
	expect_events(f, "");
	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	expect_events(f, "+0");
	assert_int_equal(bus_read(f->root->mmio, 0xc0000ffc, 4), 0x10fc);
	wr(f, DEV, PCI_COMMAND, 1, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	expect_events(f, "+1");
	assert_int_equal(bus_read(f->root->pio, 0x6004, 4), 0x204);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0100000);
	expect_events(f, "-0+0");
	assert_int_equal(bus_read(f->root->mmio, 0xc0000000, 4), UINT32_MAX);
	assert_int_equal(bus_read(f->root->mmio, 0xc0100000, 4), 0x100);
	/* While the BAR is sized with decoding on, it is unmapped; then it returns to its address.
	 */
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	expect_events(f, "-0");
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0100000);
	expect_events(f, "+0");
	wr(f, DEV, PCI_COMMAND, 2, 0);
	expect_events(f, "-0-1");
	assert_int_equal(bus_read(f->root->pio, 0x6004, 4), UINT32_MAX);
}

static void test_bar_never_on_reset_vector(void **state)
{
	struct fixture *f = *state;

	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 2, 0xf000);
	wr(f, DEV, PCI_BASE_ADDRESS_0 + 2, 2, 0xffff);
	wr(f, DEV, PCI_BASE_ADDRESS_2, 4, 0x80000000); /* high half 0: would end at 4 GiB */
	expect_events(f, "+0-0");		       /* 0000f000 on the way */
	wr(f, DEV, PCI_BASE_ADDRESS_3, 4, 0xfffffff0); /* beyond 2^52 */
	expect_events(f, "");
}

static void test_bar_conflict(void **state)
{
	struct fixture *f = *state;
	struct pci_device two;

	pci_device_init(&two, "two", NULL, 1, 1, 0, 0);
	assert_int_equal(
		pci_add_bar(&two, 0, PCI_BAR_MEM32, false, 0x1000, &reg_ops, (void *)0x900), 0);
	assert_int_equal(pci_add(f->root, &f->root->bus, &two, PCI_DEVFN(5, 0), NULL), 0);
	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0000000);
	wr(f, PCI_DEVFN(5, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(f, PCI_DEVFN(5, 0), PCI_BASE_ADDRESS_0, 4, 0xc0000000);
	assert_false(two.bar[0].mapped);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0001000);
	assert_true(two.bar[0].mapped); /* it is mapped when the other one leaves */
	assert_int_equal(bus_read(f->root->mmio, 0xc0000000, 4), 0x900);
	wr(f, PCI_DEVFN(5, 0), PCI_BASE_ADDRESS_0, 4, 0xc0001000);
	assert_false(two.bar[0].mapped);
	pci_remove(&f->dev);
	assert_true(two.bar[0].mapped);
	pci_remove(&two);
	assert_int_equal(bus_read(f->root->mmio, 0xc0001000, 4), UINT32_MAX);
	pci_device_destroy(&two);
}

static struct pci_bar_part part_at(unsigned bar, uint64_t off, uint64_t size, uintptr_t what)
{
	return (struct pci_bar_part){ .bar = bar,
				      .off = off,
				      .what = "a part",
				      .why = "to test it",
				      .region = { .size = size,
						  .ops = &reg_ops,
						  .opaque = (void *)what,
						  .priority = PCI_PRIO_PART } };
}

/* Parts are mapped together with their BAR, and only then. */
static void test_bar_parts(void **state)
{
	struct fixture *f = *state;
	struct pci_bar_part mem = part_at(0, 0x800, 0x10, 0x9000);
	struct pci_bar_part high = part_at(0, 0x804, 8, 0xa000), io = part_at(1, 0, 4, 0xb000);
	struct pci_bar_part outside = part_at(0, 0xff8, 16, 0), more = mem;
	struct io_place p;

	high.region.priority = PCI_PRIO_MIRROR;
	more.bar = PCI_ROM_BAR;
	assert_int_equal(pci_add_bar_part(&f->dev, &more), -EINVAL);
	assert_int_equal(pci_add_bar_part(&f->dev, &mem), 0);
	assert_int_equal(pci_add_bar_part(&f->dev, &high), 0);
	assert_int_equal(pci_add_bar_part(&f->dev, &io), 0);
	assert_int_equal(pci_add_bar_part(&f->dev, &outside), 0);
	assert_int_equal(pci_add_bar_part(&f->dev, &more), -EINVAL);
	more.bar = 0;
	assert_int_equal(pci_add_bar_part(&f->dev, &more), -ENOSPC);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0000000);
	wr(f, DEV, PCI_BASE_ADDRESS_1, 4, 0x6000);
	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(bus_read(f->root->mmio, 0xc00007fc, 4), 0x8fc);
	assert_int_equal(bus_read(f->root->mmio, 0xc0000800, 4), 0x9000);
	assert_int_equal(bus_read(f->root->mmio, 0xc0000804, 4), 0xa000);
	assert_int_equal(bus_read(f->root->mmio, 0xc000080c, 4), 0x900c);
	assert_int_equal(bus_read(f->root->mmio, 0xc0000810, 4), 0x910);
	assert_int_equal(bus_read(f->root->mmio, 0xc0000ff8, 4), 0x10f8);
	assert_int_equal(bus_read(f->root->pio, 0x6000, 4), 0xb000);
	assert_int_equal(bus_read(f->root->pio, 0x6004, 4), 0x204);
	bus_explain(&mem.region, 4, &p);
	assert_string_equal(p.device, "dev");
	assert_string_equal(p.where, "BAR 0");
	assert_string_equal(p.cause, "a part: to test it");
	assert_int_equal(p.off, 0x804);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0100000);
	assert_int_equal(bus_read(f->root->mmio, 0xc0000800, 4), UINT32_MAX);
	assert_int_equal(bus_read(f->root->mmio, 0xc0100800, 4), 0x9000);
	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(bus_read(f->root->mmio, 0xc0100800, 4), UINT32_MAX);
	assert_int_equal(bus_read(f->root->pio, 0x6000, 4), 0xb000);
	pci_remove(&f->dev);
	assert_int_equal(bus_read(f->root->pio, 0x6000, 4), UINT32_MAX);
}

/* If a BAR loses a conflict, none of its parts stays mapped. */
static void test_bar_parts_conflict(void **state)
{
	struct fixture *f = *state;
	struct pci_bar_part one = part_at(0, 0, 0x10, 0x9000), same = part_at(0, 8, 0x10, 0xa000);
	struct io_region other = {
		.base = 0xc0000000, .size = 0x1000, .ops = &reg_ops, .opaque = (void *)0x700
	};

	assert_int_equal(pci_add_bar_part(&f->dev, &one), 0);
	assert_int_equal(bus_add(f->root->mmio, &other), 0);
	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0000000);
	assert_int_equal(bus_read(f->root->mmio, 0xc0000000, 4), 0x700);
	/* If a part cannot be mapped, its BAR is not mapped either. */
	assert_int_equal(pci_add_bar_part(&f->dev, &same), 0);
	expect_events(f, "");
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xc0002000);
	expect_events(f, "");
	assert_int_equal(bus_read(f->root->mmio, 0xc0002000, 4), UINT32_MAX);
	bus_del(f->root->mmio, &other);
}

static void test_rom(void **state)
{
	struct fixture *f = *state;

	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(f, DEV, PCI_ROM_ADDRESS, 4, 0xd0000000);
	expect_events(f, "");
	wr(f, DEV, PCI_ROM_ADDRESS, 4, 0xd0000001);
	expect_events(f, "+6");
	assert_int_equal(bus_read(f->root->mmio, 0xd0000002, 1), 0x02);
	wr(f, DEV, PCI_ROM_ADDRESS, 4, 0xd0000000);
	expect_events(f, "-6");
}

static void bridge_open(struct fixture *f)
{
	wr(f, PORT, PCI_PRIMARY_BUS, 4, 0x00090500); /* secondary 5, subordinate 9 */
	wr(f, PORT, PCI_IO_BASE, 2, 0x7070);	     /* 0x7000-0x7fff */
	wr(f, PORT, PCI_MEMORY_BASE, 4, 0xc110c100);
	wr(f, PORT, PCI_PREF_MEMORY_BASE, 4, 0x00100000);
	wr(f, PORT, PCI_PREF_BASE_UPPER32, 4, 0x38);
	wr(f, PORT, PCI_PREF_LIMIT_UPPER32, 4, 0x38);
}

static void below_place(struct fixture *f)
{
	pci_cfg_write(f->root, 5, 0, PCI_BASE_ADDRESS_0, 4, 0xc1000000);
	pci_cfg_write(f->root, 5, 0, PCI_BASE_ADDRESS_2, 4, 0x00004000);
	pci_cfg_write(f->root, 5, 0, PCI_BASE_ADDRESS_3, 4, 0x38);
	pci_cfg_write(f->root, 5, 0, PCI_BASE_ADDRESS_4, 4, 0x7000);
	pci_cfg_write(f->root, 5, 0, PCI_COMMAND, 2, 3);
}

static void test_bus_numbers(void **state)
{
	struct fixture *f = *state;
	char where[8];

	assert_int_equal(pci_cfg_read(f->root, 5, 0, 0, 4), UINT32_MAX);
	assert_int_equal(pci_buses(f->root), 2);
	bridge_open(f);
	assert_int_equal(pci_buses(f->root), 10);
	assert_int_equal(pci_cfg_read(f->root, 5, 0, 0, 4), 0x00011234);
	assert_int_equal(pci_cfg_read(f->root, 6, 0, 0, 4), UINT32_MAX);
	assert_int_equal(pci_cfg_read(f->root, 5, 8, 0, 4), UINT32_MAX);
	assert_int_equal(pci_rid(&f->below), 0x500);
	wr(f, PORT, PCI_SECONDARY_BUS, 1, 2);
	assert_string_equal(pci_where(&f->below, where), "02:00.0");
	assert_int_equal(pci_cfg_read(f->root, 2, 0, 0, 4), 0x00011234);
	assert_int_equal(pci_cfg_read(f->root, 5, 0, 0, 4), UINT32_MAX);
}

static void test_bridge_windows(void **state)
{
	struct fixture *f = *state;

	bridge_open(f);
	below_place(f);
	assert_false(f->below.bar[0].mapped || f->below.bar[2].mapped || f->below.bar[4].mapped);
	wr(f, PORT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(f->below.bar[0].mapped && f->below.bar[2].mapped && !f->below.bar[4].mapped);
	wr(f, PORT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_true(f->below.bar[4].mapped);
	assert_int_equal(bus_read(f->root->mmio, 0x3800004000, 4), 0x600);
	wr(f, PORT, PCI_MEMORY_BASE, 4, 0xc2f0c200); /* the window leaves the BAR */
	assert_true(!f->below.bar[0].mapped && f->below.bar[2].mapped);
	wr(f, PORT, PCI_PREF_LIMIT_UPPER32, 4, 0x37); /* empty */
	assert_false(f->below.bar[2].mapped);
	wr(f, PORT, PCI_IO_BASE, 2, 0x6070); /* base above limit reads little-endian: 70, 60 */
	assert_false(f->below.bar[4].mapped);
	/* A prefetchable BAR may be in the memory window. */
	pci_cfg_write(f->root, 5, 0, PCI_BASE_ADDRESS_2, 4, 0xc2000000);
	pci_cfg_write(f->root, 5, 0, PCI_BASE_ADDRESS_3, 4, 0);
	assert_true(f->below.bar[2].mapped);
}

static void test_secondary_reset(void **state)
{
	struct fixture *f = *state;

	bridge_open(f);
	below_place(f);
	wr(f, PORT, PCI_COMMAND, 2, 3);
	assert_true(f->below.bar[0].mapped);
	wr(f, PORT, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	assert_false(f->below.bar[0].mapped);
	assert_int_equal(pci_cfg_read(f->root, 5, 0, PCI_BASE_ADDRESS_0, 4), 0);
	assert_int_equal(pci_cfg_read(f->root, 5, 0, PCI_COMMAND, 2), 0);
	assert_int_equal(rd(f, PORT, PCI_SECONDARY_BUS, 1), 5); /* the bridge itself is not reset */
}

static void test_reset_all(void **state)
{
	struct fixture *f = *state;

	bridge_open(f);
	below_place(f);
	wr(f, PORT, PCI_COMMAND, 2, 7);
	wr(f, DEV, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	wr(f, DEV, PCI_COMMAND, 2, 7);
	wr(f, DEV, PCI_INTERRUPT_LINE, 1, 11);
	f->root->cf8 = 0x80000000;
	pci_reset_all(f->root);
	assert_int_equal(f->resets, 1);
	assert_int_equal(f->root->cf8, 0);
	assert_int_equal(rd(f, DEV, PCI_COMMAND, 2), 0);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_0, 4), 0);
	assert_int_equal(rd(f, DEV, PCI_BASE_ADDRESS_2, 4), 0xc); /* the type stays */
	assert_int_equal(rd(f, DEV, PCI_INTERRUPT_LINE, 1), 0);
	assert_int_equal(rd(f, PORT, PCI_PRIMARY_BUS, 4), 0);
	assert_int_equal(rd(f, PORT, PCI_MEMORY_BASE, 4), 0);
	assert_int_equal(rd(f, PORT, PCI_PREF_MEMORY_BASE, 4), 0x00010001);
	assert_false(f->dev.bar[0].mapped || f->below.bar[0].mapped);
	assert_int_equal(bus_read(f->root->mmio, 0xd0000000, 4), UINT32_MAX);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_add_intx(&f->dev, 5), -EINVAL);
	assert_int_equal(pci_add_intx(&f->dev, 1), 0);
	assert_int_equal(pci_add_intx(&f->below, 2), 0);
	assert_int_equal(f->dev.intx.gsi, 16 + 3);
	assert_int_equal(f->below.intx.gsi, 16 + 4 + 1);
	assert_int_equal(rd(f, DEV, PCI_INTERRUPT_PIN, 1), 1);
	pci_set_intx(&f->dev, true);
	assert_true(f->fake.line[19]);
	assert_int_equal(rd(f, DEV, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	wr(f, DEV, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_false(f->fake.line[19]);
	assert_int_equal(rd(f, DEV, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	wr(f, DEV, PCI_COMMAND, 2, 0);
	assert_true(f->fake.line[19]);
	pci_set_intx(&f->dev, false);
	assert_false(f->fake.line[19]);
	assert_int_equal(rd(f, DEV, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
}

static void test_caps_and_w1c(void **state)
{
	struct fixture *f = *state;
	int a = pci_add_cap(&f->dev, PCI_CAP_ID_MSIX, 12), b = pci_add_cap(&f->dev, 9, 17);

	assert_int_equal(a, 0x40);
	assert_int_equal(b, 0x4c);
	assert_int_equal(rd(f, DEV, PCI_CAPABILITY_LIST, 1), 0x40);
	assert_int_equal(rd(f, DEV, 0x40, 2), 0x4c11);
	assert_int_equal(rd(f, DEV, 0x4c, 2), 0x0009);
	assert_int_equal(rd(f, DEV, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	assert_int_equal(pci_add_cap(&f->dev, 9, 200), -ENOSPC);
	f->dev.cfg[PCI_STATUS + 1] = 0xf9;
	wr(f, DEV, PCI_STATUS, 2, 0x8000);
	assert_int_equal(rd(f, DEV, PCI_STATUS, 2), 0x7910);
	wr(f, DEV, PCI_COMMAND, 4, 0xf9000000);
	assert_int_equal(rd(f, DEV, PCI_STATUS, 2), 0x0010);
}

static void test_multifunction(void **state)
{
	struct fixture *f = *state;
	struct pci_device fn1;

	pci_device_init(&fn1, "fn1", NULL, 1, 1, 0, 0);
	assert_int_equal(rd(f, DEV, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(pci_add(f->root, &f->root->bus, &fn1, PCI_DEVFN(3, 1), NULL), 0);
	assert_int_equal(rd(f, DEV, PCI_HEADER_TYPE, 1), 0x80);
	pci_remove(&fn1);
	assert_int_equal(rd(f, DEV, PCI_HEADER_TYPE, 1), 0);
	pci_device_destroy(&fn1);
}

static int count(void *arg, struct pci_device *dev)
{
	(void)dev;
	return ++*(unsigned *)arg == 3 ? 42 : 0;
}

static void test_each_and_master(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	assert_int_equal(pci_each(f->root, count, &n), 42);
	bridge_open(f);
	pci_cfg_write(f->root, 5, 0, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_false(pci_bus_master(&f->below));
	wr(f, PORT, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_true(pci_bus_master(&f->below));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_ids_and_absent),
		T(test_add_errors),
		T(test_bar_sizing),
		T(test_bar_map_and_move),
		T(test_bar_never_on_reset_vector),
		T(test_bar_conflict),
		T(test_bar_parts),
		T(test_bar_parts_conflict),
		T(test_rom),
		T(test_bus_numbers),
		T(test_bridge_windows),
		T(test_secondary_reset),
		T(test_reset_all),
		T(test_intx),
		T(test_caps_and_w1c),
		T(test_multifunction),
		T(test_each_and_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
