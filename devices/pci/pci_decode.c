/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BAR decoding: which BARs answer, and where.
 *
 * A BAR answers if three conditions hold: its address is final, decoding is on in the command
 * register, and every bridge above has decoding on and a window that contains the whole BAR. After
 * each write that may change this, one pass over the tree unmaps the BARs that must not answer any
 * more, and a second pass maps those that now may. So two BARs can swap their addresses, and a BAR
 * that lost a conflict is mapped when the other one leaves.
 *
 * An address is not final while the guest finds out the size of the BAR: a vfio BAR that is mapped
 * at its sizing value would cover the flash. A dword is being sized if it was last written with all
 * ones in one access. The value that the register then has does not tell this: 0x80000000 is both
 * the size mask and a valid address of a 2 GiB BAR. Besides, a BAR is never mapped at 0, over the
 * last byte below 4 GiB (the reset vector), or above 2^52.
 *
 * Threads: root lock held.
 */
#include "devices/pci/pci_decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "devices/pci/pci.h"

#define PHYS_LIMIT (1ull << 52)

/* The addresses that a bridge forwards: [base, limit]; none if base > limit. */
struct window {
	uint64_t base, limit;
};
struct reach {
	bool io, mem; /* decoding is on in all bridges above */
	bool root;    /* on the root bus, where no window limits the addresses */
	struct window iow, memw, prefw;
};

static unsigned bar_offset(const struct pci_device *dev, unsigned n)
{
	if (n < PCI_ROM_BAR)
		return PCI_BASE_ADDRESS_0 + 4 * n;
	return dev->secondary ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;
}

static unsigned num_bars(const struct pci_device *dev)
{
	return dev->secondary ? 2 : PCI_NUM_BARS;
}

static int check_bar(const struct pci_device *dev, unsigned n, enum pci_bar_kind kind,
		     uint64_t size)
{
	uint64_t min = kind == PCI_BAR_IO ? 4 : n == PCI_ROM_BAR ? 2048 : 16;
	uint64_t max = kind == PCI_BAR_IO      ? 0x8000
		       : kind == PCI_BAR_MEM64 ? 1ull << 51
					       : 1ull << 31;

	if (n != PCI_ROM_BAR && n + (kind == PCI_BAR_MEM64) >= num_bars(dev))
		return -EINVAL;
	if (n == PCI_ROM_BAR ? kind != PCI_BAR_MEM32
			     : kind == PCI_BAR_NONE || kind == PCI_BAR_HIGH_HALF)
		return -EINVAL;
	if (!is_pow2(size) || size < min || size > max)
		return -EINVAL;
	if (dev->bar[n].kind || (kind == PCI_BAR_MEM64 && dev->bar[n + 1].kind))
		return -EBUSY;
	return 0;
}

static void explain_bar(const struct io_region *r, uint64_t off, struct io_place *p)
{
	const struct pci_bar *bar =
		(const void *)((const char *)r - offsetof(struct pci_bar, region));

	snprintf(p->where, sizeof(p->where), bar->n == PCI_ROM_BAR ? "ROM" : "BAR %u", bar->n);
	p->off = off;
}

int pci_add_bar(struct pci_device *dev, unsigned n, enum pci_bar_kind kind, bool prefetch,
		uint64_t size, const struct io_region_ops *ops, void *opaque)
{
	unsigned off;
	uint32_t type = kind == PCI_BAR_IO ? PCI_BASE_ADDRESS_SPACE_IO : 0;
	int ret = n > PCI_ROM_BAR ? -EINVAL : check_bar(dev, n, kind, size);

	if (ret)
		return ret;
	off = bar_offset(dev, n);
	if (kind == PCI_BAR_MEM64) {
		type = PCI_BASE_ADDRESS_MEM_TYPE_64;
		pci_set32(dev->wmask, off + 4, (uint32_t)(~(size - 1) >> 32));
		dev->bar[n + 1].kind = PCI_BAR_HIGH_HALF;
	}
	if (prefetch && kind != PCI_BAR_IO && n != PCI_ROM_BAR)
		type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	pci_set32(dev->cfg, off, type);
	pci_set32(dev->wmask, off,
		  (uint32_t) ~(size - 1) | (n == PCI_ROM_BAR ? PCI_ROM_ADDRESS_ENABLE : 0));
	dev->bar[n] = (struct pci_bar){
		.kind = kind,
		.prefetch = prefetch,
		.size = size,
		.n = (uint8_t)n,
		.region = { .name = dev->name,
			    .size = size,
			    .ops = ops,
			    .opaque = opaque,
			    .lock = &dev->lock,
			    .explain = explain_bar },
	};
	return 0;
}

static void explain_part(const struct io_region *r, uint64_t off, struct io_place *p)
{
	const struct pci_bar_part *part =
		(const void *)((const char *)r - offsetof(struct pci_bar_part, region));

	snprintf(p->where, sizeof(p->where), "BAR %u", part->bar);
	snprintf(p->cause, sizeof(p->cause), "%s%s%s", part->what, part->why ? ": " : "",
		 part->why ? part->why : "");
	p->off = part->off + off;
}

int pci_add_bar_part(struct pci_device *dev, struct pci_bar_part *part)
{
	if (part->bar >= PCI_NUM_BARS)
		return -EINVAL;
	if (dev->n_parts == PCI_MAX_PARTS)
		return -ENOSPC;
	part->region.name = dev->name;
	part->region.explain = explain_part;
	dev->part[dev->n_parts++] = part;
	return 0;
}

void pci_note_sizing(struct pci_device *dev, unsigned off, unsigned size, uint32_t val)
{
	for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
		unsigned at = bar_offset(dev, n);
		/* A guest may write anything to the type bits and to the reserved bits of the ROM
		 * BAR. */
		uint32_t low = n == PCI_ROM_BAR ? 0x7ff : 0xf;

		if ((n < PCI_ROM_BAR && n >= num_bars(dev)) || !range_overlaps(off, size, at, 4))
			continue;
		if (dev->bar[n].kind == PCI_BAR_HIGH_HALF)
			low = 0;
		dev->sizing &= (uint8_t) ~(1u << n);
		if (size == 4 && (val | low) == UINT32_MAX)
			dev->sizing |= (uint8_t)(1u << n);
	}
}

bool pci_affects_decode(const struct pci_device *dev, unsigned off, unsigned size)
{
	if (range_overlaps(off, size, PCI_COMMAND, 2) ||
	    range_overlaps(off, size, bar_offset(dev, PCI_ROM_BAR), 4) ||
	    range_overlaps(off, size, PCI_BASE_ADDRESS_0, 4 * num_bars(dev)))
		return true;
	/* The I/O, memory and prefetchable windows with their upper halves: 0x1c to 0x33. */
	return dev->secondary && range_overlaps(off, size, PCI_IO_BASE, 0x18);
}

uint64_t pci_bar_addr(const struct pci_device *dev, unsigned n)
{
	unsigned off = n <= PCI_ROM_BAR ? bar_offset(dev, n) : 0;
	uint64_t v;
	unsigned busy;

	if (!off || !dev->bar[n].size)
		return 0;
	busy = 1u << n | (dev->bar[n].kind == PCI_BAR_MEM64 ? 2u << n : 0);
	if (dev->sizing & busy)
		return 0;
	v = pci_get32(dev->cfg, off);
	if (dev->bar[n].kind == PCI_BAR_MEM64)
		v |= (uint64_t)pci_get32(dev->cfg, off + 4) << 32;
	return v & ~(dev->bar[n].size - 1);
}

static bool final_address(const struct pci_bar *bar, uint64_t addr)
{
	if (addr == 0)
		return false;
	if (bar->kind == PCI_BAR_IO)
		return range_ok(addr, bar->size, 0x10000);
	return range_ok(addr, bar->size, PHYS_LIMIT) &&
	       !range_overlaps(addr, bar->size, 4 * GiB - 1, 1);
}

static bool in_window(const struct window *w, uint64_t addr, uint64_t size)
{
	return w->base <= w->limit && addr >= w->base && addr <= w->limit &&
	       size - 1 <= w->limit - addr;
}

/* The address at which BAR n must answer now, or 0. */
static uint64_t bar_decodes(const struct pci_device *dev, unsigned n, const struct reach *r)
{
	const struct pci_bar *bar = &dev->bar[n];
	uint16_t cmd = pci_get16(dev->cfg, PCI_COMMAND);
	uint64_t addr = pci_bar_addr(dev, n);
	bool io = bar->kind == PCI_BAR_IO;

	if (!(cmd & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) || !(io ? r->io : r->mem))
		return 0;
	if (n == PCI_ROM_BAR && !(dev->cfg[bar_offset(dev, n)] & PCI_ROM_ADDRESS_ENABLE))
		return 0;
	if (!final_address(bar, addr))
		return 0;
	if (r->root)
		return addr;
	if (io)
		return in_window(&r->iow, addr, bar->size) ? addr : 0;
	return in_window(&r->memw, addr, bar->size) || in_window(&r->prefw, addr, bar->size) ? addr
											     : 0;
}

static struct window narrow(struct window w, bool root, const struct window *above)
{
	if (root)
		return w;
	if (w.base < above->base)
		w.base = above->base;
	if (w.limit > above->limit)
		w.limit = above->limit;
	return w;
}

static struct reach reach_below(const struct pci_device *br, const struct reach *up)
{
	uint16_t cmd = pci_get16(br->cfg, PCI_COMMAND);
	uint32_t mem = pci_get32(br->cfg, PCI_MEMORY_BASE);
	uint32_t pref = pci_get32(br->cfg, PCI_PREF_MEMORY_BASE);
	bool on = !br->secondary->off;
	struct reach r = { .io = on && up->io && cmd & PCI_COMMAND_IO,
			   .mem = on && up->mem && cmd & PCI_COMMAND_MEMORY };

	r.iow.base = (br->cfg[PCI_IO_BASE] & 0xf0u) << 8;
	r.iow.limit = (br->cfg[PCI_IO_LIMIT] & 0xf0u) << 8 | 0xfff;
	r.memw.base = (mem & 0xfff0) << 16;
	r.memw.limit = (mem & 0xfff00000) | 0xfffff;
	r.prefw.base = (uint64_t)pci_get32(br->cfg, PCI_PREF_BASE_UPPER32) << 32 | (pref & 0xfff0)
											   << 16;
	r.prefw.limit = (uint64_t)pci_get32(br->cfg, PCI_PREF_LIMIT_UPPER32) << 32 |
			(pref & 0xfff00000) | 0xfffff;
	/* A window must lie in the window of the same kind of the bridge above. No firmware puts a
	 * memory window into a prefetchable one. */
	r.iow = narrow(r.iow, up->root, &up->iow);
	r.memw = narrow(r.memw, up->root, &up->memw);
	r.prefw = narrow(r.prefw, up->root, &up->prefw);
	return r;
}

/* True while the upper halves of a 64-bit window are being written: Linux first clears the upper
 * half of the limit, which closes the window, and writes its new value last. */
static bool half_written(const struct window *w, uint64_t addr)
{
	return w->base >= 4 * GiB && w->limit < 4 * GiB && addr >= w->base;
}

enum pci_paused pci_bar_paused(const struct pci_device *dev, unsigned n, uint64_t at)
{
	const struct reach all = { .io = true, .mem = true, .root = true };
	const struct pci_bar *bar = &dev->bar[n];
	uint8_t busy = (uint8_t)(1u << n | (bar->kind == PCI_BAR_MEM64 ? 2u << n : 0));
	const struct pci_device *br = dev->bus ? dev->bus->bridge : NULL;
	bool above = false, half = false;

	if (!(dev->sizing & busy) && pci_bar_addr(dev, n) != at)
		return PCI_NOT_PAUSED;
	for (; br; br = br->bus->bridge) {
		struct reach r = reach_below(br, &all);

		if (br->secondary->off)
			return PCI_NOT_PAUSED;
		if (!in_window(&r.memw, at, bar->size) && !in_window(&r.prefw, at, bar->size)) {
			if (!half_written(&r.prefw, at))
				return PCI_NOT_PAUSED;
			half = true;
		}
		above |= !r.mem;
	}
	if (half || dev->sizing & busy || !(pci_get16(dev->cfg, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return PCI_PAUSED;
	return above ? PCI_PAUSED_ABOVE : PCI_NOT_PAUSED;
}

/* Takes a BAR off the bus: first its parts, then the BAR. bus_enter() adds them in reverse
 * order. */
static void bus_leave(struct pci_device *dev, struct pci_bar *bar)
{
	struct bus *bus = bar->kind == PCI_BAR_IO ? dev->root->pio : dev->root->mmio;

	for (unsigned i = dev->n_parts; i-- > 0;)
		if (dev->part[i]->bar == bar->n && dev->part[i]->region.mapped)
			bus_del(bus, &dev->part[i]->region);
	if (bar->region.ops)
		bus_del(bus, &bar->region);
}

static int bus_enter(struct pci_device *dev, struct pci_bar *bar, uint64_t addr)
{
	struct bus *bus = bar->kind == PCI_BAR_IO ? dev->root->pio : dev->root->mmio;
	int ret = 0;

	bar->region.base = addr;
	if (bar->region.ops)
		ret = bus_add(bus, &bar->region);
	if (ret)
		return ret;
	for (unsigned i = 0; i < dev->n_parts && !ret; i++) {
		struct pci_bar_part *part = dev->part[i];

		if (part->bar != bar->n || !range_ok(part->off, part->region.size, bar->size))
			continue;
		part->region.base = addr + part->off; /* cannot wrap: it is inside the BAR */
		ret = bus_add(bus, &part->region);
	}
	if (ret)
		bus_leave(dev, bar);
	return ret;
}

static void unmap_bar(struct pci_device *dev, unsigned n)
{
	struct pci_bar *bar = &dev->bar[n];

	bar->mapped = false;
	if (dev->ops && dev->ops->bar_mapped)
		dev->ops->bar_mapped(dev, n, false);
	bus_leave(dev, bar);
}

struct claim {
	const struct pci_device *by;
	unsigned n;
	uint64_t base, size;
};

static int tell_claim(void *arg, struct pci_device *dev)
{
	const struct claim *c = arg;

	if (dev->ops && dev->ops->claimed)
		dev->ops->claimed(dev, c->by, c->n, c->base, c->size);
	return 0;
}

static void map_bar(struct pci_device *dev, unsigned n, uint64_t addr)
{
	struct pci_bar *bar = &dev->bar[n];
	struct claim claim = { dev, n, addr, bar->size };
	char where[8];
	int ret;

	if (bar->kind != PCI_BAR_IO)
		pci_each(dev->root, tell_claim, &claim);
	ret = bus_enter(dev, bar, addr);
	if (ret) {
		log_guest(&dev->limit, "%s (%s): BAR %u stays off at %#" PRIx64 ": %s", dev->name,
			  pci_where(dev, where), n, addr,
			  ret == -EEXIST ? "something else is at this address"
					 : "there is no such address");
		return;
	}
	bar->addr = addr;
	bar->mapped = true;
	if (dev->ops && dev->ops->bar_mapped)
		dev->ops->bar_mapped(dev, n, true);
}

void pci_unmap_bars(struct pci_device *dev)
{
	for (unsigned n = 0; n <= PCI_ROM_BAR; n++)
		if (dev->bar[n].mapped)
			unmap_bar(dev, n);
}

static void update_device(struct pci_device *dev, const struct reach *r, bool map)
{
	for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
		struct pci_bar *bar = &dev->bar[n];
		uint64_t want;

		if (!bar->size)
			continue;
		want = bar_decodes(dev, n, r);
		if (!map && bar->mapped && bar->addr != want)
			unmap_bar(dev, n);
		if (map && !bar->mapped && want)
			map_bar(dev, n, want);
	}
}

static void update_bus(struct pci_bus *bus, const struct reach *r, bool map)
{
	struct pci_device *dev;

	for (unsigned next = 0; (dev = pci_bus_from(bus, next)); next = dev->devfn + 1u) {
		struct reach below;

		update_device(dev, r, map);
		if (!dev->secondary)
			continue;
		below = reach_below(dev, r);
		update_bus(dev->secondary, &below, map);
	}
}

static int tell_changed(void *arg, struct pci_device *dev)
{
	(void)arg;
	if (dev->ops && dev->ops->decode_changed)
		dev->ops->decode_changed(dev);
	return 0;
}

void pci_update_mappings(struct pci_root *root)
{
	const struct reach all = { .io = true, .mem = true, .root = true };

	update_bus(&root->bus, &all, false);
	update_bus(&root->bus, &all, true);
	pci_each(root, tell_changed, NULL);
}

/* ---- fixed ranges ---- */

bool pci_fixed_overlaps(const struct pci_root *root, uint64_t base, uint64_t size)
{
	return range_overlaps(base, size, PCI_FIXED_BASE, 4 * GiB - PCI_FIXED_BASE) ||
	       (root->ecam_size && range_overlaps(base, size, root->ecam_base, root->ecam_size));
}

void pci_set_ecam_range(struct pci_root *root, uint64_t base, uint64_t size)
{
	root->ecam_base = base;
	root->ecam_size = size;
	pci_each(root, tell_changed, NULL);
}
