/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/pci/root_port.h"
#include "tests/unit/fake_root.h"

struct fixture {
	struct fake_root fake;
	struct pci_root *root;
	struct root_port port;
};

#define PORT PCI_DEVFN(2, 0)

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_root_init(&f->fake);
	f->root = &f->fake.root;
	*state = f;
	return root_port_init(&f->port, f->root, PORT, 7, 3, 8, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	root_port_destroy(&f->port);
	fake_root_free(&f->fake);
	free(f);
	return 0;
}

static uint32_t rd(struct fixture *f, unsigned off, unsigned size)
{
	return pci_cfg_read(f->root, 0, PORT, off, size);
}

static void wr(struct fixture *f, unsigned off, unsigned size, uint32_t v)
{
	pci_cfg_write(f->root, 0, PORT, off, size, v);
}

/* As an operating system finds it. */
static unsigned find_cap(struct fixture *f, unsigned id)
{
	unsigned at = rd(f, PCI_CAPABILITY_LIST, 1);

	for (unsigned i = 0; i < 48 && at; i++, at = rd(f, at + 1, 1))
		if (rd(f, at, 1) == id)
			return at;
	return 0;
}

static void test_registers(void **state)
{
	struct fixture *f = *state;
	unsigned e = find_cap(f, PCI_CAP_ID_EXP);

	assert_int_equal(rd(f, 0, 4), 0x000c1b36);
	assert_int_equal(rd(f, PCI_CLASS_REVISION, 4) >> 8, 0x060400);
	assert_int_equal(rd(f, PCI_HEADER_TYPE, 1), 1);
	assert_int_equal(rd(f, PCI_INTERRUPT_PIN, 1), 1);
	assert_true(e != 0 && find_cap(f, PCI_CAP_ID_PM) != 0);
	assert_int_equal(rd(f, e + PCI_EXP_FLAGS, 2), 0x0142);
	assert_int_equal(rd(f, e + PCI_EXP_LNKCAP, 4) & 0x3ff, 3 | 8 << 4);
	assert_int_equal(rd(f, e + PCI_EXP_LNKSTA, 2) & 0x3ff, 3 | 8 << 4);
	assert_int_equal(rd(f, e + PCI_EXP_LNKCAP2, 4), 0xe);
	assert_int_equal(rd(f, e + PCI_EXP_SLTCAP, 4) >> 19, 7);
	assert_int_equal(rd(f, e + PCI_EXP_SLTCAP, 4) & (PCI_EXP_SLTCAP_HPC | PCI_EXP_SLTCAP_HPS),
			 0);
	assert_int_equal(rd(f, e + PCI_EXP_DEVCTL, 2), PCI_EXP_DEVCTL_READRQ_512B);
}

/* ROCm checks whether the port completes 32-bit and 64-bit AtomicOps. */
static void test_atomics(void **state)
{
	struct fixture *f = *state;
	unsigned at = find_cap(f, PCI_CAP_ID_EXP) + PCI_EXP_DEVCAP2;
	uint32_t none = rd(f, at, 4);

	assert_int_equal(none & 0x380, 0);
	root_port_set_atomics(&f->port, PCI_EXP_DEVCAP2_ATOMIC_COMP32 |
						PCI_EXP_DEVCAP2_ATOMIC_COMP64 | 1u << 20);
	assert_int_equal(rd(f, at, 4), none | 0x180);
	wr(f, at, 4, 0);
	pci_reset_all(f->root);
	assert_int_equal(rd(f, at, 4), none | 0x180);
	root_port_set_atomics(&f->port, 0);
	assert_int_equal(rd(f, at, 4), none);
}

static void test_interrupts(void **state)
{
	struct fixture *f = *state;
	unsigned m = find_cap(f, PCI_CAP_ID_MSI);
	uint32_t gsi = pci_slot_gsi(PORT >> 3, 0);

	assert_true(m != 0);
	assert_int_equal(rd(f, m + PCI_MSI_FLAGS, 2), PCI_MSI_FLAGS_64BIT);
	root_port_interrupt(&f->port, true);
	assert_true(f->fake.line[gsi]);
	root_port_interrupt(&f->port, false);
	assert_false(f->fake.line[gsi]);
	wr(f, m + PCI_MSI_ADDRESS_LO, 4, 0xfee01003);
	wr(f, m + PCI_MSI_ADDRESS_HI, 4, 1);
	wr(f, m + PCI_MSI_DATA_64, 2, 0x4031);
	wr(f, m + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	root_port_interrupt(&f->port, true); /* without bus mastering the message is lost */
	assert_int_equal(f->fake.signalled.n, 0);
	root_port_interrupt(&f->port, false);
	wr(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	root_port_interrupt(&f->port, true);
	root_port_interrupt(&f->port, true);
	assert_false(f->fake.line[gsi]);
	assert_int_equal(f->fake.signalled.n, 1);
	assert_int_equal(f->fake.signalled.addr, 0x1fee01000);
	assert_int_equal(f->fake.signalled.data, 0x4031);
	assert_int_equal(f->fake.signalled.devid, PORT);
	pci_reset_all(f->root);
	assert_int_equal(rd(f, m + PCI_MSI_FLAGS, 2), PCI_MSI_FLAGS_64BIT);
}

static void test_presence(void **state)
{
	struct fixture *f = *state;
	unsigned e = find_cap(f, PCI_CAP_ID_EXP);
	struct pci_device dev;

	assert_int_equal(rd(f, e + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS, 0);
	pci_device_init(&dev, "dev", NULL, 1, 2, 0x020000, 0);
	assert_int_equal(pci_add(f->root, f->port.dev.secondary, &dev, 0, NULL), 0);
	root_port_link_up(&f->port);
	assert_int_equal(rd(f, e + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS, PCI_EXP_SLTSTA_PDS);
	assert_int_equal(rd(f, e + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA, PCI_EXP_LNKSTA_DLLLA);
	wr(f, e + PCI_EXP_LNKCTL, 2, PCI_EXP_LNKCTL_RL | PCI_EXP_LNKCTL_CCC);
	assert_int_equal(rd(f, e + PCI_EXP_LNKCTL, 2), PCI_EXP_LNKCTL_CCC);
	wr(f, PCI_SECONDARY_BUS, 2, 0x0101);
	assert_int_equal(pci_cfg_read(f->root, 1, 0, 0, 4), 0x00020001);
	pci_reset_all(f->root);
	assert_int_equal(rd(f, e + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS, PCI_EXP_SLTSTA_PDS);
	assert_int_equal(rd(f, e + PCI_EXP_LNKCTL, 2), 0);
	pci_remove(&dev);
	pci_device_destroy(&dev);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct root_port p;

	assert_int_equal(root_port_init(&p, f->root, PORT, 8, 0, 0, &err), -EBUSY);
	assert_int_equal(root_port_init(&p, f->root, PCI_DEVFN(3, 0), 8, 6, 0, &err), -EINVAL);
	assert_int_equal(root_port_init(&p, f->root, PCI_DEVFN(3, 0), 8, 0, 0, &err), 0);
	root_port_destroy(&p);
}

/* ---- a hot-pluggable slot, with the accesses of Linux' pciehp ---- */

static struct {
	unsigned taken, released, kept;
} news;

static void on_news(void *opaque, enum root_port_news what)
{
	(void)opaque;
	news.taken += what == ROOT_PORT_TAKEN;
	news.released += what == ROOT_PORT_RELEASED;
	news.kept += what == ROOT_PORT_KEPT;
}

static const struct root_port_hotplug hot = {
	.mem32 = 16 * MiB,
	.mem64 = 32 * GiB,
	.news = on_news,
};

#define ON    PCI_EXP_SLTCTL_PWR_IND_ON
#define OFF   PCI_EXP_SLTCTL_PWR_IND_OFF
#define BLINK PCI_EXP_SLTCTL_PWR_IND_BLINK
#define PCC   PCI_EXP_SLTCTL_PCC
#define ABP   PCI_EXP_SLTSTA_ABP
#define PDS   PCI_EXP_SLTSTA_PDS
#define PDC   PCI_EXP_SLTSTA_PDC
#define DLLSC PCI_EXP_SLTSTA_DLLSC
/* What pciehp enables. */
#define EVENTS \
	(PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_DLLSCE)

static struct pci_device card;
static unsigned e; /* the PCIe capability */

static uint32_t status(struct fixture *f)
{
	return rd(f, e + PCI_EXP_SLTSTA, 2);
}

static void control(struct fixture *f, uint32_t v)
{
	wr(f, e + PCI_EXP_SLTCTL, 2, v);
}

static bool answers(struct fixture *f)
{
	return pci_cfg_read(f->root, 1, 0, 0, 4) == 0x00020001;
}

static void card_in(struct fixture *f)
{
	pci_device_init(&card, "card", NULL, 1, 2, 0x020000, 0);
	root_port_hide(&f->port, true);
	assert_int_equal(pci_add(f->root, f->port.dev.secondary, &card, 0, NULL), 0);
	assert_false(answers(f));
	assert_false(status(f) & PDS);
	root_port_hide(&f->port, false);
}

static void card_out(struct fixture *f)
{
	pci_remove(&card);
	pci_device_destroy(&card);
	root_port_hide(&f->port, false);
}

static void set_msi(struct fixture *f)
{
	unsigned m = find_cap(f, PCI_CAP_ID_MSI);

	wr(f, m + PCI_MSI_ADDRESS_LO, 4, 0xfee01000);
	wr(f, m + PCI_MSI_DATA_64, 2, 0x31);
	wr(f, m + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	wr(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
}

static int setup_hot(void **state)
{
	struct fixture *f;

	if (setup(state))
		return -1;
	f = *state;
	memset(&news, 0, sizeof(news));
	e = find_cap(f, PCI_CAP_ID_EXP);
	wr(f, PCI_SECONDARY_BUS, 2, 0x0101);
	return root_port_set_hotplug(&f->port, &hot);
}

static void test_hot_registers(void **state)
{
	struct fixture *f = *state;
	uint32_t cap = rd(f, e + PCI_EXP_SLTCAP, 4);
	unsigned r = find_cap(f, PCI_CAP_ID_VNDR);

	assert_int_equal(cap, 7u << 19 | PCI_EXP_SLTCAP_NCCS | PCI_EXP_SLTCAP_HPC |
				      PCI_EXP_SLTCAP_HPS | PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_PCP |
				      PCI_EXP_SLTCAP_ABP);
	assert_int_equal(rd(f, e + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_IRQ, 0);
	/* An empty slot is off. */
	assert_int_equal(rd(f, e + PCI_EXP_SLTCTL, 2), PCC | OFF);
	assert_int_equal(status(f), 0);
	control(f, 0xffff);
	assert_int_equal(rd(f, e + PCI_EXP_SLTCTL, 2), EVENTS | PCC | OFF);
	/* What OVMF reads: no ports, 16 MiB below 4 GiB, 32 GiB of 64-bit addresses. */
	assert_int_equal(rd(f, r + 2, 2), 0x0120);
	assert_int_equal(rd(f, r + 4, 4), UINT32_MAX);
	assert_int_equal(rd(f, r + 8, 4) | rd(f, r + 12, 4), 0);
	assert_int_equal(rd(f, r + 16, 4), 16 * MiB);
	assert_int_equal(rd(f, r + 20, 4), UINT32_MAX);
	assert_int_equal(rd(f, r + 24, 4), 0);
	assert_int_equal(rd(f, r + 28, 4), 8);
}

/* Added with presence and link, never by a press of the button; powered on by the guest. */
static void test_hot_add(void **state)
{
	struct fixture *f = *state;

	set_msi(f);
	control(f, EVENTS | PCC | OFF);
	assert_int_equal(f->fake.signalled.n, 0);
	card_in(f);
	assert_int_equal(status(f), PDS | PDC | DLLSC);
	assert_true(rd(f, e + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
	assert_int_equal(f->fake.signalled.n, 1);
	/* pciehp clears what it has read, and reads again until there is nothing. */
	wr(f, e + PCI_EXP_SLTSTA, 2, PDC);
	assert_int_equal(status(f), PDS | DLLSC);
	assert_int_equal(f->fake.signalled.n, 1);
	wr(f, e + PCI_EXP_SLTSTA, 2, DLLSC);
	assert_false(answers(f)); /* no power yet */
	control(f, EVENTS | OFF);
	assert_true(answers(f));
	control(f, EVENTS | BLINK);
	assert_int_equal(news.taken, 0);
	control(f, EVENTS | ON);
	assert_int_equal(news.taken, 1);
	assert_int_equal(f->fake.signalled.n, 1);
	card_out(f);
}

/* Button, five seconds of blinking, power off, indicator off. */
static void test_hot_remove(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	set_msi(f);
	assert_int_equal(root_port_ask(&f->port, &err), -ENODEV);
	card_in(f);
	control(f, EVENTS | ON);
	wr(f, e + PCI_EXP_SLTSTA, 2, 0xffff);
	f->fake.signalled.n = 0;
	assert_int_equal(root_port_ask(&f->port, &err), 0);
	assert_int_equal(status(f), PDS | ABP);
	assert_int_equal(f->fake.signalled.n, 1);
	wr(f, e + PCI_EXP_SLTSTA, 2, ABP);
	control(f, EVENTS | BLINK);
	assert_int_equal(root_port_ask(&f->port, &err), -EBUSY);
	control(f, EVENTS | BLINK | PCC);
	assert_false(answers(f));
	assert_int_equal(news.released, 0);
	control(f, EVENTS | OFF | PCC);
	assert_int_equal(news.released, 1);
	assert_int_equal(status(f), PDC | DLLSC);
	/* The guest is fast, and the functions are still there. */
	control(f, EVENTS | ON);
	assert_false(answers(f));
	card_out(f);
	assert_int_equal(status(f), PDC | DLLSC);
	assert_int_equal(news.taken + news.kept, 1);
}

static void test_hot_cancel(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	card_in(f);
	control(f, EVENTS | ON);
	assert_int_equal(root_port_ask(&f->port, &err), 0);
	control(f, EVENTS | BLINK);
	control(f, EVENTS | ON); /* somebody in the guest has pressed again */
	assert_int_equal(news.kept, 1);
	assert_true(answers(f));
	/* Nobody hears: the request is forgotten, but may be carried out later. */
	wr(f, e + PCI_EXP_SLTSTA, 2, 0xffff);
	assert_int_equal(root_port_ask(&f->port, &err), 0);
	root_port_forget(&f->port);
	assert_int_equal(status(f), PDS);
	control(f, EVENTS | PCC | OFF);
	assert_int_equal(news.released, 1);
	card_out(f);
	assert_int_equal(news.kept, 1);
}

/* The guest is not asked when it has the slot off anyway, for example in firmware. */
static void test_hot_unused(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	card_in(f);
	assert_int_equal(root_port_ask(&f->port, &err), 0);
	assert_int_equal(news.released, 1);
	assert_false(status(f) & PDS);
	card_out(f);
}

static void test_hot_surprise(void **state)
{
	struct fixture *f = *state;

	set_msi(f);
	card_in(f);
	control(f, EVENTS | ON);
	wr(f, e + PCI_EXP_SLTSTA, 2, 0xffff);
	f->fake.signalled.n = 0;
	root_port_hide(&f->port, true);
	assert_false(answers(f));
	assert_int_equal(status(f), PDC | DLLSC);
	assert_false(rd(f, e + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
	assert_int_equal(f->fake.signalled.n, 1);
	card_out(f);
	control(f, EVENTS | PCC | OFF); /* as pciehp does then */
	assert_int_equal(news.released, 0);
}

/* A full slot is on after a reset, and nothing is pending. */
static void test_hot_reset(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	card_in(f);
	control(f, EVENTS | ON);
	assert_int_equal(root_port_ask(&f->port, &err), 0);
	pci_reset_all(f->root);
	assert_int_equal(status(f), PDS);
	assert_int_equal(rd(f, e + PCI_EXP_SLTCTL, 2), ON);
	wr(f, PCI_SECONDARY_BUS, 2, 0x0101);
	assert_true(answers(f));
	control(f, BLINK);
	control(f, ON);
	assert_int_equal(news.kept, 0);
	card_out(f);
	pci_reset_all(f->root);
	assert_int_equal(status(f), 0);
	assert_int_equal(rd(f, e + PCI_EXP_SLTCTL, 2), PCC | OFF);
}

/* 6.7.3.4: enabling an event that is there owes a message, and so does enabling messages. */
static void test_hot_edges(void **state)
{
	struct fixture *f = *state;
	uint32_t gsi = pci_slot_gsi(PORT >> 3, 0);

	card_in(f);
	control(f, PCI_EXP_SLTCTL_PDCE);
	assert_false(f->fake.line[gsi]);
	control(f, PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE);
	assert_true(f->fake.line[gsi]);
	set_msi(f);
	assert_false(f->fake.line[gsi]);
	assert_int_equal(f->fake.signalled.n, 1);
	control(f, PCI_EXP_SLTCTL_PDCE);
	control(f, EVENTS);
	assert_int_equal(f->fake.signalled.n, 2);
	wr(f, e + PCI_EXP_SLTSTA, 2, PDC | DLLSC);
	root_port_hide(&f->port, true);
	assert_int_equal(f->fake.signalled.n, 3);
	wr(f, find_cap(f, PCI_CAP_ID_MSI) + PCI_MSI_FLAGS, 2, 0);
	assert_true(f->fake.line[gsi]);
	wr(f, e + PCI_EXP_SLTSTA, 2, PDC);
	assert_true(f->fake.line[gsi]);
	wr(f, e + PCI_EXP_SLTSTA, 2, DLLSC);
	assert_false(f->fake.line[gsi]);
	card_out(f);
}

#define T(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define HOT(fn) cmocka_unit_test_setup_teardown(fn, setup_hot, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_registers),    T(test_atomics),	      T(test_interrupts),
		T(test_presence),     T(test_errors),	      HOT(test_hot_registers),
		HOT(test_hot_add),    HOT(test_hot_remove),   HOT(test_hot_cancel),
		HOT(test_hot_unused), HOT(test_hot_surprise), HOT(test_hot_reset),
		HOT(test_hot_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
