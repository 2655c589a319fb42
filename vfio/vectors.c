/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI and MSI-X vectors: the host's side, and KVM's.
 *
 * Once a vector stands, the kernel signals its eventfd and KVM, which has it as irqfd, injects: we
 * take no part.
 *
 * Masking. VFIO cannot mask MSI or MSI-X, so a masked vector is one whose eventfd KVM does not
 * listen to: the irqfd is dropped, the route and the host's side stay. What fires meanwhile counts
 * up in the eventfd, which is the pending bit; KVM looks at it when it attaches. On unmasking the
 * message is committed before the irqfd is attached, and the host's side comes last, so that an
 * interrupt finds everything in place.
 *
 * Enabling. The kernel allocates vectors when an index is first set (vfio_pci_intrs.c:
 * vfio_msi_enable) and, where it says NORESIZE, never more: the whole table is asked for at once,
 * with -1 for the vectors that the guest keeps masked. Elsewhere vectors are added as they are
 * unmasked. MSI-X is enabled even when all are masked, by vector 0 with -1: PFs and VFs speak to
 * each other only when it is on, and Linux enables first and unmasks later. A positive answer is
 * the number of vectors to be had; it is asked for again with that.
 *
 * Threads: dev.lock held.
 */
#include "vfio/vectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/set_irqs.h"
#include "vfio/stats.h"
#include "vmm/core/cleanup.h"

/* ---- what the guest wants ---- */

static struct vfio_vector *vectors_of(struct vfio_pci *v, unsigned *n)
{
	*n = v->irq.mode == VFIO_IRQ_MSIX  ? v->irq.table.n
	     : v->irq.mode == VFIO_IRQ_MSI ? v->irq.n_msi
					   : 0;
	return v->irq.mode == VFIO_IRQ_MSIX ? v->irq.msix : v->irq.msi;
}

static unsigned vector_index(const struct vfio_pci *v)
{
	return v->irq.mode == VFIO_IRQ_MSIX ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
}

/* Should vector i reach the guest, by the masks that are its own? */
static bool vector_is_unmasked(const struct vfio_irqs *q, unsigned i)
{
	if (q->mode == VFIO_IRQ_MSIX)
		return !msix_table_own_mask(&q->table, i);
	return i < q->guest_msi.n && !(q->guest_msi.mask >> i & 1);
}

static bool vector_wants_irqfd(const struct vfio_irqs *q, unsigned i)
{
	return q->mode == VFIO_IRQ_MSIX ? !msix_table_masked(&q->table, i)
					: vector_is_unmasked(q, i);
}

static uint64_t vector_address(const struct vfio_irqs *q, unsigned i)
{
	return q->mode == VFIO_IRQ_MSIX ? msix_table_address(&q->table, i) : q->guest_msi.address;
}

/* PCI 3.0, 6.8.3.4: the low bits of MSI's say which vector. */
static uint32_t vector_data(const struct vfio_irqs *q, unsigned i)
{
	return q->mode == VFIO_IRQ_MSIX ? msix_table_data(&q->table, i)
					: (q->guest_msi.data & ~(q->guest_msi.n - 1)) | i;
}

/* ---- making it so ---- */

static void vector_detach(struct vfio_vector *vec)
{
	if (vec->attached)
		msi_route_attach(vec->route, -1);
	vec->attached = false;
}

static void vector_route(struct vfio_pci *v, struct vfio_vector *vec, unsigned i)
{
	if (!vfio_irq_fd(&vec->fd)) {
		log_guest(&v->dev.limit,
			  "%s: no file descriptor is left for interrupt vector %u: %s", v->k->name,
			  i, strerror(errno));
		return;
	}
	if (!vec->route)
		vec->route = msi_route_new(v->dev.root->irq);
	if (!vec->route) {
		log_guest(&v->dev.limit, "%s: no interrupt route is left for vector %u", v->k->name,
			  i);
		return;
	}
	msi_route_set(vec->route, vector_address(&v->irq, i), vector_data(&v->irq, i),
		      pci_rid(&v->dev));
}

static void vector_attach(struct vfio_pci *v, struct vfio_vector *vec, unsigned i)
{
	int ret;

	if (vec->attached || !vec->route || vec->fd < 0)
		return;
	ret = msi_route_attach(vec->route, vec->fd);
	vec->attached = ret == 0;
	if (ret)
		log_guest(&v->dev.limit, "%s: KVM refuses interrupt vector %u: %s", v->k->name, i,
			  strerror(-ret));
}

/* Gives the kernel the eventfds of vectors [first, end) that are unmasked and not there yet, each
 * run of neighbours in one call. */
static void host_add(struct vfio_pci *v, struct vfio_vector *vec, unsigned first, unsigned end)
{
	bool fixed = v->irq.info[vector_index(v)].flags & VFIO_IRQ_INFO_NORESIZE;
	int32_t fds[64];
	unsigned i = first, n;
	int ret;

	if (fixed && end > v->irq.granted)
		end = v->irq.granted;
	while (i < end) {
		for (n = 0; i + n < end && n < ARRAY_SIZE(fds); n++) {
			if (vec[i + n].host || vec[i + n].fd < 0 ||
			    !vector_is_unmasked(&v->irq, i + n))
				break;
			fds[n] = vec[i + n].fd;
		}
		if (!n) {
			i++;
			continue;
		}
		ret = vfio_set_irqs(v, vector_index(v), VFIO_IRQ_SET_ACTION_TRIGGER, i, n, fds);
		if (ret)
			log_guest(&v->dev.limit, "%s: the host refuses interrupt vectors %u-%u%s%s",
				  v->k->name, i, i + n - 1, ret < 0 ? ": " : "",
				  ret < 0 ? strerror(-ret) : "");
		for (unsigned j = 0; j < n; j++)
			vec[i + j].host = ret == 0;
		i += n;
	}
}

void vfio_vectors_update(struct vfio_pci *v, unsigned first, unsigned end)
{
	unsigned n;
	struct vfio_vector *vec = vectors_of(v, &n);

	for (unsigned i = first; i < end && i < n; i++) {
		if (vector_wants_irqfd(&v->irq, i))
			vector_route(v, &vec[i], i);
		else
			vector_detach(&vec[i]);
	}
	if (irq_commit(v->dev.root->irq)) {
		log_guest(&v->dev.limit, "%s: KVM refuses its interrupt routes", v->k->name);
		return;
	}
	for (unsigned i = first; i < end && i < n; i++)
		if (vector_wants_irqfd(&v->irq, i))
			vector_attach(v, &vec[i], i);
	host_add(v, vec, first, end < n ? end : n);
}

/* VFIO counts the vectors from the same capability as we do; but it is VFIO that has them. */
static unsigned host_max(const struct vfio_pci *v)
{
	unsigned n = v->irq.info[VFIO_PCI_MSIX_IRQ_INDEX].count;

	return n < v->irq.table.n ? n : v->irq.table.n;
}

/* How many vectors to ask for at first. */
static unsigned initial_count(const struct vfio_pci *v)
{
	unsigned top = 1;

	if (v->irq.mode == VFIO_IRQ_MSI)
		return v->irq.guest_msi.n;
	if (v->irq.info[VFIO_PCI_MSIX_IRQ_INDEX].flags & VFIO_IRQ_INFO_NORESIZE)
		return host_max(v);
	for (unsigned i = 0; i < host_max(v); i++)
		if (vector_is_unmasked(&v->irq, i))
			top = i + 1;
	return top;
}

static int host_enable(struct vfio_pci *v, struct vfio_vector *vec, unsigned count)
{
	scoped_free int32_t *fds = calloc(count, sizeof(*fds));
	int ret;

	if (!fds)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		fds[i] = vector_is_unmasked(&v->irq, i) && vfio_irq_fd(&vec[i].fd) ? vec[i].fd : -1;
	ret = vfio_set_irqs(v, vector_index(v), VFIO_IRQ_SET_ACTION_TRIGGER, 0, count, fds);
	if (ret > 0 && (unsigned)ret < count) {
		log_guest(&v->dev.limit, "%s: the host can provide only %d of %u interrupt vectors",
			  v->k->name, ret, count);
		count = (unsigned)ret;
		ret = vfio_set_irqs(v, vector_index(v), VFIO_IRQ_SET_ACTION_TRIGGER, 0, count, fds);
	}
	if (ret)
		return ret < 0 ? ret : -ENOSPC;
	v->irq.granted = count;
	for (unsigned i = 0; i < count; i++)
		vec[i].host = fds[i] >= 0;
	return 0;
}

void vfio_vectors_enter(struct vfio_pci *v, enum vfio_irq_mode mode)
{
	struct vfio_vector *vec;
	unsigned n;
	int ret;

	v->irq.mode = mode;
	vec = vectors_of(v, &n);
	v->irq.asked = initial_count(v);
	ret = host_enable(v, vec, v->irq.asked);
	if (ret) {
		v->irq.mode = VFIO_IRQ_OFF;
		log_guest(&v->dev.limit, "%s: %s stays off: %s", v->k->name,
			  mode == VFIO_IRQ_MSIX ? "MSI-X" : "MSI", strerror(-ret));
		return;
	}
	vfio_vectors_update(v, 0, n);
}

void vfio_vectors_leave(struct vfio_pci *v)
{
	unsigned n;
	struct vfio_vector *vec = vectors_of(v, &n);

	for (unsigned i = 0; i < n; i++)
		vector_detach(&vec[i]);
	vfio_stats_keep_irqs(v);
	vfio_disable_irqs(v, vector_index(v));
	for (unsigned i = 0; i < n; i++) {
		msi_route_free(vec[i].route);
		vec[i].route = NULL;
		vec[i].host = false;
		eventfd_drain(vec[i].fd);
	}
	v->irq.granted = 0;
}

bool vfio_vector_pends(const struct vfio_vector *vec)
{
	return !vec->attached && eventfd_is_set(vec->fd);
}

uint32_t vfio_msi_pending(const struct vfio_pci *v)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < v->irq.n_msi; i++)
		bits |= (uint32_t)vfio_vector_pends(&v->irq.msi[i]) << i;
	return bits;
}

struct vfio_vector *vfio_vectors_new(unsigned n)
{
	struct vfio_vector *vec = calloc(n, sizeof(*vec));

	for (unsigned i = 0; vec && i < n; i++)
		vec[i].fd = -1;
	return vec;
}

void vfio_vectors_free(struct vfio_vector *vec, unsigned n)
{
	for (unsigned i = 0; vec && i < n; i++)
		vfio_irq_fd_close(&vec[i].fd);
	free(vec);
}
