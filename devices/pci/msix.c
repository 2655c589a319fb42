/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X of emulated devices (PCI 3.0, 6.8.2): what is behind the table.
 *
 * A vector has an eventfd that whoever raises it writes to, and, while it is unmasked, a route that
 * the hypervisor has attached to that eventfd: interrupts then reach the guest without us. While it
 * is masked nobody reads the eventfd, so its count *is* the pending bit; attaching an eventfd that
 * is already readable raises the interrupt (KVM_IRQFD looks when it attaches), which is what
 * unmasking a pending vector has to do.
 *
 * Threads: any. One lock, below the device's and above the irq table's, for table and vectors; the
 * bus takes it for the guest's accesses, msix_notify() only to create an eventfd.
 */
#include "devices/pci/msix.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/pci/msix_table.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"

#define MSIX_CAP_SIZE 12u
#define PAGE	      4096u

struct vector {
	struct msi_route *route;
	_Atomic int fd;
	bool attached;
};

struct msix {
	struct msix_table table; /* its flags are for threads without the root lock */
	pthread_mutex_t lock;
	unsigned cap;
	_Atomic bool master; /* so is bus mastering: without, vectors pend as if masked */
	struct vector vec[];
};

void msix_destroy(struct pci_device *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	for (unsigned i = 0; i < m->table.n; i++) {
		if (m->vec[i].route) {
			msi_route_attach(m->vec[i].route, -1);
			msi_route_free(m->vec[i].route);
		}
		if (m->vec[i].fd >= 0)
			close(m->vec[i].fd);
	}
	msix_table_free(&m->table);
	pthread_mutex_destroy(&m->lock);
	free(m);
	dev->msix = NULL;
}

static void flags_update(struct pci_device *dev)
{
	dev->msix->master = pci_bus_master(dev);
	msix_table_set_flags(&dev->msix->table,
			     pci_get16(dev->cfg, dev->msix->cap + PCI_MSIX_FLAGS));
}

bool msix_enabled(const struct pci_device *dev)
{
	return dev->msix && msix_table_enabled(&dev->msix->table);
}

/* Should the hypervisor deliver this vector now? */
static bool vector_is_live(const struct msix *m, unsigned i)
{
	return m->master && msix_table_enabled(&m->table) && !msix_table_masked(&m->table, i) &&
	       m->vec[i].fd >= 0;
}

/* First half of an update: the message. The routes of several vectors then go in one commit. */
static void vector_route(struct pci_device *dev, unsigned i)
{
	struct msix *m = dev->msix;
	struct vector *v = &m->vec[i];

	if (!vector_is_live(m, i))
		return;
	if (!v->route)
		v->route = msi_route_new(dev->root->irq);
	if (!v->route) {
		log_guest(&dev->limit,
			  "%s: no interrupt route is free: a vector will not be delivered",
			  dev->name);
		return;
	}
	msi_route_set(v->route, msix_table_address(&m->table, i), msix_table_data(&m->table, i),
		      pci_rid(dev));
}

/* Second half: attach or detach. */
static void vector_attach(struct pci_device *dev, unsigned i)
{
	struct vector *v = &dev->msix->vec[i];
	bool want = v->route && vector_is_live(dev->msix, i);

	if (!v->route || want == v->attached)
		return;
	if (msi_route_attach(v->route, want ? v->fd : -1) == 0)
		v->attached = want;
	else
		log_guest(&dev->limit, "%s: cannot attach an interrupt vector", dev->name);
}

static void vectors_update(struct pci_device *dev, unsigned first, unsigned n)
{
	if (!dev->root || !dev->root->irq)
		return;
	for (unsigned i = first; i < first + n; i++)
		vector_route(dev, i);
	if (irq_commit(dev->root->irq))
		log_guest(&dev->limit, "%s: cannot set interrupt routes", dev->name);
	for (unsigned i = first; i < first + n; i++)
		vector_attach(dev, i);
}

int msix_eventfd(struct pci_device *dev, unsigned v)
{
	struct msix *m = dev->msix;
	int fd;

	if (!m || v >= m->table.n)
		return -EINVAL;
	scoped_lock(&m->lock);
	if (m->vec[v].fd >= 0)
		return m->vec[v].fd;
	fd = eventfd_new();
	if (fd < 0)
		return -errno;
	m->vec[v].fd = fd;
	vectors_update(dev, v, 1);
	return fd;
}

void msix_notify(struct pci_device *dev, unsigned v)
{
	int fd;

	if (!dev->msix || v >= dev->msix->table.n)
		return;
	fd = dev->msix->vec[v].fd;
	if (fd < 0)
		fd = msix_eventfd(dev, v);
	eventfd_signal(fd);
}

void msix_cfg_written(struct pci_device *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	scoped_lock(&m->lock);
	flags_update(dev);
	vectors_update(dev, 0, m->table.n);
}

/* The configuration space has been reset already: MSI-X is disabled. */
void msix_reset(struct pci_device *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	scoped_lock(&m->lock);
	flags_update(dev);
	msix_table_reset(&m->table);
	vectors_update(dev, 0, m->table.n);
	for (unsigned i = 0; i < m->table.n; i++)
		eventfd_drain(m->vec[i].fd);
}

/* ---- the guest's table ---- */

static void vector_changed(void *opaque, unsigned v, enum msix_change what)
{
	struct pci_device *dev = opaque;

	if (what != MSIX_MESSAGE || vector_is_live(dev->msix, v))
		vectors_update(dev, v, 1);
}

static bool vector_pends(void *opaque, unsigned v)
{
	const struct vector *vec = &((const struct pci_device *)opaque)->msix->vec[v];

	return !vec->attached && eventfd_is_set(vec->fd);
}

static const struct msix_table_ops table_ops = { .changed = vector_changed,
						 .pending = vector_pends };

static int table_add(struct msix *m, struct pci_device *dev)
{
	int ret;

	msix_table_place(&m->table, dev->cfg + m->cap);
	ret = pci_add_bar_part(dev, &m->table.table);
	return ret ? ret : pci_add_bar_part(dev, &m->table.pba);
}

static struct msix *msix_new(struct pci_device *dev, unsigned n)
{
	struct msix *m = calloc(1, sizeof(*m) + n * sizeof(m->vec[0]));

	if (!m)
		return NULL;
	if (msix_table_init(&m->table, n, &table_ops, dev, &m->lock)) {
		free(m);
		return NULL;
	}
	pthread_mutex_init(&m->lock, NULL);
	for (unsigned i = 0; i < n; i++)
		m->vec[i].fd = -1;
	return m;
}

int msix_init(struct pci_device *dev, unsigned n, unsigned bar, uint32_t off, struct error *err)
{
	uint32_t pba = off + (uint32_t)align_up(n * PCI_MSIX_ENTRY_SIZE, PAGE);
	int cap, ret;

	if (n < 1 || n > MSIX_MAX_VECTORS || bar >= PCI_NUM_BARS || off % PAGE)
		return error_set(err, -EINVAL, "%s: bad MSI-X layout", dev->name);
	cap = pci_add_cap(dev, PCI_CAP_ID_MSIX, MSIX_CAP_SIZE);
	if (cap < 0)
		return error_set(err, cap, "%s: no room for the MSI-X capability", dev->name);
	pci_set16(dev->cfg, (unsigned)cap + PCI_MSIX_FLAGS, (uint16_t)(n - 1));
	pci_set16(dev->wmask, (unsigned)cap + PCI_MSIX_FLAGS,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_set32(dev->cfg, (unsigned)cap + PCI_MSIX_TABLE, off | bar);
	pci_set32(dev->cfg, (unsigned)cap + PCI_MSIX_PBA, pba | bar);
	dev->msix = msix_new(dev, n);
	if (!dev->msix)
		return error_set(err, -ENOMEM, "%s: out of memory for MSI-X", dev->name);
	dev->msix->cap = (unsigned)cap;
	ret = table_add(dev->msix, dev);
	return ret ? error_set(err, ret, "%s: too many parts of its BARs", dev->name) : 0;
}
