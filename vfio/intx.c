/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INTx is a level. The kernel masks the device when it fires (DisINTx, or the host's interrupt
 * controller), and unmasks it when the guest's EOI makes KVM signal the resample eventfd; so that
 * no edge is lost in between, the order is: trigger, mask, irqfd, unmask eventfd, unmask.
 * Needs the whole irqchip in the kernel.
 *
 * Threads: dev.lock held.
 */
#include "vfio/intx.h"

#include <errno.h>
#include <string.h>

#include "vfio/set_irqs.h"
#include "vfio/stats.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX

static int intx_connect(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	struct irq_table *t = v->dev.root->irq;
	int32_t trigger = q->intx_trigger, resample = q->intx_resample;
	int ret;

	ret = vfio_set_irqs(v, INTX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &trigger);
	if (ret)
		return ret < 0 ? ret : -EIO;
	vfio_set_irqs(v, INTX, VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL);
	eventfd_drain(q->intx_trigger); /* the level is asked for again when it is unmasked */
	ret = irq_line_irqfd_add(t, v->dev.intx.gsi, q->intx_trigger, q->intx_resample);
	if (ret)
		goto disable;
	ret = vfio_set_irqs(v, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, &resample);
	if (!ret)
		ret = vfio_set_irqs(v, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL);
	if (!ret)
		return 0;
	irq_line_irqfd_del(t, v->dev.intx.gsi, q->intx_trigger);
disable:
	vfio_disable_irqs(v, INTX);
	return ret;
}

void vfio_intx_enter(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	int ret;

	if (!v->dev.has_intx || !q->info[INTX].count)
		return;
	if (!vfio_irq_fd(&q->intx_trigger) || !vfio_irq_fd(&q->intx_resample))
		ret = -errno;
	else
		ret = intx_connect(v);
	if (ret == 0)
		q->mode = VFIO_IRQ_INTX;
	else
		log_guest(&v->dev.limit, "%s: INTx stays off: %s", v->k->name, strerror(-ret));
}

void vfio_intx_leave(struct vfio_pci *v)
{
	vfio_stats_keep_irqs(v);
	vfio_set_irqs(v, INTX, VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL);
	irq_line_irqfd_del(v->dev.root->irq, v->dev.intx.gsi, v->irq.intx_trigger);
	vfio_disable_irqs(v, INTX);
	eventfd_drain(v->irq.intx_trigger);
	eventfd_drain(v->irq.intx_resample);
}
