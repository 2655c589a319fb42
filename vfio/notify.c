/* SPDX-License-Identifier: BSD-2-Clause */
/* ERR and REQ: what the kernel has to say of the device, while it is plugged. Threads: main loop.
 */
#include "vfio/notify.h"

#include <sys/epoll.h>

#include "vfio/set_irqs.h"
#include "vmm/core/evloop.h"

static void notify_error(void *arg, int fd, uint32_t events)
{
	struct vfio_notifier *n = arg;

	(void)events;
	eventfd_drain(fd);
	if (n->v->env.on_error)
		n->v->env.on_error(n->v->env.opaque, n->v->k->name);
}

static void notify_request(void *arg, int fd, uint32_t events)
{
	struct vfio_notifier *n = arg;

	(void)events;
	eventfd_drain(fd);
	if (n->v->env.on_request)
		n->v->env.on_request(n->v->env.opaque, n->v->k->name);
}

static void notifier_watch(struct vfio_pci *v, struct vfio_notifier *n, unsigned index,
			   struct evloop *loop, void (*fn)(void *, int, uint32_t))
{
	int32_t fd;

	n->v = v;
	if (n->source || !v->irq.info[index].count || !vfio_irq_fd(&n->fd))
		return;
	fd = n->fd;
	n->source = evloop_add_fd(loop, n->fd, EPOLLIN, fn, n);
	if (n->source && !vfio_set_irqs(v, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &fd))
		return;
	log_info("%s: minivmm cannot be told of %s", v->k->name,
		 index == VFIO_PCI_ERR_IRQ_INDEX ? "errors of the device"
						 : "the host's request to have the device back");
	if (n->source)
		evloop_del_fd(n->source);
	n->source = NULL;
}

static void notifier_unwatch(struct vfio_pci *v, struct vfio_notifier *n, unsigned index)
{
	if (n->source) {
		vfio_disable_irqs(v, index);
		evloop_del_fd(n->source);
	}
	n->source = NULL;
	vfio_irq_fd_close(&n->fd);
}

void vfio_notify_watch(struct vfio_pci *v, struct evloop *loop)
{
	notifier_watch(v, &v->irq.err, VFIO_PCI_ERR_IRQ_INDEX, loop, notify_error);
	notifier_watch(v, &v->irq.req, VFIO_PCI_REQ_IRQ_INDEX, loop, notify_request);
}

void vfio_notify_unwatch(struct vfio_pci *v)
{
	notifier_unwatch(v, &v->irq.err, VFIO_PCI_ERR_IRQ_INDEX);
	notifier_unwatch(v, &v->irq.req, VFIO_PCI_REQ_IRQ_INDEX);
}
