/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's MSI-X table: where it is, and what follows from writes to it.
 *
 * Threads: the table's callbacks run under dev.lock.
 */
#include "vfio/msix.h"

#include <errno.h>
#include <stdlib.h>

#include "vfio/vectors.h"
#include "vmm/core/stats.h"

static void msix_changed(void *opaque, unsigned i, enum msix_change what)
{
	struct vfio_pci *v = opaque;

	if (v->irq.mode != VFIO_IRQ_MSIX)
		return;
	if (what != MSIX_MESSAGE)
		count_add(what == MSIX_MASKED ? &v->counts.masks : &v->counts.unmasks, 1);
	vfio_vectors_update(v, i, i + 1);
}

static bool msix_pending(void *opaque, unsigned i)
{
	return vfio_vector_pends(&((struct vfio_pci *)opaque)->irq.msix[i]);
}

static const struct msix_table_ops msix_ops = { .changed = msix_changed, .pending = msix_pending };

static bool msix_part_fits(struct vfio_pci *v, const struct pci_bar_part *part)
{
	return part->bar < PCI_NUM_BARS &&
	       range_ok(part->off, part->region.size,
			vfio_region_size(v->k, VFIO_PCI_BAR0_REGION_INDEX + part->bar));
}

/* Table and PBA may be anywhere the device says, which some say wrongly. */
static void msix_place(struct vfio_pci *v)
{
	struct msix_table *t = &v->irq.table;

	t->accesses = &v->counts.trapped;
	msix_table_place(t, v->dev.cfg + v->msix_cap);
	if (!msix_part_fits(v, &t->table)) {
		log_warn("%s: its MSI-X table (%u vectors at %#llx of BAR %u) is outside of the "
			 "BAR; the guest cannot use MSI-X",
			 v->k->name, t->n, (unsigned long long)t->table.off, t->table.bar);
		msix_table_free(t);
		return;
	}
	pci_add_bar_part(&v->dev, &t->table);
	if (msix_part_fits(v, &t->pba) &&
	    !(t->pba.bar == t->table.bar &&
	      range_overlaps(t->pba.off, t->pba.region.size, t->table.off, t->table.region.size)))
		pci_add_bar_part(&v->dev, &t->pba);
	else
		log_info("%s: its MSI-X pending bit array (PBA) has an invalid place; the guest "
			 "does not see it",
			 v->k->name);
}

static unsigned msix_count(const struct vfio_pci *v)
{
	if (!v->msix_cap || !v->irq.info[VFIO_PCI_MSIX_IRQ_INDEX].count)
		return 0;
	return (pci_get16(v->dev.cfg, v->msix_cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1u;
}

int vfio_msix_init(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	unsigned n = msix_count(v);

	if (!n)
		return 0;
	q->msix = vfio_vectors_new(n);
	if (!q->msix || msix_table_init(&q->table, n, &msix_ops, v, &v->dev.lock))
		return -ENOMEM;
	msix_place(v);
	return 0;
}
