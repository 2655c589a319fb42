/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why accesses to a passed-through function trap, and how its interrupts are counted.
 *
 * Interrupts go from the host's kernel to KVM, so their counts are the host's (host_irqs.c). Those
 * begin at zero each time when the guest's driver enables its vectors; with --stats what was there
 * is kept when they are disabled.
 */
#include "vfio/stats.h"

#include <stdio.h>

#include "vfio/host_irqs.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/stats.h"

#define PROC_INTERRUPTS "/proc/interrupts"

/* ---- traps ---- */

static bool page_overlaps(uint64_t off, uint64_t base, uint64_t size)
{
	return size && range_overlaps(align_down(off, VFIO_PAGE), VFIO_PAGE, base, size);
}

static bool is_mapped(const struct vfio_bar *bar, uint64_t off)
{
	for (unsigned i = 0; i < bar->n_areas; i++)
		if (range_overlaps(off, 1, bar->area[i].off, bar->area[i].size))
			return true;
	return false;
}

/* The part of the BAR that is in the same page, or NULL. */
static const struct pci_bar_part *part_near(const struct vfio_bar *bar, uint64_t off)
{
	const struct pci_device *dev = &bar->v->dev;

	for (unsigned i = 0; i < dev->n_parts; i++)
		if (dev->part[i]->bar == bar->n &&
		    page_overlaps(off, dev->part[i]->off, dev->part[i]->region.size))
			return dev->part[i];
	return NULL;
}

/* Of [off, off + 4) of a BAR. Nothing looked at here changes once the device is plugged. */
static const char *cause(const struct vfio_bar *bar, uint64_t off)
{
	if (bar->io)
		return "I/O ports cannot be mapped";
	if (!bar->v->cfg->mmap)
		return "mmap=off";
	if (bar->sub_page && !is_mapped(bar, off))
		return "sub-page BAR: on the host it shares its page with something else";
	if (bar->sub_page)
		return "sub-page BAR: the guest has put something else into its page";
	if (!is_mapped(bar, off))
		return "the host's kernel does not allow mapping it";
	return "was not mapped at that time: other memory was at its address";
}

void vfio_explain_bar(const struct io_region *r, uint64_t off, struct io_place *p)
{
	const struct vfio_bar *bar = r->opaque;
	const struct pci_bar_part *near = part_near(bar, off);

	snprintf(p->where, sizeof(p->where), "BAR %u", bar->n);
	if (near && !bar->io && bar->v->cfg->mmap)
		snprintf(p->cause, sizeof(p->cause), "shares its page with %s", near->what);
	else
		snprintf(p->cause, sizeof(p->cause), "%s", cause(bar, off));
	p->off = off;
}

void vfio_explain_vga(const struct io_region *r, uint64_t off, struct io_place *p)
{
	const struct vfio_pci *v = r->opaque;

	snprintf(p->device, sizeof(p->device), "%s", v->k->name);
	snprintf(p->where, sizeof(p->where), "VGA");
	snprintf(p->cause, sizeof(p->cause), "x-vga=on: legacy VGA cannot be mapped");
	p->off = r->base + off;
}

/* ---- interrupts ---- */

static uint64_t *kept_of(struct vfio_pci *v, const struct host_irq *irq)
{
	struct vfio_irqs *q = &v->irq;

	if (irq->kind == HOST_IRQ_INTX)
		return &q->intx_kept;
	if (irq->kind == HOST_IRQ_MSI)
		return irq->vector < q->n_msi ? &q->msi[irq->vector].kept : NULL;
	return irq->vector < q->table.n ? &q->msix[irq->vector].kept : NULL;
}

static void keep(void *arg, const struct host_irq *irq)
{
	uint64_t *kept = kept_of(arg, irq);

	if (kept)
		*kept += irq->count;
}

void vfio_stats_keep_irqs(struct vfio_pci *v)
{
	if (v->dev.root && stats_timed(v->dev.root->stats))
		host_irqs_each(PROC_INTERRUPTS, v->k->name, keep, v);
}

struct irq_list {
	struct vfio_pci *v;
	stats_irq_fn *fn;
	void *arg;
	bool live; /* the host's counts are added to the kept ones */
};

static void emit(const struct irq_list *l, const char *kind, unsigned vector, bool attached,
		 uint64_t count)
{
	const char *path = l->live ? attached ? "irqfd" : "irqfd, masked" : "irqfd, now off";

	if (kind[0] == 'I')
		path = l->live ? "irqfd, resample" : "irqfd, resample, now off";
	l->fn(l->arg, &(struct stats_irq){ .device = l->v->k->name,
					   .kind = kind,
					   .path = path,
					   .vector = vector,
					   .known = true,
					   .count = count });
}

static void emit_host(void *arg, const struct host_irq *irq)
{
	static const char *const kind[] = { "INTx", "MSI", "MSI-X" };
	const struct irq_list *l = arg;
	const struct vfio_irqs *q = &l->v->irq;
	const uint64_t *kept = kept_of(l->v, irq);
	bool attached = irq->kind == HOST_IRQ_INTX;

	if (!kept)
		return;
	if (!attached)
		attached = (irq->kind == HOST_IRQ_MSI ? q->msi : q->msix)[irq->vector].attached;
	emit(l, kind[irq->kind], irq->vector, attached, *kept + irq->count);
}

static void emit_kept(const struct irq_list *l, const char *kind, const struct vfio_vector *vec,
		      unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (vec[i].kept && !vec[i].host)
			emit(l, kind, i, false, vec[i].kept);
}

static void each_irq(void *opaque, stats_irq_fn *fn, void *arg)
{
	struct vfio_pci *v = opaque;
	struct irq_list l = { .v = v, .fn = fn, .arg = arg, .live = true };

	scoped_lock(&v->dev.lock);
	if (v->irq.mode != VFIO_IRQ_OFF)
		host_irqs_each(PROC_INTERRUPTS, v->k->name, emit_host, &l);
	l.live = false;
	if (v->irq.intx_kept && v->irq.mode != VFIO_IRQ_INTX)
		emit(&l, "INTx", 0, false, v->irq.intx_kept);
	emit_kept(&l, "MSI", v->irq.msi, v->irq.n_msi);
	emit_kept(&l, "MSI-X", v->irq.msix, v->irq.table.n);
}

void vfio_stats_init(struct vfio_pci *v)
{
	struct stats_set *s = stats_add_set(v->dev.root->stats, "passed through", v->k->name);

	stats_add_counter(s, "memslots_set", &v->counts.bar_maps);
	stats_add_counter(s, "memslots_removed", &v->counts.bar_unmaps);
	stats_add_counter(s, "trapped_bar_accesses", &v->counts.trapped);
	stats_add_counter(s, "set_irqs_calls", &v->counts.set_irqs);
	stats_add_counter(s, "vectors_masked", &v->counts.masks);
	stats_add_counter(s, "vectors_unmasked", &v->counts.unmasks);
	stats_add_irqs(v->dev.root->stats, each_irq, v);
}
