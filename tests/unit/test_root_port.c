/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_registers), T(test_atomics), T(test_interrupts),
					    T(test_presence), T(test_errors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
