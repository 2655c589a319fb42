// SPDX-License-Identifier: BSD-2-Clause
/* MSI-X table, PBA and capability flags: any access at any offset, vectors raised in between. */
#include <stdint.h>
#include <string.h>

#include "devices/pci/msix.h"
#include "tests/unit/fake_root.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void step(struct pci_device *dev, unsigned n, const uint8_t *s)
{
	uint64_t val;
	uint32_t off;

	memcpy(&off, s + 1, 4);
	memcpy(&val, s + 1, 8);
	if (s[0] & 0x80)
		off %= msix_span(n) + 16;
	switch (s[0] & 7) {
	case 0:
		msix_read(dev, off, 1u << (s[0] >> 3 & 3));
		break;
	case 1:
	case 2:
		msix_write(dev, off, 1u << (s[0] >> 3 & 3), val);
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
	default: /* the capability is the only one, at 0x40 */
		pci_default_cfg_write(dev, 0x42, 2, off);
		msix_cfg_written(dev);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct pci_device_ops none;
	struct fake_root f; /* with fewer routes than vectors */
	struct pci_device dev;
	unsigned n = len ? data[0] % 70 + 1 : 1;

	fake_root_init(&f);
	pci_device_init(&dev, "fuzz", &none, 0x1234, 0x5678, 0xff0000, 0);
	if (msix_init(&dev, n, 0, 0x4000, NULL) == 0) {
		dev.root = &f.root;
		dev.bus = &f.root.bus;
		for (size_t i = 1; i + 9 <= len && i < 64 * 9; i += 9)
			step(&dev, n, data + i);
		dev.root = NULL;
		msix_destroy(&dev);
	}
	pci_device_destroy(&dev);
	fake_root_free(&f);
	return 0;
}
