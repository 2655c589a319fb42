/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of a passed-through function: which kind is on.
 *
 * Two sides are kept apart. The guest's: its MSI registers (irq.guest_msi) and its MSI-X table
 * (irq.table). The host's: which kind of interrupt the kernel has enabled (irq.mode) and which
 * eventfds it signals (vec.host). vfio_irqs_sync() brings the second in line with the first.
 *
 * One kind at a time: leaving takes the irqfds away, then disables the index (count 0). With MSI
 * and MSI-X off the function is back at INTx.
 *
 *   intx.c  the line     vectors.c  MSI and MSI-X on the host     msix.c  the guest's table
 *
 * Threads: dev.lock held.
 */
#include "vfio/irq.h"

#include <errno.h>
#include <limits.h>

#include "vfio/cap_list.h"
#include "vfio/intx.h"
#include "vfio/msix.h"
#include "vfio/set_irqs.h"
#include "vfio/vectors.h"

static struct vfio_msi msi_registers(const struct vfio_pci *v)
{
	const uint8_t *c = v->dev.cfg + v->msi_cap;
	struct vfio_msi m = { 0 };
	uint16_t flags;
	bool wide;

	if (!v->msi_cap || !v->irq.n_msi)
		return m;
	flags = pci_get16(c, PCI_MSI_FLAGS);
	wide = flags & PCI_MSI_FLAGS_64BIT;
	m.on = flags & PCI_MSI_FLAGS_ENABLE;
	m.n = 1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4);
	m.n = m.n < v->irq.n_msi ? m.n : v->irq.n_msi;
	m.address = pci_get32(c, PCI_MSI_ADDRESS_LO);
	if (wide)
		m.address |= (uint64_t)pci_get32(c, PCI_MSI_ADDRESS_HI) << 32;
	m.data = pci_get16(c, wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		m.mask = pci_get32(c, wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
	return m;
}

static void irqs_read_registers(struct vfio_pci *v)
{
	v->irq.guest_msi = msi_registers(v);
	if (v->irq.table.n)
		msix_table_set_flags(&v->irq.table,
				     pci_get16(v->dev.cfg, v->msix_cap + PCI_MSIX_FLAGS));
}

static enum vfio_irq_mode irqs_wanted_mode(const struct vfio_irqs *q)
{
	if (!q->ready)
		return VFIO_IRQ_OFF;
	if (msix_table_enabled(&q->table))
		return VFIO_IRQ_MSIX;
	return q->guest_msi.on ? VFIO_IRQ_MSI : VFIO_IRQ_INTX;
}

static void irqs_leave(struct vfio_pci *v)
{
	if (v->irq.mode == VFIO_IRQ_INTX)
		vfio_intx_leave(v);
	else if (v->irq.mode != VFIO_IRQ_OFF)
		vfio_vectors_leave(v);
	v->irq.mode = VFIO_IRQ_OFF;
}

void vfio_irqs_sync(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	enum vfio_irq_mode want;

	if (!v->dev.root || !v->dev.root->irq)
		return;
	irqs_read_registers(v);
	want = irqs_wanted_mode(q);
	if (want == q->mode && (want != VFIO_IRQ_MSI || q->guest_msi.n == q->asked)) {
		vfio_vectors_update(v, 0, UINT_MAX);
		return;
	}
	irqs_leave(v);
	if (want == VFIO_IRQ_INTX)
		vfio_intx_enter(v);
	else if (want != VFIO_IRQ_OFF)
		vfio_vectors_enter(v, want);
}

void vfio_irqs_off(struct vfio_pci *v)
{
	v->irq.ready = false;
	if (v->dev.root && v->dev.root->irq)
		irqs_leave(v);
}

void vfio_irqs_reset(struct vfio_pci *v)
{
	msix_table_reset(&v->irq.table);
}

/* ---- start ---- */

/* VFIO counts what the MSI capability can ask for: 1 << MMC. */
static unsigned msi_max(const struct vfio_pci *v)
{
	unsigned have = v->irq.info[VFIO_PCI_MSI_IRQ_INDEX].count;
	unsigned n = v->msi_cap ? 1u << ((pci_get16(v->dev.cfg, v->msi_cap + PCI_MSI_FLAGS) &
					  PCI_MSI_FLAGS_QMASK) >>
					 1)
				: 0;

	n = n > 32 ? 32 : n;
	return have < n ? have : n;
}

int vfio_irqs_init(struct vfio_pci *v, struct error *err)
{
	struct vfio_irqs *q = &v->irq;

	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		q->info[i] = (struct vfio_irq_info){ .argsz = sizeof(q->info[i]), .index = i };
		if (i >= v->info.num_irqs || v->k->ops->irq_info(v->k, i, &q->info[i]))
			q->info[i].count = 0;
	}
	if (!q->info[VFIO_PCI_INTX_IRQ_INDEX].count)
		v->dev.cfg[PCI_INTERRUPT_PIN] = 0;
	q->n_msi = msi_max(v);
	q->msi = q->n_msi ? vfio_vectors_new(q->n_msi) : NULL;
	if (vfio_msix_init(v) || (q->n_msi && !q->msi))
		return error_set(err, -ENOMEM, "%s: out of memory for its interrupts", v->k->name);
	if (!q->table.n)
		vfio_cap_unlink(v, &v->msix_cap);
	if (!q->n_msi)
		vfio_cap_unlink(v, &v->msi_cap);
	return 0;
}

void vfio_irqs_free(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;

	vfio_irqs_off(v);
	vfio_vectors_free(q->msix, q->table.n);
	vfio_vectors_free(q->msi, q->n_msi);
	msix_table_free(&q->table);
	q->msix = q->msi = NULL;
	q->n_msi = 0;
	vfio_irq_fd_close(&q->intx_trigger);
	vfio_irq_fd_close(&q->intx_resample);
}
