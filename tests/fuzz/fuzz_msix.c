/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X table, PBA and capability flags: any access at any offset in or around them, through the
 * bus, while vectors are raised and the BAR moves. */
#include <stdint.h>
#include <string.h>

#include "devices/pci/msix.h"
#include "tests/unit/fake_root.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define DEVFN PCI_DEVFN(3, 0)
#define BAR   0xe0000000u
#define TABLE 0x4000u
#define SPAN  0x2010u /* table and PBA, a page each, and what follows */

static const struct io_region_ops nothing;

/* Powers of two, and 3 and 7. */
static unsigned some_size(uint8_t s)
{
	unsigned log = s >> 3 & 3;

	return (1u << log) - (s & 0x20 && log);
}

static void step(struct pci_device *dev, const uint8_t *s)
{
	struct pci_root *root = dev->root;
	uint64_t val, at;
	uint32_t off;

	memcpy(&off, s + 1, 4);
	memcpy(&val, s + 1, 8);
	at = BAR + TABLE + (s[0] & 0x80 ? off % SPAN : off);
	switch (s[0] & 7) {
	case 0:
		bus_read(root->mmio, at, some_size(s[0]));
		break;
	case 1:
	case 2:
		bus_write(root->mmio, at, some_size(s[0]), val);
		break;
	case 3:
		msix_notify(dev, off);
		break;
	case 4:
		msix_eventfd(dev, off % 80);
		break;
	case 5:
		msix_reset(dev);
		break;
	case 6:
		pci_cfg_write(root, 0, DEVFN, PCI_COMMAND, 2, off);
		msix_cfg_written(dev);
		break;
	default: /* the capability is the only one, at 0x40 */
		pci_cfg_write(root, 0, DEVFN, 0x42, 2, off);
		msix_cfg_written(dev);
	}
}

static void plug(struct fake_root *f, struct pci_device *dev)
{
	pci_add_bar(dev, 0, PCI_BAR_MEM32, false, 0x8000, &nothing, NULL);
	pci_add(&f->root, &f->root.bus, dev, DEVFN, NULL);
	pci_cfg_write(&f->root, 0, DEVFN, PCI_BASE_ADDRESS_0, 4, BAR);
	pci_cfg_write(&f->root, 0, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	msix_cfg_written(dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct pci_device_ops none;
	struct fake_root f; /* with fewer routes than vectors */
	struct pci_device dev;
	unsigned n = len ? data[0] % 70 + 1 : 1;

	fake_root_init(&f);
	pci_device_init(&dev, "fuzz", &none, 0x1234, 0x5678, 0xff0000, 0);
	if (msix_init(&dev, n, 0, TABLE, NULL) == 0) {
		plug(&f, &dev);
		for (size_t i = 1; i + 9 <= len && i < 64 * 9; i += 9)
			step(&dev, data + i);
		pci_remove(&dev);
		msix_destroy(&dev);
	}
	pci_device_destroy(&dev);
	fake_root_free(&f);
	return 0;
}
