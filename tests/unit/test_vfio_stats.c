/* SPDX-License-Identifier: BSD-2-Clause */
/* The reason why an access trapped, and the host's counts of interrupts. */
#include <stdio.h>
#include <unistd.h>

#include "vfio/host_irqs.h"
#include "vfio_fixture.h"
#include "vmm/core/stats.h"
#include "vmm/core/trap.h"

#define BAR(n) (PCI_BASE_ADDRESS_0 + 4 * (n))
#define BDF    "0000:01:00.0"

/* Reads a dword through the bus, and explains the access that was counted for it. */
static struct io_place explained(struct bus *bus, uint64_t addr)
{
	struct trap_table *t = calloc(1, sizeof(*t));
	struct io_place p = { 0 };

	bus_count_traps(t);
	bus_read(bus, addr, 4);
	bus_count_traps(NULL);
	assert_int_equal(trap_slots(t), 1);
	bus_explain(t->slot[0].region, t->slot[0].off, &p);
	free(t);
	return p;
}

static void says(struct bus *bus, uint64_t addr, const char *where, uint64_t off, const char *cause)
{
	struct io_place p = explained(bus, addr);

	assert_string_equal(p.where, where);
	assert_int_equal(p.off, off);
	if (!strstr(p.cause, cause))
		fail_msg("'%s' is not in '%s'", cause, p.cause);
}

static void place(struct fixture *x, unsigned n, uint32_t addr)
{
	wr(x, BAR(n), 4, addr);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
}

static void test_msix_page(void **state)
{
	struct fixture *x = *state;
	struct io_place p;

	fake_vfio_bar(&x->f, 0, 0x8000, 0);
	fake_vfio_msix(&x->f, 0x40, 4, 0x2000, 0x4800);
	plug(x);
	place(x, 0, 0xe0000000);
	says(x->m.root.mmio, 0xe000200c, "BAR 0", 0x200c, "the MSI-X table");
	says(x->m.root.mmio, 0xe0002040, "BAR 0", 0x2040, "shares its page with the MSI-X table");
	says(x->m.root.mmio, 0xe0004800, "BAR 0", 0x4800, "the MSI-X pending bits");
	says(x->m.root.mmio, 0xe0004000, "BAR 0", 0x4000, "shares its page with the MSI-X pend");
	/* The BAR is mapped, but the test has no hardware, so the access comes here. */
	says(x->m.root.mmio, 0xe0001000, "BAR 0", 0x1000, "was not mapped at that time");
	p = explained(x->m.root.mmio, 0xe0002040);
	assert_string_equal(p.device, x->f.k.name);
}

static void test_mirror(void **state)
{
	struct fixture *x = *state;

	pci_set16(x->f.config, PCI_VENDOR_ID, 0x10de);
	pci_set16(x->f.config, PCI_DEVICE_ID, 0x0040); /* both mirrors */
	pci_set32(x->f.config, PCI_CLASS_REVISION, 0x030000a1);
	fake_vfio_bar(&x->f, 0, 0x100000, 0);
	plug(x);
	place(x, 0, 0xe0000000);
	says(x->m.root.mmio, 0xe0001810, "BAR 0", 0x1810, "mirror configuration space");
	says(x->m.root.mmio, 0xe0088010, "BAR 0", 0x88010, "mirror configuration space");
	says(x->m.root.mmio, 0xe0001900, "BAR 0", 0x1900,
	     "shares its page with registers that mirror configuration space");
}

static void test_options(void **state)
{
	struct fixture *x = *state;

	x->opt.mmap = false;
	fake_vfio_bar(&x->f, 0, 0x1000, 0);
	fake_vfio_bar(&x->f, 2, 0x20, PCI_BASE_ADDRESS_SPACE_IO);
	plug(x);
	place(x, 0, 0xe0000000);
	place(x, 2, 0xc000);
	says(x->m.root.mmio, 0xe0000ffc, "BAR 0", 0xffc, "mmap=off");
	says(x->m.root.pio, 0xc004, "BAR 2", 4, "I/O ports");
}

static void test_sub_page(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x100, 0);
	fake_vfio_bar(&x->f, 1, 0x100, 0);
	x->f.region[1].flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	plug(x);
	place(x, 0, 0xe0000000);
	place(x, 1, 0xe0000800);
	says(x->m.root.mmio, 0xe0000004, "BAR 0", 4, "the guest has put something else");
	says(x->m.root.mmio, 0xe0000804, "BAR 1", 4, "does not allow mapping it");
}

static void test_host_lines(void **state)
{
	static const char *const no[] = {
		"",
		"           CPU0       CPU1",
		"NMI:          1          2   Non-maskable interrupts",
		" 45: 1 2  IR-PCI-MSIX-0000:01:00.0 0-edge nvme0q0",
		" 45: 1 2  IR-PCI-MSIX-0000:01:00.1 0-edge vfio-msix[0](0000:01:00.1)",
		" 45: 1 2  x 0-edge vfio-msix[](0000:01:00.0)",
		" 45: 1 2  x 0-edge vfio-msix[0](0000:01:00.0000000000000000000000)",
		" 45: 1 2  x 0-edge vfio-",
		" 45: 1 2  x 0-edge vfio-msix[0](0000:01:00.0",
		"45",
	};
	struct host_irq q;

	(void)state;
	assert_true(host_irq_parse(
		" 45:  7  35  IR-PCI-MSIX-0000:01:00.0  3-edge  vfio-msix[3](0000:01:00.0)\n", BDF,
		&q));
	assert_int_equal(q.kind, HOST_IRQ_MSIX);
	assert_int_equal(q.vector, 3);
	assert_int_equal(q.count, 42);
	assert_true(host_irq_parse("46: 7 PCI-MSI 524288-edge vfio-msi[0](0000:01:00.0)", BDF, &q));
	assert_int_equal(q.kind, HOST_IRQ_MSI);
	assert_int_equal(q.count, 7);
	assert_true(host_irq_parse(
		" 16:  0  9  IO-APIC 16-fasteoi  ehci, vfio-intx(0000:00:1d.0), vfio-intx(" BDF ")",
		BDF, &q));
	assert_int_equal(q.kind, HOST_IRQ_INTX);
	assert_int_equal(q.vector, 0);
	assert_int_equal(q.count, 9);
	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(host_irq_parse(no[i], BDF, &q));
}

static void sum(void *arg, const struct host_irq *q)
{
	*(uint64_t *)arg += q->count;
}

static void test_host_file(void **state)
{
	char path[] = "/tmp/minivmm-irqs-XXXXXX";
	int fd = mkstemp(path);
	uint64_t all = 0;

	(void)state;
	assert_true(dprintf(fd, " CPU0\n1: 5 x 0-edge vfio-msix[0](" BDF ")\n2: 9 x 0-edge other\n"
				"3: 6 x 1-edge vfio-msix[1](" BDF ")") > 0);
	host_irqs_each(path, BDF, sum, &all);
	assert_int_equal(all, 11);
	unlink(path);
	close(fd);
	host_irqs_each(path, BDF, sum, &all);
	assert_int_equal(all, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_msix_page),
		T(test_mirror),
		T(test_options),
		T(test_sub_page),
		cmocka_unit_test(test_host_lines),
		cmocka_unit_test(test_host_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
