/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/set_irqs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/stats.h"

int vfio_set_irqs(struct vfio_pci *v, unsigned index, uint32_t action, unsigned start,
		  unsigned count, const int32_t *fds)
{
	size_t len = fds ? count * sizeof(*fds) : 0;
	scoped_free struct vfio_irq_set *set = calloc(1, sizeof(*set) + len);

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)(sizeof(*set) + len);
	set->flags = action | (fds ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->start = start;
	set->count = count;
	if (fds)
		memcpy(set->data, fds, len);
	count_add(&v->counts.set_irqs, 1);
	return v->k->ops->set_irqs(v->k, set);
}

void vfio_disable_irqs(struct vfio_pci *v, unsigned index)
{
	int ret = vfio_set_irqs(v, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL);

	if (ret < 0)
		log_guest(&v->dev.limit, "%s: cannot switch interrupts off: %s", v->k->name,
			  strerror(-ret));
}

bool vfio_irq_fd(int *fd)
{
	if (*fd < 0)
		*fd = eventfd_new();
	return *fd >= 0;
}

void vfio_irq_fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
