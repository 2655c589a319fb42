/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI core: configuration space, INTx, reset. pci_tree.c has the places of devices, pci_decode.c
 * the decoding of their BARs.
 *
 * A device has its configuration space and two masks. wmask says which bits the guest may write;
 * w1cmask says which bits it clears by writing ones. The guest cannot change any other bit. After
 * each write the same three steps follow: BARs are mapped again if the write can change decoding,
 * INTx follows INTX_DISABLE, and cfg_written() tells the device.
 *
 * A bus does not store its number. A configuration access walks down from the root through the
 * current secondary and subordinate registers (PCI-to-PCI Bridge 1.2, 3.1.2), so firmware and
 * operating systems may renumber buses at any time.
 *
 * Threads: see pci.h. A configuration write does not store to bytes without writable bits. So any
 * thread may change the interrupt bit of the status register.
 */
#include "devices/pci/pci.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci_decode.h"
#include "vmm/core/cleanup.h"

#define PCI_CAP_START	      0x40
#define PCI_CAP_LIMIT	      0x100
#define PCI_HEADER_MULTI_FUNC 0x80 /* <linux/pci_regs.h> defines it only since Linux 6.7 */

/* ---- making devices ---- */

void pci_root_init(struct pci_root *root)
{
	memset(root, 0, sizeof(*root));
	pthread_mutex_init(&root->lock, NULL);
}

void pci_root_destroy(struct pci_root *root)
{
	pthread_mutex_destroy(&root->lock);
}

void pci_device_init(struct pci_device *dev, const char *name, const struct pci_device_ops *ops,
		     uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision)
{
	memset(dev, 0, sizeof(*dev));
	dev->name = name;
	dev->ops = ops;
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->intx_lock, NULL);
	pci_set16(dev->cfg, PCI_VENDOR_ID, vendor);
	pci_set16(dev->cfg, PCI_DEVICE_ID, device);
	pci_set32(dev->cfg, PCI_CLASS_REVISION, class_code << 8 | revision);
	pci_set16(dev->wmask, PCI_COMMAND,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
			  PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	pci_set16(dev->w1cmask, PCI_STATUS,
		  PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT |
			  PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR |
			  PCI_STATUS_DETECTED_PARITY);
	dev->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	dev->wmask[PCI_INTERRUPT_LINE] = 0xff;
	dev->cap_end = PCI_CAP_START;
}

int pci_bridge_init(struct pci_device *dev)
{
	dev->secondary = calloc(1, sizeof(*dev->secondary));
	if (!dev->secondary)
		return -ENOMEM;
	dev->secondary->bridge = dev;
	dev->cfg[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	memset(dev->wmask + PCI_PRIMARY_BUS, 0xff, 3);
	/* Windows: PCI-to-PCI Bridge 1.2, 3.2.5.6-3.2.5.10. The low nibbles are the type, fixed. */
	dev->wmask[PCI_IO_BASE] = 0xf0;
	dev->wmask[PCI_IO_LIMIT] = 0xf0;
	pci_set16(dev->w1cmask, PCI_SEC_STATUS, 0xf900);
	pci_set32(dev->wmask, PCI_MEMORY_BASE, 0xfff0fff0);
	pci_set32(dev->wmask, PCI_PREF_MEMORY_BASE, 0xfff0fff0);
	pci_set32(dev->cfg, PCI_PREF_MEMORY_BASE, 0x00010001u * PCI_PREF_RANGE_TYPE_64);
	pci_set32(dev->wmask, PCI_PREF_BASE_UPPER32, 0xffffffff);
	pci_set32(dev->wmask, PCI_PREF_LIMIT_UPPER32, 0xffffffff);
	pci_set16(dev->wmask, PCI_BRIDGE_CONTROL,
		  PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_ISA |
			  PCI_BRIDGE_CTL_VGA | 0x10 /* VGA 16-bit decode */ |
			  PCI_BRIDGE_CTL_BUS_RESET);
	return 0;
}

void pci_device_destroy(struct pci_device *dev)
{
	free(dev->secondary);
	dev->secondary = NULL;
	pthread_mutex_destroy(&dev->lock);
	pthread_mutex_destroy(&dev->intx_lock);
}

int pci_add_cap(struct pci_device *dev, uint8_t id, unsigned len)
{
	unsigned off = dev->cap_end;

	if (len < PCI_CAP_SIZEOF || !range_ok(off, align_up(len, 4), PCI_CAP_LIMIT))
		return -ENOSPC;
	dev->cfg[off + PCI_CAP_LIST_ID] = id;
	dev->cfg[dev->last_cap ? dev->last_cap + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] =
		(uint8_t)off;
	dev->cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->last_cap = off;
	dev->cap_end = off + (unsigned)align_up(len, 4);
	return (int)off;
}

/* ---- INTx ---- */

uint32_t pci_slot_gsi(unsigned slot, unsigned pin)
{
	return IRQ_GSI_PCI_BASE + ((slot + pin) & 7);
}

int pci_add_intx(struct pci_device *dev, unsigned pin)
{
	const struct pci_device *at = dev;
	unsigned p = pin - 1;
	int ret;

	if (pin < 1 || pin > 4 || !dev->root)
		return -EINVAL;
	/* Each bridge rotates the pins by the slot below it (PCI-to-PCI Bridge 1.2, 9.1). */
	for (; at->bus->bridge; at = at->bus->bridge)
		p = (p + (at->devfn >> 3)) & 3;
	ret = irq_source_init(dev->root->irq, pci_slot_gsi(at->devfn >> 3, p), &dev->intx);
	if (ret)
		return ret;
	dev->cfg[PCI_INTERRUPT_PIN] = (uint8_t)pin;
	dev->has_intx = true;
	return 0;
}

static void intx_update(struct pci_device *dev)
{
	bool disabled = pci_get16(dev->cfg, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;

	if (dev->has_intx)
		irq_set(&dev->intx, dev->intx_asserted && !disabled);
}

void pci_set_intx(struct pci_device *dev, bool level)
{
	scoped_lock(&dev->intx_lock);

	dev->intx_asserted = level;
	/* PCI 3.0, 6.2.3: the status bit shows the device's request, also with INTX_DISABLE. */
	if (level)
		__atomic_fetch_or(&dev->cfg[PCI_STATUS], PCI_STATUS_INTERRUPT, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&dev->cfg[PCI_STATUS], (uint8_t)~PCI_STATUS_INTERRUPT,
				   __ATOMIC_RELAXED);
	intx_update(dev);
}

bool pci_bus_master(const struct pci_device *dev)
{
	for (; dev; dev = dev->bus ? dev->bus->bridge : NULL)
		if (!(pci_get8(dev->cfg, PCI_COMMAND) & PCI_COMMAND_MASTER))
			return false;
	return true;
}

/* ---- the tree ---- */

static void multifunction_update(struct pci_bus *bus, unsigned slot)
{
	struct pci_device **fn = &bus->dev[slot << 3];
	bool multi = false;

	for (unsigned i = 1; i < 8; i++)
		multi |= fn[i] != NULL;
	if (!fn[0])
		return;
	fn[0]->cfg[PCI_HEADER_TYPE] &= 0x7f;
	if (multi)
		fn[0]->cfg[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI_FUNC;
}

void pci_place(struct pci_root *root, struct pci_bus *bus, struct pci_device *dev, uint8_t devfn)
{
	dev->root = root;
	dev->bus = bus;
	dev->devfn = devfn;
}

int pci_add(struct pci_root *root, struct pci_bus *bus, struct pci_device *dev, uint8_t devfn,
	    struct error *err)
{
	scoped_lock(&root->lock);

	if (bus->dev[devfn])
		return error_set(err, -EBUSY, "PCI slot %02x.%x for %s is already taken by %s",
				 devfn >> 3, devfn & 7, dev->name, bus->dev[devfn]->name);
	bus->dev[devfn] = dev;
	bus->used[devfn / 64] |= 1ull << devfn % 64;
	pci_place(root, bus, dev, devfn);
	multifunction_update(bus, devfn >> 3);
	return 0;
}

void pci_region_gone(const struct pci_root *root, const struct io_region *r)
{
	if (root->region_gone)
		root->region_gone(root->region_gone_opaque, r);
}

static void regions_gone(const struct pci_device *dev)
{
	for (unsigned i = 0; i <= PCI_ROM_BAR; i++)
		pci_region_gone(dev->root, &dev->bar[i].region);
	for (unsigned i = 0; i < dev->n_parts; i++)
		pci_region_gone(dev->root, &dev->part[i]->region);
}

/* A thread of the device may set the line at the same time. */
static void intx_release(struct pci_device *dev)
{
	scoped_lock(&dev->intx_lock);

	if (dev->has_intx)
		irq_source_release(&dev->intx);
	dev->has_intx = false;
}

void pci_remove(struct pci_device *dev)
{
	struct pci_root *root = dev->root;

	if (!root)
		return;
	scoped_lock(&root->lock);
	if (dev->bus->dev[dev->devfn] == dev) { /* it may only have been placed */
		dev->bus->dev[dev->devfn] = NULL;
		dev->bus->used[dev->devfn / 64] &= ~(1ull << dev->devfn % 64);
	}
	multifunction_update(dev->bus, dev->devfn >> 3);
	pci_unmap_bars(dev);
	pci_set_intx(dev, false);
	intx_release(dev);
	if (dev->ops && dev->ops->unrealize)
		dev->ops->unrealize(dev);
	regions_gone(dev);
	dev->root = NULL;
	dev->bus = NULL;
	/* Its addresses are free now, so other BARs may be mapped there. */
	pci_update_mappings(root);
}

static struct pci_bus *find_bus(struct pci_bus *from, uint8_t nr)
{
	struct pci_device *br;

	for (unsigned next = 0; (br = pci_bus_from(from, next)); next = br->devfn + 1u) {
		uint8_t sec;

		if (!br->secondary || br->secondary->off)
			continue;
		sec = br->cfg[PCI_SECONDARY_BUS];
		if (sec == 0 || nr < sec)
			continue;
		if (nr == sec)
			return br->secondary;
		if (nr <= br->cfg[PCI_SUBORDINATE_BUS])
			return find_bus(br->secondary, nr);
	}
	return NULL;
}

static struct pci_device *find_device(struct pci_root *root, uint8_t nr, uint8_t devfn)
{
	struct pci_bus *bus = nr == 0 ? &root->bus : find_bus(&root->bus, nr);

	return bus ? bus->dev[devfn] : NULL;
}

/* ---- reset ---- */

/* Reads eight bytes at once, because most of them have no such bits. A byte without such bits is
 * not stored to. */
void pci_clear_bits(struct pci_device *dev, const uint8_t a[PCI_CFG_SPACE_SIZE],
		    const uint8_t b[PCI_CFG_SPACE_SIZE])
{
	for (unsigned i = 0; i < PCI_CFG_SPACE_SIZE; i += sizeof(uint64_t)) {
		uint64_t x, y = UINT64_MAX;

		memcpy(&x, a + i, sizeof(x));
		if (b)
			memcpy(&y, b + i, sizeof(y));
		x &= y; /* the loop below expects a little-endian host */
		for (unsigned at = i; x; x >>= 8, at++)
			if (x & 0xff)
				pci_set8(dev->cfg, at, dev->cfg[at] & (uint8_t)~x);
	}
}

static int reset_device(void *arg, struct pci_device *dev)
{
	(void)arg;
	pci_set_intx(dev, false);
	pci_clear_bits(dev, dev->wmask, NULL);
	pci_clear_bits(dev, dev->w1cmask, NULL);
	dev->sizing = 0;
	if (dev->ops && dev->ops->reset)
		dev->ops->reset(dev);
	return 0;
}

static int unmap_device(void *arg, struct pci_device *dev)
{
	(void)arg;
	pci_unmap_bars(dev);
	return 0;
}

/* Unmaps all BARs first: during its reset a device must not be reachable. */
static void reset_bus(struct pci_bus *bus)
{
	pci_each_on_bus(bus, unmap_device, NULL);
	pci_each_on_bus(bus, reset_device, NULL);
}

static int quiesce_device(void *arg, struct pci_device *dev)
{
	const char **busy = arg;

	if (dev->ops && dev->ops->quiesce && !dev->ops->quiesce(dev))
		*busy = dev->name;
	return 0;
}

const char *pci_quiesce(struct pci_root *root)
{
	const char *busy = NULL;

	scoped_lock(&root->lock);
	pci_each_on_bus(&root->bus, quiesce_device, &busy);
	return busy;
}

struct pausing {
	bool pause;
	const char *busy;
};

static int pause_device(void *arg, struct pci_device *dev)
{
	struct pausing *p = arg;

	if (dev->ops && dev->ops->pause && !dev->ops->pause(dev, p->pause))
		p->busy = dev->name;
	return 0;
}

const char *pci_pause(struct pci_root *root, bool pause)
{
	struct pausing p = { .pause = pause };

	scoped_lock(&root->lock);
	pci_each_on_bus(&root->bus, pause_device, &p);
	return p.busy;
}

void pci_reset_all(struct pci_root *root)
{
	scoped_lock(&root->lock);

	root->cf8 = 0;
	reset_bus(&root->bus);
}

/* ---- configuration space ---- */

uint32_t pci_default_cfg_read(struct pci_device *dev, unsigned off, unsigned size)
{
	uint32_t v = 0;

	if (!range_ok(off, size, PCI_CFG_SIZE))
		return UINT32_MAX;
	for (unsigned i = 0; i < size && i < 4; i++)
		v |= (uint32_t)pci_get8(dev->cfg, off + i) << (8 * i);
	return v;
}

void pci_default_cfg_write(struct pci_device *dev, unsigned off, unsigned size, uint32_t val)
{
	uint16_t old_bctl = pci_get16(dev->cfg, PCI_BRIDGE_CONTROL);

	if (!range_ok(off, size, PCI_CFG_SIZE) || size > 4)
		return;
	for (unsigned i = 0; i < size && off + i < PCI_CFG_SPACE_SIZE; i++) {
		uint8_t b = (uint8_t)(val >> (8 * i)), c = dev->cfg[off + i];
		uint8_t w = dev->wmask[off + i], w1c = dev->w1cmask[off + i];

		if (w | w1c)
			pci_set8(dev->cfg, off + i, (uint8_t)(((c & ~w) | (b & w)) & ~(b & w1c)));
	}
	pci_note_sizing(dev, off, size, val);
	/* Secondary bus reset (PCI-to-PCI Bridge 1.2, 3.2.5.18): acts on the rising edge. */
	if (dev->secondary &&
	    ~old_bctl & pci_get16(dev->cfg, PCI_BRIDGE_CONTROL) & PCI_BRIDGE_CTL_BUS_RESET)
		reset_bus(dev->secondary);
	if (dev->root && pci_affects_decode(dev, off, size))
		pci_update_mappings(dev->root);
	if (range_overlaps(off, size, PCI_COMMAND, 2)) {
		scoped_lock(&dev->intx_lock);
		intx_update(dev);
	}
	if (dev->ops && dev->ops->cfg_written)
		dev->ops->cfg_written(dev, off, size);
}

static uint32_t size_mask(unsigned size)
{
	return size >= 4 ? UINT32_MAX : (1u << (8 * size)) - 1;
}

static uint32_t device_read(struct pci_device *dev, unsigned off, unsigned size)
{
	uint32_t v;

	if (dev->ops && dev->ops->cfg_read)
		v = dev->ops->cfg_read(dev, off, size);
	else
		v = pci_default_cfg_read(dev, off, size);
	return v & size_mask(size);
}

static void device_write(struct pci_device *dev, unsigned off, unsigned size, uint32_t val)
{
	if (dev->ops && dev->ops->cfg_write)
		dev->ops->cfg_write(dev, off, size, val);
	else
		pci_default_cfg_write(dev, off, size, val);
}

static bool cfg_access_ok(unsigned off, unsigned size)
{
	return (size == 1 || size == 2 || size == 4) && range_ok(off, size, PCI_CFG_SIZE);
}

void pci_explain_cfg(struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned off,
		     struct io_place *p)
{
	const struct pci_device *dev;

	scoped_lock(&root->lock);
	dev = find_device(root, bus, devfn);
	p->off = off;
	/* All functions that do not exist share one line in the statistics. */
	snprintf(p->device, sizeof(p->device), "%s", dev && dev->name ? dev->name : "nothing");
	snprintf(p->where, sizeof(p->where), "configuration");
	if (dev)
		snprintf(p->where, sizeof(p->where), "configuration of %02x:%02x.%x", bus,
			 devfn >> 3, devfn & 7);
	snprintf(p->cause, sizeof(p->cause), "%s",
		 dev ? "emulated" : "the guest looks for devices");
}

uint32_t pci_cfg_read(struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned off,
		      unsigned size)
{
	struct pci_device *dev = find_device(root, bus, devfn);
	uint32_t v = 0;

	if (!dev || !cfg_access_ok(off, size))
		return size_mask(size);
	if ((off & (size - 1)) == 0)
		return device_read(dev, off, size);
	for (unsigned i = 0; i < size; i++)
		v |= device_read(dev, off + i, 1) << (8 * i);
	return v;
}

void pci_cfg_write(struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned off, unsigned size,
		   uint32_t val)
{
	struct pci_device *dev = find_device(root, bus, devfn);

	if (!dev || !cfg_access_ok(off, size))
		return;
	val &= size_mask(size);
	if ((off & (size - 1)) == 0)
		device_write(dev, off, size, val);
	else
		for (unsigned i = 0; i < size; i++)
			device_write(dev, off + i, 1, val >> (8 * i) & 0xff);
}
