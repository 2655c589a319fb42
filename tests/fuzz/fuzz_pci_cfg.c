/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration space from the guest's side: ports and ECAM in any order, sizes and values, over a
 * host bridge, the LPC bridge, two nested ports and devices with every kind of BAR. After each
 * input the mapped BARs must be where they say and below their bridges.
 *
 * Input: records of 8 bytes: kind, size, off (2), value (4).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/acpi_pm.h"
#include "devices/chipset/ich9_lpc.h"
#include "devices/pci/pci_host.h"
#include "devices/pci/root_port.h"
#include "tests/unit/fake_root.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct world {
	struct fake_root fake;
	struct pci_root *root;
	struct pci_host host;
	struct acpi_pm pm;
	struct ich9_lpc lpc;
	struct root_port port;
	struct pci_device bridge, dev[2];
	unsigned mapped;
};

static uint64_t reg_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque, (void)size;
	return off;
}

static void reg_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	(void)off, (void)size;
	pci_set_intx(opaque, val & 1);
}

static const struct io_region_ops reg_ops = { reg_read, reg_write, 1, 8 };

static void make_device(struct world *w, unsigned i, struct pci_bus *bus, uint8_t devfn)
{
	struct pci_device *d = &w->dev[i];
	int ret = 0;

	pci_device_init(d, "fuzz", NULL, 1, 2, 0x020000, 0);
	ret |= pci_add_bar(d, 0, PCI_BAR_MEM32, false, 0x1000, &reg_ops, d);
	ret |= pci_add_bar(d, 1, PCI_BAR_IO, false, 0x20, &reg_ops, d);
	ret |= pci_add_bar(d, 2, PCI_BAR_MEM64, true, 1ull << (i ? 37 : 14), &reg_ops, d);
	ret |= pci_add_bar(d, 4, PCI_BAR_MEM64, false, 2 * GiB, &reg_ops, d);
	ret |= pci_add_bar(d, PCI_ROM_BAR, PCI_BAR_MEM32, false, 0x10000, &reg_ops, d);
	ret |= pci_add(w->root, bus, d, devfn, NULL);
	ret |= pci_add_intx(d, 1 + i);
	if (ret)
		abort();
}

static void world_make(struct world *w)
{
	int ret;

	memset(w, 0, sizeof(*w));
	fake_root_init(&w->fake);
	w->root = &w->fake.root;
	w->host.rst_cnt = &ich9_rst_cnt_ops;
	w->host.rst_cnt_opaque = &w->lpc;
	ret = acpi_pm_init(&w->pm, w->root->pio, w->root->irq, NULL);
	ret |= pci_host_init(&w->host, w->root, NULL);
	ret |= ich9_lpc_init(&w->lpc, w->root, &w->pm, NULL);
	ret |= root_port_init(&w->port, w->root, PCI_DEVFN(2, 0), 1, 0, 0, NULL);
	pci_device_init(&w->bridge, "bridge", NULL, 1, 3, 0x060400, 0);
	ret |= pci_bridge_init(&w->bridge);
	ret |= pci_add(w->root, w->port.dev.secondary, &w->bridge, 0, NULL);
	make_device(w, 0, &w->root->bus, PCI_DEVFN(1, 0));
	make_device(w, 1, w->bridge.secondary, PCI_DEVFN(1, 0));
	if (ret)
		abort();
}

static void world_end(struct world *w)
{
	pci_remove(&w->dev[1]);
	pci_remove(&w->dev[0]);
	pci_remove(&w->bridge);
	pci_device_destroy(&w->dev[0]);
	pci_device_destroy(&w->dev[1]);
	pci_device_destroy(&w->bridge);
	root_port_destroy(&w->port);
	ich9_lpc_destroy(&w->lpc);
	pci_host_destroy(&w->host);
	acpi_pm_destroy(&w->pm);
	fake_root_free(&w->fake);
}

static void step(struct world *w, const uint8_t *r)
{
	static const unsigned devfns[] = { 0, 0xf8, PCI_DEVFN(1, 0), PCI_DEVFN(2, 0) };
	unsigned size = 1u << (r[1] & 3), off = r[2] | r[3] << 8;
	uint32_t val = (uint32_t)(r[4] | r[5] << 8 | r[6] << 16) | (uint32_t)r[7] << 24;
	uint64_t ecam;

	switch (r[0] & 7) {
	case 0: /* a known device, so that random input gets anywhere */
		bus_write(w->root->pio, 0xcf8, 4,
			  0x80000000 | devfns[r[1] >> 6] << 8 | (off & 0xfc));
		bus_write(w->root->pio, 0xcfc, size, val);
		break;
	case 1:
		bus_write(w->root->pio, 0xcf8 + (off & 7), size, val);
		break;
	case 2:
		bus_read(w->root->pio, 0xcf8 + (off & 7), size);
		break;
	case 3:
	case 4:
		if (!pci_host_ecam(&w->host, &ecam))
			break;
		ecam += (uint64_t)(r[1] >> 2) << 15 | off;
		if (r[0] & 1)
			bus_write(w->root->mmio, ecam, size, val);
		else
			bus_read(w->root->mmio, ecam, size);
		break;
	case 5:
		bus_write(w->root->mmio, (uint64_t)val << 8, size, off);
		break;
	case 6:
		bus_write(w->root->pio, off, size, val);
		break;
	case 7:
		if (off == 0x5e5e)
			pci_reset_all(w->root);
		break;
	}
}

static int check(void *arg, struct pci_device *d)
{
	(void)arg;
	for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
		const struct pci_bar *b = &d->bar[n];

		if (b->mapped && (b->addr == 0 || b->addr != pci_bar_addr(d, n) ||
				  b->region.base != b->addr || !b->region.mapped))
			abort();
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct world w;

	log_set_level(LOG_ERROR);
	world_make(&w);
	for (size_t i = 0; len - i >= 8 && i < 8 * 400; i += 8)
		step(&w, data + i);
	pci_each(w.root, check, NULL);
	world_end(&w);
	return 0;
}
