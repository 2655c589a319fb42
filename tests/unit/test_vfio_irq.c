/* SPDX-License-Identifier: BSD-2-Clause */
#include <unistd.h>

#include "vfio_fixture.h"

#define MSIX  0x40u
#define MSI   0x60u
#define TABLE 0xe0000000u
#define PBA   0xe0001000u
#define ON    PCI_MSIX_FLAGS_ENABLE
#define ALL   PCI_MSIX_FLAGS_MASKALL
#define GSI0  24 /* the first MSI route */

static void entry(struct fixture *x, unsigned i, uint32_t data)
{
	uint64_t at = TABLE + i * PCI_MSIX_ENTRY_SIZE;

	bus_write(x->m.root.mmio, at, 8, 0xfee00000);
	bus_write(x->m.root.mmio, at + 8, 4, data);
}

static void mask(struct fixture *x, unsigned i, bool masked)
{
	bus_write(x->m.root.mmio, TABLE + i * PCI_MSIX_ENTRY_SIZE + 12, 4, masked);
}

static void flags(struct fixture *x, uint16_t f)
{
	wr(x, MSIX + PCI_MSIX_FLAGS, 2, f);
}

/* A device with n MSI-X vectors; its BAR 0 decodes. */
static void start(struct fixture *x, unsigned n)
{
	fake_vfio_bar(&x->f, 0, 0x2000, 0);
	fake_vfio_msix(&x->f, MSIX, n, 0, 0x1000);
	plug(x);
	wr(x, PCI_BASE_ADDRESS_0, 4, TABLE);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_log_clear(&x->m.log);
}

static void test_intx(void **state)
{
	struct fixture *x = *state;

	plug(x);
	/* Slot 3, INTA: GSI 19. This order loses no interrupt. */
	ORDER(x, "set:0:0:1:F", "mask:0", "irqfd+19:resample", "unmaskfd:0", "unmask:0");
	fake_log_clear(&x->m.log);
	vfio_pci_quiesce(x->v);
	ORDER(x, "mask:0", "irqfd-19", "off:0");
	assert_false(fake_vfio_fire(&x->f, VFIO_PCI_INTX_IRQ_INDEX, 0));
	vfio_pci_after_reset(x->v);
	ORDER(x, "off:0", "set:0:0:1:F", "irqfd+19:resample", "unmask:0");
}

static void test_no_intx(void **state)
{
	struct fixture *x = *state;

	x->f.irq[VFIO_PCI_INTX_IRQ_INDEX].count = 0; /* a VF */
	plug(x);
	assert_int_equal(rd(x, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(COUNT(x, "set"), 0);
}

/* Linux enables MSI-X with everything masked, writes the entries, and unmasks them one by one. */
static void test_msix_enable_noresize(void **state)
{
	struct fixture *x = *state;

	start(x, 4);
	flags(x, ON | ALL);
	ORDER(x, "mask:0", "irqfd-19", "off:0", "set:2:0:4:----");
	fake_log_clear(&x->m.log);
	entry(x, 0, 0x41);
	entry(x, 2, 0x43);
	flags(x, ON);
	assert_int_equal(COUNT(x, "set"), 0);
	mask(x, 0, false);
	ORDER(x, "routes", "irqfd+24", "set:2:0:1:F");
	mask(x, 2, false);
	ORDER(x, "set:2:0:1:F", "routes", "irqfd+25", "set:2:2:1:F");
	fake_log_clear(&x->m.log);
	/* Moving an interrupt is mask, message, unmask; the host is not told. */
	mask(x, 2, true);
	entry(x, 2, 0x53);
	mask(x, 2, false);
	ORDER(x, "irqfd-25", "routes", "irqfd+25");
	assert_int_equal(COUNT(x, "set"), 0);
	assert_int_equal(COUNT(x, "routes"), 1);
	assert_int_equal(vfio_pci_counts(x->v).masks, 1);
	assert_int_equal(vfio_pci_counts(x->v).unmasks, 3);
	fake_log_clear(&x->m.log);
	flags(x, 0);
	ORDER(x, "irqfd-24", "irqfd-25", "off:2", "set:0:0:1:F");
}

/* Windows writes the entries, unmasks them, and then enables MSI-X. */
static void test_msix_enable_filled(void **state)
{
	struct fixture *x = *state;

	start(x, 4);
	for (unsigned i = 0; i < 4; i++) {
		entry(x, i, 0x40 + i);
		mask(x, i, i == 1);
	}
	assert_int_equal(COUNT(x, "set"), 0);
	flags(x, ON);
	ORDER(x, "off:0", "set:2:0:4:F-FF", "routes", "irqfd+24", "irqfd+25", "irqfd+26");
	assert_int_equal(COUNT(x, "set"), 1);
	assert_int_equal(COUNT(x, "routes"), 1);
	/* With the function mask, irqfds are removed and added, with at most one set of routes. */
	fake_log_clear(&x->m.log);
	flags(x, ON | ALL);
	assert_int_equal(COUNT(x, "irqfd-"), 3);
	flags(x, ON);
	assert_int_equal(COUNT(x, "irqfd+"), 3);
	assert_int_equal(COUNT(x, "set"), 0);
	assert_int_equal(COUNT(x, "routes"), 0);
}

static void test_msix_dynamic(void **state)
{
	struct fixture *x = *state;

	start(x, 8);
	x->f.irq[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	vfio_pci_free(x->v);
	plug(x);
	wr(x, PCI_BASE_ADDRESS_0, 4, TABLE);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_log_clear(&x->m.log);
	flags(x, ON);
	ORDER(x, "set:2:0:1:-"); /* enabled, although nothing is unmasked */
	mask(x, 5, false);
	ORDER(x, "set:2:0:1:-", "irqfd+24", "set:2:5:1:F");
}

static void test_msix_too_many(void **state)
{
	struct fixture *x = *state;

	x->f.limit = 3;
	start(x, 8);
	flags(x, ON);
	ORDER(x, "few:8", "set:2:0:3:---");
	mask(x, 2, false);
	assert_int_equal(COUNT(x, "set:2:2:1:F"), 1);
	mask(x, 3, false); /* the vector was not granted: nothing happens */
	assert_int_equal(COUNT(x, "set:2:3"), 0);
}

static void test_host_refuses(void **state)
{
	struct fixture *x = *state;

	start(x, 4);
	x->f.set_irqs_ret = -ENOSPC;
	flags(x, ON);
	assert_int_equal(x->v->irq.mode, VFIO_IRQ_OFF);
	mask(x, 0, false);
	flags(x, 0); /* back to INTx, which is refused, too */
	assert_int_equal(x->v->irq.mode, VFIO_IRQ_OFF);
	x->f.set_irqs_ret = 0;
	flags(x, ON);
	assert_int_equal(x->v->irq.mode, VFIO_IRQ_MSIX);
}

static uint64_t pba(struct fixture *x)
{
	return bus_read(x->m.root.mmio, PBA, 8);
}

static void test_pending(void **state)
{
	struct fixture *x = *state;

	start(x, 4);
	mask(x, 1, false);
	mask(x, 3, false);
	flags(x, ON);
	mask(x, 1, true);
	assert_int_equal(pba(x), 0);
	assert_true(fake_vfio_fire(&x->f, VFIO_PCI_MSIX_IRQ_INDEX, 1));
	assert_int_equal(pba(x), 2);
	assert_int_equal(pba(x), 2); /* reading does not clear it */
	assert_true(fake_vfio_fire(&x->f, VFIO_PCI_MSIX_IRQ_INDEX, 3));
	assert_int_equal(pba(x), 2); /* an interrupt that KVM has is not pending */
	bus_write(x->m.root.mmio, PBA, 8, 0);
	assert_int_equal(pba(x), 2);
	flags(x, 0); /* disabled: nothing is pending */
	flags(x, ON);
	assert_int_equal(pba(x), 0);
}

static void test_table_accesses(void **state)
{
	struct fixture *x = *state;
	struct bus *b;

	start(x, 2);
	b = x->m.root.mmio;
	assert_int_equal(bus_read(b, TABLE + 12, 4), 1);
	bus_write(b, TABLE + 8, 8, 0xffffffff12345678); /* control: one bit */
	assert_int_equal(bus_read(b, TABLE + 8, 8), 0x112345678);
	bus_write(b, TABLE + 12, 2, 0); /* not a dword, so it is ignored */
	bus_write(b, TABLE + 12, 1, 0);
	assert_int_equal(bus_read(b, TABLE + 12, 4), 1);
	assert_int_equal(bus_read(b, TABLE + 13, 1), 0);
	/* Past the table the hardware answers. */
	x->f.trapped = 0;
	bus_write(b, TABLE + 32, 4, 0x77);
	assert_int_equal(bus_read(b, TABLE + 32, 4), 0x77);
	assert_int_equal(x->f.trapped, 2);
	/* Half in, half out. */
	bus_write(b, TABLE + 28, 8, 0);
	pci_reset_all(&x->m.root);
	assert_int_equal(x->v->irq.table.word[1][3], 1);
}

/* The table moves with its BAR. It is not mapped while a BAR that does not decode stays in guest
 * memory for some time. */
static void test_table_follows_its_bar(void **state)
{
	struct fixture *x = *state;
	struct bus *b = x->m.root.mmio;

	use_loop(x);
	start(x, 4);
	flags(x, ON);
	entry(x, 0, 0x41);
	wr(x, PCI_BASE_ADDRESS_0, 4, TABLE + 0x100000);
	mask(x, 0, false);
	assert_int_equal(bus_read(b, TABLE + 8, 8), UINT64_MAX);
	assert_int_equal(bus_read(b, TABLE + 0x100000 + 8, 8), 0x100000041);
	wr(x, PCI_COMMAND, 2, 0);
	bus_write(b, TABLE + 0x100000 + 12, 4, 0);
	assert_int_equal(bus_read(b, TABLE + 0x100000 + 8, 8), UINT64_MAX);
	assert_int_equal(COUNT(x, "irqfd+24"), 0);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	bus_write(b, TABLE + 0x100000 + 12, 4, 0);
	assert_int_equal(COUNT(x, "irqfd+24"), 1);
	assert_int_equal(vfio_pci_counts(x->v).unmasks, 1);
}

/* No device should do this, but one might. */
static void test_table_in_ports(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 2, 0x100, PCI_BASE_ADDRESS_SPACE_IO);
	fake_vfio_msix(&x->f, MSIX, 4, 0x40 | 2, 0x80 | 2);
	plug(x);
	wr(x, PCI_BASE_ADDRESS_2, 4, 0xc000);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_IO);
	flags(x, ON);
	bus_write(x->m.root.pio, 0xc04c, 4, 0);
	assert_int_equal(COUNT(x, "set:2:0:1:F"), 1);
	assert_int_equal(bus_read(x->m.root.pio, 0xc04c, 4), 0);
	assert_int_equal(bus_read(x->m.root.pio, 0xc080, 4), 0);
}

/* If the table lies outside of its BAR, MSI-X is hidden; a PBA outside is not shown. */
static void test_bogus_places(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x1000, 0);
	fake_vfio_msix(&x->f, MSIX, 300, 0, 0);
	plug(x);
	assert_int_equal(rd(x, PCI_CAPABILITY_LIST, 1), 0);
	assert_int_equal(rd(x, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0);
	vfio_pci_free(x->v);
	pci_set16(x->f.config, MSIX + PCI_MSIX_FLAGS, 3);
	pci_set32(x->f.config, MSIX + PCI_MSIX_TABLE, 7); /* no such BAR */
	plug(x);
	assert_int_equal(rd(x, PCI_CAPABILITY_LIST, 1), 0);
	vfio_pci_free(x->v);
	pci_set32(x->f.config, MSIX + PCI_MSIX_TABLE, 0);
	pci_set32(x->f.config, MSIX + PCI_MSIX_PBA, 0x10); /* over the table */
	plug(x);
	assert_int_equal(rd(x, PCI_CAPABILITY_LIST, 1), MSIX);
	assert_int_equal(x->v->dev.n_parts, 1);
	vfio_pci_free(x->v);
	pci_set32(x->f.config, MSIX + PCI_MSIX_PBA, 0xfffffff8);
	plug(x);
	assert_int_equal(x->v->dev.n_parts, 1);
}

static void start_msi(struct fixture *x, uint16_t f, unsigned count)
{
	fake_vfio_cap(&x->f, MSI, PCI_CAP_ID_MSI);
	pci_set16(x->f.config, MSI + PCI_MSI_FLAGS, f);
	x->f.irq[VFIO_PCI_MSI_IRQ_INDEX].count = count;
	x->f.irq[VFIO_PCI_MSI_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	plug(x);
	fake_log_clear(&x->m.log);
}

static void test_msi(void **state)
{
	struct fixture *x = *state;

	start_msi(x, PCI_MSI_FLAGS_64BIT, 1);
	wr(x, MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee01003);
	wr(x, MSI + PCI_MSI_DATA_64, 2, 0x4051);
	assert_int_equal(rd(x, MSI + PCI_MSI_ADDRESS_LO, 4), 0xfee01000);
	wr(x, MSI + PCI_MSI_FLAGS, 2, 0xffff);
	assert_int_equal(rd(x, MSI + PCI_MSI_FLAGS, 2),
			 PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE);
	ORDER(x, "mask:0", "irqfd-19", "off:0", "set:1:0:1:F", "routes", "irqfd+24");
	assert_int_equal(pci_get16(x->f.config, MSI + PCI_MSI_FLAGS), PCI_MSI_FLAGS_64BIT);
	/* The same message again costs nothing; another message costs a commit. */
	fake_log_clear(&x->m.log);
	wr(x, MSI + PCI_MSI_DATA_64, 2, 0x4051);
	assert_int_equal(x->m.log.len, 0);
	wr(x, MSI + PCI_MSI_DATA_64, 2, 0x4052);
	assert_int_equal(COUNT(x, "routes"), 1);
	wr(x, MSI + PCI_MSI_FLAGS, 2, 0);
	ORDER(x, "routes", "irqfd-24", "off:1", "set:0:0:1:F", "irqfd+19:resample");
}

static void test_msi_many(void **state)
{
	struct fixture *x = *state;

	start_msi(x, PCI_MSI_FLAGS_MASKBIT | 2 << 1, 4);
	wr(x, MSI + PCI_MSI_MASK_32, 4, 2);
	wr(x, MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	ORDER(x, "set:1:0:4:F-FF", "irqfd+24", "irqfd+25", "irqfd+26");
	assert_int_equal(COUNT(x, "irqfd+"), 3);
	wr(x, MSI + PCI_MSI_MASK_32, 4, 1);
	assert_true(fake_vfio_fire(&x->f, VFIO_PCI_MSI_IRQ_INDEX, 0));
	assert_int_equal(rd(x, MSI + PCI_MSI_PENDING_32, 4), 1);
	/* Fewer vectors while enabled: disabled and enabled again. */
	fake_log_clear(&x->m.log);
	wr(x, MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 1 << 4);
	ORDER(x, "off:1", "set:1:0:2:-F");
	/* More vectors than exist. */
	wr(x, MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 7 << 4);
	assert_int_equal(x->v->irq.granted, 4);
}

static void test_msix_wins(void **state)
{
	struct fixture *x = *state;

	x->f.irq[VFIO_PCI_MSI_IRQ_INDEX].count = 1;
	fake_vfio_cap(&x->f, MSI, PCI_CAP_ID_MSI);
	start(x, 2);
	wr(x, MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(x->v->irq.mode, VFIO_IRQ_MSI);
	flags(x, ON);
	ORDER(x, "off:0", "set:1:0:1:F", "off:1", "set:2:0:2:--");
	flags(x, 0);
	assert_int_equal(x->v->irq.mode, VFIO_IRQ_MSI);
}

struct seen {
	struct evloop *loop;
	unsigned requests, errors;
};

static void on_request(void *o, const char *name)
{
	struct seen *s = o;

	assert_string_equal(name, "0000:01:00.0");
	s->requests++;
	evloop_stop(s->loop, 0);
}

static void on_error(void *o, const char *name)
{
	struct seen *s = o;

	(void)name;
	s->errors++;
	evloop_stop(s->loop, 0);
}

static void test_host_signals(void **state)
{
	struct fixture *x = *state;
	struct seen s = { 0 };

	use_loop(x);
	s.loop = x->loop;
	x->env.on_request = on_request;
	x->env.on_error = on_error;
	x->env.opaque = &s;
	x->f.irq[VFIO_PCI_REQ_IRQ_INDEX].count = 1;
	x->f.irq[VFIO_PCI_ERR_IRQ_INDEX].count = 1;
	plug(x);
	assert_true(fake_vfio_fire(&x->f, VFIO_PCI_REQ_IRQ_INDEX, 0));
	evloop_run(x->loop);
	assert_true(s.requests == 1 && s.errors == 0);
	vfio_pci_free(x->v);
	x->v = NULL;
	assert_int_equal(COUNT(x, "off:4"), 1);
	assert_int_equal(COUNT(x, "off:3"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_intx),
		T(test_no_intx),
		T(test_msix_enable_noresize),
		T(test_msix_enable_filled),
		T(test_msix_dynamic),
		T(test_msix_too_many),
		T(test_host_refuses),
		T(test_pending),
		T(test_table_accesses),
		T(test_table_follows_its_bar),
		T(test_table_in_ports),
		T(test_bogus_places),
		T(test_msi),
		T(test_msi_many),
		T(test_msix_wins),
		T(test_host_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
