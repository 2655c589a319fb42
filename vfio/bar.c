/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BARs of a passed-through function.
 *
 * What VFIO lets us map of a memory BAR is mapped into our process once, when the device is opened,
 * and becomes guest memory (a memslot) wherever the guest places the BAR: accesses then reach the
 * hardware without an exit. Left out, and trapped on the bus underneath, are the pages of its parts
 * (struct pci_bar_part: the MSI-X table and PBA, and what a quirk asks for), what the kernel does
 * not let be mapped (its sparse areas), and I/O BARs. PCI 3.0, 6.8.2 gives table and PBA pages of
 * their own; registers of devices that share them anyway work, by trapping.
 *
 * The address of the mapping is aligned to min(BAR size, 1 GiB): kernels with huge pfn mappings
 * (6.12) then map it, and pin it for the IOMMU, by the gigabyte instead of by the page.
 *
 * Staying. Linux switches memory decoding off around sizing each single BAR register (six times a
 * device and boot), and every memslot change costs an SRCU grace period and drops all of KVM's page
 * tables. So a BAR that stops decoding because of the function's command register, or because its
 * register is being sized, stays in guest memory as *stale* for up to VFIO_LINGER_NS: it costs
 * nothing when it comes back at the same place. Till then it answers, against PCI 3.0, 6.2.2: an
 * access to a memslot does not ask us. The kernel's memory decoding stays on as long (config.c), or
 * guest accesses would fault. It also stays while a bridge's 64-bit window is written in halves.
 * Linux sizes a bridge's registers in the same way; a BAR behind it leaves the first time and stays
 * when that is repeated within VFIO_LINGER_NS. In all other cases (bridge windows, other addresses,
 * sleep, claims by others) a BAR leaves at once.
 *
 * Fixed ranges. KVM looks at memslots before it looks at its own APICs or asks us, so a BAR that
 * the guest puts over one of these would hide it, or ECAM. Where it touches one it is trapped on
 * the bus, which knows who is above (pci_fixed_overlaps()).
 *
 * BARs smaller than a page are mapped as a page when the guest places them on a page of their own
 * (the kernel maps them only when the host's page has nothing else in it).
 *
 * Threads: root lock held; trapped accesses under dev.lock, which touch only what does not change
 * after the start. guest_mem_add/del() serialise themselves and call back nothing of ours.
 */
#include "vfio/bar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vfio/config.h"
#include "vfio/info_cap.h"
#include "vfio/iommu/iommu.h"
#include "vfio/rom.h"
#include "vfio/stats.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/mem.h"
#include "vmm/core/stats.h"

/* ---- which parts are mapped ---- */

static int by_offset(const void *a, const void *b)
{
	const struct vfio_area *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* Whole pages inside [off, off + size) and the region. */
static void add_area(struct vfio_area *out, unsigned *n, uint64_t off, uint64_t size,
		     uint64_t limit)
{
	uint64_t start = align_up(off, VFIO_PAGE), end;

	if (off >= limit || (off && !start))
		return;
	if (size > limit - off)
		size = limit - off;
	end = align_down(off + size, VFIO_PAGE); /* both inside the limit */
	if (start < end)
		out[(*n)++] = (struct vfio_area){ start, end - start };
}

/* Takes the pages of one hole out of the areas; there is room for one area more. */
static unsigned cut(struct vfio_area *a, unsigned n, uint64_t hole, uint64_t len)
{
	uint64_t from = align_down(hole, VFIO_PAGE), to = align_up(hole + len, VFIO_PAGE);
	unsigned kept = n;

	for (unsigned i = 0; i < n; i++) {
		uint64_t off = a[i].off, end = off + a[i].size;

		if (from >= end || to <= off)
			continue;
		a[i].size = from > off ? from - off : 0;
		if (to >= end)
			continue;
		if (a[i].size)
			a[kept++] = (struct vfio_area){ to, end - to };
		else
			a[i] = (struct vfio_area){ to, end - to };
	}
	return kept;
}

/* Sorts, drops the empty, joins what touches or overlaps (the kernel is not supposed to). */
static unsigned tidy(struct vfio_area *a, unsigned n)
{
	unsigned kept = 0;

	qsort(a, n, sizeof(*a), by_offset);
	for (unsigned i = 0; i < n; i++) {
		struct vfio_area *last = kept ? &a[kept - 1] : NULL;
		uint64_t end = a[i].off + a[i].size;

		if (!a[i].size)
			continue;
		if (!last || a[i].off > last->off + last->size)
			a[kept++] = a[i];
		else if (end > last->off + last->size)
			last->size = end - last->off;
	}
	return kept;
}

int vfio_bar_areas(const struct vfio_region_info *info, const struct vfio_area *hole,
		   unsigned n_holes, struct vfio_area **out)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse =
		vfio_info_cap(info, info->argsz, sizeof(*info),
			      info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0,
			      VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(*sparse));
	uint64_t room = sparse ? (info->argsz - ((const char *)sparse - (const char *)info) -
				  sizeof(*sparse)) /
					 sizeof(sparse->areas[0])
			       : 0;
	unsigned n_sparse = !sparse ? 1 : sparse->nr_areas < room ? sparse->nr_areas : room;
	unsigned n = 0;
	struct vfio_area *a = calloc(n_sparse + n_holes + 1, sizeof(*a));

	*out = a;
	if (!a)
		return -ENOMEM;
	if (!sparse)
		add_area(a, &n, 0, info->size, info->size);
	for (unsigned i = 0; sparse && i < n_sparse; i++)
		add_area(a, &n, sparse->areas[i].offset, sparse->areas[i].size, info->size);
	n = tidy(a, n);
	for (unsigned i = 0; i < n_holes; i++)
		if (hole[i].size && range_ok(hole[i].off, hole[i].size, info->size))
			n = cut(a, n, hole[i].off, hole[i].size);
	return (int)tidy(a, n);
}

/* ---- our mapping ---- */

/* Address space for `size` bytes at a multiple of `align`, with nothing behind it. */
static char *reserve(uint64_t size, uint64_t align)
{
	uint64_t all = size + align, head;
	char *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	head = align_up((uintptr_t)p, align) - (uintptr_t)p;
	if (head)
		munmap(p, head);
	munmap(p + head + size, align - head); /* at least a byte: head < align */
	return p + head;
}

static void map_areas(struct vfio_bar *bar)
{
	struct vfio_kernel *k = bar->v->k;
	unsigned kept = 0;

	bar->host_size = align_up(bar->size, VFIO_PAGE);
	bar->host = reserve(bar->host_size, bar->host_size < GiB ? bar->host_size : GiB);
	for (unsigned i = 0; bar->host && i < bar->n_areas; i++) {
		struct vfio_area *a = &bar->area[i];
		int ret = k->ops->region_mmap(k, bar->host + a->off, a->size,
					      PROT_READ | PROT_WRITE, bar->region_off + a->off);

		if (ret == 0)
			bar->area[kept++] = *a;
		else
			log_warn("%s: BAR %u: %llu KiB cannot be mapped (%s); the guest's "
				 "accesses there will be slow",
				 k->name, bar->n, a->size / KiB, strerror(-ret));
	}
	bar->n_areas = kept;
}

static unsigned holes_of(const struct vfio_pci *v, unsigned n, struct vfio_area *hole)
{
	unsigned count = 0;

	for (unsigned i = 0; i < v->dev.n_parts; i++)
		if (v->dev.part[i]->bar == n)
			hole[count++] = (struct vfio_area){ v->dev.part[i]->off,
							    v->dev.part[i]->region.size };
	return count;
}

static int choose_areas(struct vfio_bar *bar, struct vfio_region_info *info)
{
	const uint32_t need = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			      VFIO_REGION_INFO_FLAG_MMAP;
	struct vfio_area hole[PCI_MAX_PARTS];
	unsigned n_holes = holes_of(bar->v, bar->n, hole);
	int n;

	if (!bar->v->cfg->mmap || bar->io || (info->flags & need) != need)
		return 0;
	bar->sub_page = bar->size < VFIO_PAGE;
	if (bar->sub_page) {
		if (n_holes)
			return 0;
		info->size = VFIO_PAGE;
	}
	n = vfio_bar_areas(info, hole, n_holes, &bar->area);
	if (n < 0)
		return n;
	bar->n_areas = (unsigned)n;
	if (n)
		map_areas(bar);
	return 0;
}

/* ---- trapped accesses: dev.lock held ---- */

static uint64_t trap_read(void *opaque, uint64_t off, unsigned size)
{
	struct vfio_bar *bar = opaque;
	struct vfio_pci *v = bar->v;
	uint64_t val = 0; /* little-endian, as we are */

	count_add(&v->counts.trapped, 1);
	if (v->k->ops->region_read(v->k, bar->region_off + off, &val, size) != (ssize_t)size)
		return all_ones(size);
	return val;
}

static void trap_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct vfio_bar *bar = opaque;
	struct vfio_pci *v = bar->v;

	count_add(&v->counts.trapped, 1);
	if (v->k->ops->region_write(v->k, bar->region_off + off, &val, size) != (ssize_t)size)
		log_guest(&v->dev.limit, "%s: BAR %u: the host refused a write at %#" PRIx64,
			  v->k->name, bar->n, off);
}

static const struct io_region_ops trap_ops = { .read = trap_read, .write = trap_write };

/* ---- start ---- */

static int add_bar(struct vfio_pci *v, unsigned n, struct vfio_region_info *info, uint32_t raw)
{
	struct vfio_bar *bar = &v->bar[n];
	enum pci_bar_kind kind = PCI_BAR_MEM32;
	int ret;

	bar->io = raw & PCI_BASE_ADDRESS_SPACE_IO;
	bar->mem64 = !bar->io && (raw & PCI_BASE_ADDRESS_MEM_TYPE_64);
	if (bar->io)
		kind = PCI_BAR_IO;
	else if (bar->mem64)
		kind = PCI_BAR_MEM64;
	ret = pci_add_bar(&v->dev, n, kind, !bar->io && (raw & PCI_BASE_ADDRESS_MEM_PREFETCH),
			  info->size, &trap_ops, bar);
	if (ret) {
		log_warn("%s: BAR %u of %llu bytes is not valid; the guest does not see it",
			 v->k->name, n, (unsigned long long)info->size);
		*bar = (struct vfio_bar){ .v = v, .n = n };
		return 0;
	}
	v->dev.bar[n].region.explain = vfio_explain_bar;
	bar->size = info->size;
	bar->region_off = info->offset;
	return choose_areas(bar, info);
}

int vfio_bars_init(struct vfio_pci *v, struct error *err)
{
	uint32_t raw[PCI_NUM_BARS];
	int ret = 0;

	for (unsigned n = 0; n < PCI_NUM_BARS; n++) {
		v->bar[n].v = v;
		v->bar[n].n = n;
		raw[n] = pci_get32(v->dev.cfg, PCI_BASE_ADDRESS_0 + 4 * n);
		pci_set32(v->dev.cfg, PCI_BASE_ADDRESS_0 + 4 * n, 0);
	}
	for (unsigned n = 0; n < PCI_NUM_BARS && !ret; n++) {
		struct vfio_region_info *info = NULL;

		if (v->k->ops->region_info(v->k, VFIO_PCI_BAR0_REGION_INDEX + n, &info))
			continue;
		if (info->size)
			ret = add_bar(v, n, info, raw[n]);
		n += v->bar[n].mem64;
		free(info);
	}
	return ret ? error_set(err, ret, "%s: out of memory for its BARs", v->k->name) : 0;
}

void vfio_bars_free(struct vfio_pci *v)
{
	for (unsigned n = 0; n < PCI_NUM_BARS; n++) {
		struct vfio_bar *bar = &v->bar[n];

		if (bar->host)
			munmap(bar->host, bar->host_size);
		free(bar->area);
		*bar = (struct vfio_bar){ .v = v, .n = n };
	}
}

/* ---- guest memory ---- */

static void p2p_unmap(struct vfio_bar *bar, unsigned n_areas)
{
	for (unsigned i = 0; i < n_areas; i++)
		iommu_unmap(bar->v->env.iommu, IOVA(bar->at + bar->area[i].off), bar->area[i].size);
	bar->p2p = false;
}

static void leave(struct vfio_bar *bar)
{
	if (bar->p2p)
		p2p_unmap(bar, bar->n_areas);
	for (unsigned i = 0; i < bar->n_areas; i++) {
		guest_mem_del(bar->v->dev.root->mem, GPA(bar->at + bar->area[i].off));
		count_add(&bar->v->counts.bar_unmaps, 1);
	}
	bar->live = bar->stale = false;
}

struct neighbours {
	const struct io_region *own;
	uint64_t page;
	bool found;
};

static void look_for_neighbour(void *arg, const struct io_region *r)
{
	struct neighbours *s = arg;

	if (r != s->own && range_overlaps(r->base, r->size, s->page, VFIO_PAGE))
		s->found = true;
}

static bool page_is_ours(const struct vfio_bar *bar, uint64_t at)
{
	const struct pci_device *dev = &bar->v->dev;
	struct neighbours s = { .own = &dev->bar[bar->n].region, .page = at };

	if (at & (VFIO_PAGE - 1))
		return false;
	bus_each(dev->root->mmio, look_for_neighbour, &s);
	return !s.found;
}

static bool bar_is_hidden(const struct vfio_bar *bar, uint64_t at)
{
	return pci_fixed_overlaps(bar->v->dev.root, at, bar->host_size);
}

/* All areas or none: what was added before a failure is taken back, and the bus traps. */
static void enter(struct vfio_bar *bar, uint64_t at)
{
	struct vfio_pci *v = bar->v;

	if (!v->dev.root->mem || !bar->n_areas || (bar->sub_page && !page_is_ours(bar, at)))
		return;
	bar->hidden = bar_is_hidden(bar, at);
	if (bar->hidden) {
		log_guest(&v->dev.limit,
			  "%s: BAR %u at %#" PRIx64 " is trapped: interrupt controllers or "
						    "configuration space are at this address",
			  v->k->name, bar->n, at);
		return;
	}
	bar->at = at;
	for (unsigned i = 0; i < bar->n_areas; i++) {
		const struct vfio_area *a = &bar->area[i];
		struct mem_range r = { .gpa = at + a->off, /* bar_decodes(): below 2^52 */
				       .size = a->size,
				       .host = bar->host + a->off,
				       .kind = MEM_DEVICE };
		int ret = guest_mem_add(v->dev.root->mem, &r);

		if (ret == 0) {
			count_add(&v->counts.bar_maps, 1);
			continue;
		}
		while (i-- > 0)
			guest_mem_del(v->dev.root->mem, GPA(at + bar->area[i].off));
		log_guest(&v->dev.limit, "%s: BAR %u at %#" PRIx64 " is trapped: %s", v->k->name,
			  bar->n, at,
			  ret == -EEXIST ? "other memory is at this address" : strerror(-ret));
		return;
	}
	bar->live = true;
}

/* Whether a BAR that has stopped to decode stays for a while; see "Staying" above. */
static bool bar_stays(struct vfio_bar *bar)
{
	uint64_t now;

	if (bar->v->asleep || bar_is_hidden(bar, bar->at))
		return false;
	switch (pci_bar_paused(&bar->v->dev, bar->n, bar->at)) {
	case PCI_NOT_PAUSED:
		return false;
	case PCI_PAUSED:
		break;
	case PCI_PAUSED_ABOVE:
		now = evloop_now_ns();
		if (!bar->stale && now - bar->paused_ns > VFIO_LINGER_NS) {
			bar->paused_ns = now;
			return false;
		}
	}
	return bar->stale || vfio_pci_kick(bar->v);
}

static void sync_bar(struct vfio_bar *bar)
{
	const struct pci_bar *guest = &bar->v->dev.bar[bar->n];
	bool want = guest->mapped && !bar->v->asleep;

	bar->hidden = false;
	if (bar->live && want && bar->at == guest->addr) {
		bar->stale = false;
		return;
	}
	if (bar->live && !guest->mapped && bar_stays(bar)) {
		bar->stale = true;
		return;
	}
	if (bar->live)
		leave(bar);
	if (!want)
		return;
	enter(bar, guest->addr);
	if (bar->live && bar->v->env.p2p)
		vfio_pci_kick(bar->v);
}

static void recheck_bar(struct vfio_bar *bar)
{
	const struct pci_bar *guest = &bar->v->dev.bar[bar->n];

	if (bar->live && bar->stale) {
		if (!bar_stays(bar))
			leave(bar);
	} else if (bar->live && bar_is_hidden(bar, bar->at)) {
		leave(bar);
		bar->hidden = true;
	} else if (bar->hidden && !bar_is_hidden(bar, guest->addr)) {
		sync_bar(bar);
	}
}

void vfio_bars_recheck(struct vfio_pci *v)
{
	for (unsigned n = 0; n < PCI_NUM_BARS; n++)
		if (v->bar[n].size)
			recheck_bar(&v->bar[n]);
}

void vfio_bars_sync(struct vfio_pci *v)
{
	for (unsigned n = 0; n < PCI_NUM_BARS; n++)
		if (v->bar[n].size)
			sync_bar(&v->bar[n]);
}

void vfio_bar_mapped(struct pci_device *dev, unsigned n, bool mapped)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	if (n == PCI_ROM_BAR) {
		vfio_rom_mapped(v, mapped);
		return;
	}
	if (n >= PCI_NUM_BARS || !v->bar[n].size)
		return;
	sync_bar(&v->bar[n]);
}

/* A BAR of any device is about to answer at [base, base + size). */
void vfio_bar_claimed(struct pci_device *dev, const struct pci_device *by, unsigned n,
		      uint64_t base, uint64_t size)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		struct vfio_bar *bar = &v->bar[i];
		bool own = by == dev && i == n;

		if (!bar->live || (own && bar->at == base) ||
		    !range_overlaps(base, size, bar->at, bar->host_size))
			continue;
		/* One that decodes there has the better right, but for the rest of its page. */
		if (bar->stale || bar->sub_page)
			leave(bar);
	}
}

void vfio_bars_drop(struct vfio_pci *v, bool only_stale)
{
	for (unsigned n = 0; n < PCI_NUM_BARS; n++)
		if (v->bar[n].live && (v->bar[n].stale || !only_stale))
			leave(&v->bar[n]);
}

bool vfio_bars_any(const struct vfio_pci *v, bool stale)
{
	for (unsigned n = 0; n < PCI_NUM_BARS; n++)
		if (v->bar[n].live && (v->bar[n].stale || !stale))
			return true;
	return false;
}

/* ---- peer-to-peer ---- */

static int p2p_map(struct vfio_bar *bar)
{
	for (unsigned i = 0; i < bar->n_areas; i++) {
		const struct vfio_area *a = &bar->area[i];
		int ret = iommu_map(bar->v->env.iommu, IOVA(bar->at + a->off), bar->host + a->off,
				    a->size, true);

		if (ret) {
			p2p_unmap(bar, i);
			return ret;
		}
	}
	bar->p2p = true;
	return 0;
}

void vfio_bars_p2p(struct vfio_pci *v)
{
	for (unsigned n = 0; v->env.iommu && n < PCI_NUM_BARS; n++) {
		struct vfio_bar *bar = &v->bar[n];
		int ret;

		if (bar->p2p && !v->env.p2p)
			p2p_unmap(bar, bar->n_areas);
		if (!bar->live || bar->stale || bar->p2p || !v->env.p2p)
			continue;
		ret = p2p_map(bar);
		if (ret && !v->warned_p2p) {
			log_info("%s: BAR %u is not mapped in the IOMMU (%s): other devices cannot "
				 "reach it",
				 v->k->name, n, strerror(-ret));
			v->warned_p2p = true;
		}
	}
}
