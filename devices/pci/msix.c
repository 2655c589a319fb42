// SPDX-License-Identifier: BSD-2-Clause
/*
 * MSI-X of emulated devices (PCI 3.0 §6.8.2).
 *
 * A vector has an eventfd that whoever raises it writes to, and, while it is unmasked, a route that
 * the hypervisor has attached to that eventfd: interrupts then reach the guest without us. While it
 * is masked nobody reads the eventfd, so its count *is* the pending bit; attaching an eventfd that
 * is already readable raises the interrupt (KVM_IRQFD looks when it attaches), which is what
 * unmasking a pending vector has to do.
 *
 * Threads: any. One lock, below the device's and above the irq table's, for table and vectors;
 * msix_notify() takes it only to create an eventfd.
 */
#include "devices/pci/msix.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"

#define MSIX_MAX      2048u
#define MSIX_CAP_SIZE 12u
#define PAGE	      4096u

struct vector {
	uint32_t word[4]; /* address low and high, data, control: as the guest wrote them */
	struct msi_route *route;
	_Atomic int fd;
	bool attached;
};

struct msix {
	pthread_mutex_t lock;
	unsigned n, cap;
	_Atomic bool master;	/* so is bus mastering: without, vectors pend as if masked */
	_Atomic uint16_t flags; /* copy of the capability's, for threads without the root lock */
	struct vector vec[];
};

static uint32_t table_size(unsigned n)
{
	return (uint32_t)align_up(n * PCI_MSIX_ENTRY_SIZE, PAGE);
}

uint32_t msix_span(unsigned n)
{
	return table_size(n) + (uint32_t)align_up((n + 63) / 64 * 8, PAGE);
}

int msix_init(struct pci_device *dev, unsigned n, unsigned bar, uint32_t off, struct error *err)
{
	struct msix *m;
	int cap;

	if (n < 1 || n > MSIX_MAX || bar >= PCI_NUM_BARS || off % PAGE)
		return error_set(err, -EINVAL, "%s: bad MSI-X layout", dev->name);
	cap = pci_add_cap(dev, PCI_CAP_ID_MSIX, MSIX_CAP_SIZE);
	if (cap < 0)
		return error_set(err, cap, "%s: no room for the MSI-X capability", dev->name);
	m = calloc(1, sizeof(*m) + n * sizeof(m->vec[0]));
	if (!m)
		return error_set(err, -ENOMEM, "%s: out of memory for MSI-X", dev->name);
	pthread_mutex_init(&m->lock, NULL);
	m->n = n;
	m->cap = (unsigned)cap;
	for (unsigned i = 0; i < n; i++) {
		m->vec[i].fd = -1;
		m->vec[i].word[3] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
	pci_set16(dev->cfg, m->cap + PCI_MSIX_FLAGS, (uint16_t)(n - 1));
	pci_set16(dev->wmask, m->cap + PCI_MSIX_FLAGS,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_set32(dev->cfg, m->cap + PCI_MSIX_TABLE, off | bar);
	pci_set32(dev->cfg, m->cap + PCI_MSIX_PBA, (off + table_size(n)) | bar);
	dev->msix = m;
	return 0;
}

void msix_destroy(struct pci_device *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	for (unsigned i = 0; i < m->n; i++) {
		if (m->vec[i].route) {
			msi_route_attach(m->vec[i].route, -1);
			msi_route_free(m->vec[i].route);
		}
		if (m->vec[i].fd >= 0)
			close(m->vec[i].fd);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
	dev->msix = NULL;
}

static void flags_update(struct pci_device *dev)
{
	dev->msix->master = pci_bus_master(dev);
	dev->msix->flags = pci_get16(dev->cfg, dev->msix->cap + PCI_MSIX_FLAGS);
}

bool msix_enabled(const struct pci_device *dev)
{
	return dev->msix && (dev->msix->flags & PCI_MSIX_FLAGS_ENABLE);
}

/* Should the hypervisor deliver this vector now? */
static bool live(const struct pci_device *dev, const struct vector *v)
{
	uint16_t flags = dev->msix->flags;

	return dev->msix->master && (flags & PCI_MSIX_FLAGS_ENABLE) &&
	       !(flags & PCI_MSIX_FLAGS_MASKALL) && !(v->word[3] & PCI_MSIX_ENTRY_CTRL_MASKBIT) &&
	       v->fd >= 0;
}

/* First half of an update: the message. The routes of several vectors then go in one commit. */
static void vector_route(struct pci_device *dev, struct vector *v)
{
	if (!live(dev, v))
		return;
	if (!v->route)
		v->route = msi_route_new(dev->root->irq);
	if (!v->route) {
		log_guest(&dev->limit,
			  "%s: no interrupt route is free: a vector will not be delivered",
			  dev->name);
		return;
	}
	msi_route_set(v->route, (uint64_t)v->word[1] << 32 | v->word[0], v->word[2], pci_rid(dev));
}

/* Second half: attach or detach. */
static void vector_attach(struct pci_device *dev, struct vector *v)
{
	bool want = v->route && live(dev, v);

	if (!v->route || want == v->attached)
		return;
	if (msi_route_attach(v->route, want ? v->fd : -1) == 0)
		v->attached = want;
	else
		log_guest(&dev->limit, "%s: cannot attach an interrupt vector", dev->name);
}

static void vectors_update(struct pci_device *dev, unsigned first, unsigned n)
{
	struct msix *m = dev->msix;

	if (!dev->root || !dev->root->irq)
		return;
	for (unsigned i = first; i < first + n; i++)
		vector_route(dev, &m->vec[i]);
	if (irq_commit(dev->root->irq))
		log_guest(&dev->limit, "%s: cannot set interrupt routes", dev->name);
	for (unsigned i = first; i < first + n; i++)
		vector_attach(dev, &m->vec[i]);
}

int msix_eventfd(struct pci_device *dev, unsigned v)
{
	struct msix *m = dev->msix;
	int fd;

	if (!m || v >= m->n)
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

	if (!dev->msix || v >= dev->msix->n)
		return;
	fd = dev->msix->vec[v].fd;
	if (fd < 0)
		fd = msix_eventfd(dev, v);
	eventfd_signal(fd);
}

static bool pending(const struct vector *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN };

	return v->fd >= 0 && !v->attached && poll(&p, 1, 0) == 1;
}

static uint32_t pba_read32(struct msix *m, uint64_t off)
{
	uint64_t first = off * 8;
	uint32_t bits = 0;

	for (unsigned i = 0; i < 32 && first + i < m->n; i++)
		bits |= (uint32_t)pending(&m->vec[first + i]) << i;
	return bits;
}

static uint32_t table_read32(struct msix *m, uint64_t off)
{
	uint64_t v = off / PCI_MSIX_ENTRY_SIZE;

	if (v < m->n)
		return m->vec[v].word[off % PCI_MSIX_ENTRY_SIZE / 4];
	off -= off < table_size(m->n) ? 0 : table_size(m->n);
	return v * PCI_MSIX_ENTRY_SIZE < table_size(m->n) ? 0 : pba_read32(m, off);
}

/* §6.8.2: whole, aligned dwords or qwords only; anything else is undefined. Reads zero here. */
uint64_t msix_read(struct pci_device *dev, uint64_t off, unsigned size)
{
	struct msix *m = dev->msix;
	uint64_t val;

	if (!m || !range_ok(off, size, msix_span(m->n)) || (size != 4 && size != 8) || off % size)
		return 0;
	scoped_lock(&m->lock);
	val = table_read32(m, off);
	if (size == 8)
		val |= (uint64_t)table_read32(m, off + 4) << 32;
	return val;
}

static void table_write32(struct pci_device *dev, uint64_t off, uint32_t val)
{
	struct msix *m = dev->msix;
	uint64_t v = off / PCI_MSIX_ENTRY_SIZE;
	unsigned w = (unsigned)(off % PCI_MSIX_ENTRY_SIZE / 4);
	uint32_t was;

	if (v >= m->n)
		return; /* the PBA is read-only */
	if (w == 3)
		val &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	was = m->vec[v].word[w];
	m->vec[v].word[w] = val;
	/* A message changes only while masked (§6.8.3.2); drivers that do otherwise get it at once.
	 */
	if (was != val && (w == 3 || live(dev, &m->vec[v])))
		vectors_update(dev, (unsigned)v, 1);
}

void msix_write(struct pci_device *dev, uint64_t off, unsigned size, uint64_t val)
{
	struct msix *m = dev->msix;

	if (!m || !range_ok(off, size, msix_span(m->n)) || (size != 4 && size != 8) || off % size)
		return;
	scoped_lock(&m->lock);
	table_write32(dev, off, (uint32_t)val);
	if (size == 8)
		table_write32(dev, off + 4, (uint32_t)(val >> 32));
}

void msix_cfg_written(struct pci_device *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	scoped_lock(&m->lock);
	flags_update(dev);
	vectors_update(dev, 0, m->n);
}

/* The configuration space has been reset already: MSI-X is disabled. */
void msix_reset(struct pci_device *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	scoped_lock(&m->lock);
	flags_update(dev);
	for (unsigned i = 0; i < m->n; i++) {
		memset(m->vec[i].word, 0, sizeof(m->vec[i].word));
		m->vec[i].word[3] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
	vectors_update(dev, 0, m->n);
	for (unsigned i = 0; i < m->n; i++)
		eventfd_drain(m->vec[i].fd);
}
