/* SPDX-License-Identifier: BSD-2-Clause */
/* query-pci (qapi/pci.json of QEMU): buses within each other, with what each device decodes. */
#include <jansson.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "vmm/core/cleanup.h"
#include "vmm/machine/monitor.h"

static json_t *class_info(const struct pci_device *d)
{
	return json_pack("{s: i}", "class", pci_get16(d->cfg, PCI_CLASS_DEVICE));
}

static json_t *ids(const struct pci_device *d)
{
	return json_pack("{s: i, s: i, s: i, s: i}", "vendor", pci_get16(d->cfg, PCI_VENDOR_ID),
			 "device", pci_get16(d->cfg, PCI_DEVICE_ID), "subsystem-vendor",
			 pci_get16(d->cfg, PCI_SUBSYSTEM_VENDOR_ID), "subsystem",
			 pci_get16(d->cfg, PCI_SUBSYSTEM_ID));
}

static json_t *regions(const struct pci_device *d)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < PCI_NUM_BARS; i++) {
		const struct pci_bar *b = &d->bar[i];
		json_int_t addr = b->mapped ? (json_int_t)b->addr : -1;

		if (b->kind == PCI_BAR_NONE || b->kind == PCI_BAR_HIGH_HALF)
			continue;
		if (b->kind == PCI_BAR_IO)
			json_array_append_new(all, json_pack("{s: i, s: s, s: I, s: I}", "bar", i,
							     "type", "io", "size",
							     (json_int_t)b->size, "address", addr));
		else
			json_array_append_new(all, json_pack("{s: i, s: s, s: I, s: I, s: b, s: b}",
							     "bar", i, "type", "memory", "size",
							     (json_int_t)b->size, "address", addr,
							     "prefetch", b->prefetch, "mem_type_64",
							     b->kind == PCI_BAR_MEM64));
	}
	return all;
}

static json_t *bus_devices(const struct pci_bus *, uint8_t number);

static json_t *range(json_int_t base, json_int_t limit)
{
	return json_pack("{s: I, s: I}", "base", base, "limit", limit);
}

static json_t *bridge_info(const struct pci_device *d)
{
	uint8_t number = pci_get8(d->cfg, PCI_SECONDARY_BUS);
	json_int_t io = pci_get8(d->cfg, PCI_IO_BASE), io_end = pci_get8(d->cfg, PCI_IO_LIMIT);
	json_int_t mem = pci_get16(d->cfg, PCI_MEMORY_BASE);
	json_int_t mem_end = pci_get16(d->cfg, PCI_MEMORY_LIMIT);
	json_int_t pref = pci_get16(d->cfg, PCI_PREF_MEMORY_BASE);
	json_int_t pref_end = pci_get16(d->cfg, PCI_PREF_MEMORY_LIMIT);
	json_int_t up = pci_get32(d->cfg, PCI_PREF_BASE_UPPER32);
	json_int_t up_end = pci_get32(d->cfg, PCI_PREF_LIMIT_UPPER32);

	return json_pack("{s: {s: i, s: i, s: i, s: o, s: o, s: o}, s: o}", "bus", "number",
			 pci_get8(d->cfg, PCI_PRIMARY_BUS), "secondary", number, "subordinate",
			 pci_get8(d->cfg, PCI_SUBORDINATE_BUS), "io_range",
			 range((io & 0xf0) << 8, (io_end & 0xf0) << 8 | 0xfff), "memory_range",
			 range((mem & 0xfff0) << 16, (mem_end & 0xfff0) << 16 | 0xfffff),
			 "prefetchable_range",
			 range(up << 32 | (pref & 0xfff0) << 16,
			       up_end << 32 | (pref_end & 0xfff0) << 16 | 0xfffff),
			 "devices", bus_devices(d->secondary, number));
}

static json_t *device(const struct pci_device *d, uint8_t bus)
{
	json_t *o = json_pack("{s: i, s: i, s: i, s: o, s: o, s: s, s: o}", "bus", bus, "slot",
			      d->devfn >> 3, "function", d->devfn & 7, "class_info", class_info(d),
			      "id", ids(d), "qdev_id", d->id ? d->id : d->name, "regions",
			      regions(d));

	if (o && d->secondary)
		json_object_set_new(o, "pci_bridge", bridge_info(d));
	return o;
}

/* A bus within a bus: as deep as the machine has bridges, which the guest does not make. */
static json_t *bus_devices(const struct pci_bus *bus, uint8_t number)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(bus->dev); i++)
		if (bus->dev[i])
			json_array_append_new(all, device(bus->dev[i], number));
	return all;
}

static bool bus_has(const struct pci_bus *bus, const char *id)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(bus->dev); i++) {
		const struct pci_device *d = bus->dev[i];

		if (d && (strcmp(d->id ? d->id : d->name, id) == 0 ||
			  (d->secondary && bus_has(d->secondary, id))))
			return true;
	}
	return false;
}

bool monitor_pci_has(struct pci_root *root, const char *id)
{
	scoped_lock(&root->lock);
	return bus_has(&root->bus, id);
}

json_t *monitor_pci(struct pci_root *root)
{
	scoped_lock(&root->lock);
	return json_pack("[{s: i, s: o}]", "bus", 0, "devices", bus_devices(&root->bus, 0));
}
