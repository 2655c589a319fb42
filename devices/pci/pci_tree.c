/* SPDX-License-Identifier: BSD-2-Clause */
/* The places of PCI devices on the buses, and walks over all devices. Threads: see pci.h. */
#include <stdio.h>

#include "devices/pci/pci.h"
#include "vmm/core/addr.h"

static uint8_t bus_number(const struct pci_bus *bus)
{
	return bus && bus->bridge ? pci_get8(bus->bridge->cfg, PCI_SECONDARY_BUS) : 0;
}

uint16_t pci_rid(const struct pci_device *dev)
{
	return (uint16_t)(bus_number(dev->bus) << 8 | dev->devfn);
}

const char *pci_where(const struct pci_device *dev, char buf[8])
{
	unsigned rid = pci_rid(dev);

	snprintf(buf, 8, "%02x:%02x.%x", rid >> 8 & 0xff, rid >> 3 & 0x1f, rid & 7);
	return buf;
}

struct pci_device *pci_bus_from(const struct pci_bus *bus, unsigned devfn)
{
	for (; devfn < ARRAY_SIZE(bus->dev); devfn = (devfn | 63) + 1) {
		uint64_t rest = bus->used[devfn / 64] >> devfn % 64;

		if (rest)
			return bus->dev[devfn + (unsigned)__builtin_ctzll(rest)];
	}
	return NULL;
}

int pci_each_on_bus(struct pci_bus *bus, int (*fn)(void *, struct pci_device *), void *arg)
{
	struct pci_device *dev;
	unsigned next;
	int ret;

	for (next = 0; (dev = pci_bus_from(bus, next));) {
		next = dev->devfn + 1u;
		ret = fn(arg, dev);
		if (!ret && dev->secondary)
			ret = pci_each_on_bus(dev->secondary, fn, arg);
		if (ret)
			return ret;
	}
	return 0;
}

int pci_each(struct pci_root *root, int (*fn)(void *, struct pci_device *), void *arg)
{
	return pci_each_on_bus(&root->bus, fn, arg);
}

struct bus_count {
	unsigned bridges, highest;
};

static int count_bridge(void *arg, struct pci_device *dev)
{
	struct bus_count *c = arg;

	if (!dev->secondary)
		return 0;
	c->bridges++;
	if (pci_get8(dev->cfg, PCI_SUBORDINATE_BUS) > c->highest)
		c->highest = pci_get8(dev->cfg, PCI_SUBORDINATE_BUS);
	return 0;
}

unsigned pci_buses(struct pci_root *root)
{
	struct bus_count c = { 0 };

	pci_each(root, count_bridge, &c);
	return (c.bridges > c.highest ? c.bridges : c.highest) + 1;
}
