/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of a passed-through function.
 *
 * Two sides are kept apart. The guest's: its MSI registers (irq.guest_msi) and its MSI-X table
 * (irq.table). The host's: which kind of interrupt the kernel has enabled (irq.mode) and which
 * eventfds it signals (vec.host). vfio_irqs_sync() brings the second in line with the first. Once a
 * vector stands, the kernel signals its eventfd and KVM, which has it as irqfd, injects: we take no
 * part.
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
 * One kind at a time: leaving takes the irqfds away, then disables the index (count 0). With MSI
 * and MSI-X off the function is back at INTx.
 *
 * INTx is a level. The kernel masks the device when it fires (DisINTx, or the host's interrupt
 * controller), and unmasks it when the guest's EOI makes KVM signal the resample eventfd; so that
 * no edge is lost in between, the order is: trigger, mask, irqfd, unmask eventfd, unmask.
 * Needs the whole irqchip in the kernel.
 *
 * Threads: dev.lock held.
 */
#include "vfio/irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vfio/cap_list.h"
#include "vfio/stats.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"
#include "vmm/core/stats.h"

/* ---- the host's side ---- */

/* fds NULL: no data. 0, a positive count, or -errno. */
static int set_irqs(struct vfio_pci *v, unsigned index, uint32_t action, unsigned start,
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

static void disable_index(struct vfio_pci *v, unsigned index)
{
	int ret = set_irqs(v, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL);

	if (ret < 0)
		log_guest(&v->dev.limit, "%s: cannot switch interrupts off: %s", v->k->name,
			  strerror(-ret));
}

static bool ensure_fd(int *fd)
{
	if (*fd < 0)
		*fd = eventfd_new();
	return *fd >= 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- INTx ---- */

static int intx_connect(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	struct irq_table *t = v->dev.root->irq;
	const unsigned intx = VFIO_PCI_INTX_IRQ_INDEX;
	int32_t trigger = q->intx_trigger, resample = q->intx_resample;
	int ret;

	ret = set_irqs(v, intx, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &trigger);
	if (ret)
		return ret < 0 ? ret : -EIO;
	set_irqs(v, intx, VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL);
	eventfd_drain(q->intx_trigger); /* the level is asked for again when it is unmasked */
	ret = irq_line_irqfd_add(t, v->dev.intx.gsi, q->intx_trigger, q->intx_resample);
	if (ret)
		goto disable;
	ret = set_irqs(v, intx, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, &resample);
	if (!ret)
		ret = set_irqs(v, intx, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL);
	if (!ret)
		return 0;
	irq_line_irqfd_del(t, v->dev.intx.gsi, q->intx_trigger);
disable:
	disable_index(v, intx);
	return ret;
}

static void enter_intx(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	int ret;

	if (!v->dev.has_intx || !q->info[VFIO_PCI_INTX_IRQ_INDEX].count)
		return;
	if (!ensure_fd(&q->intx_trigger) || !ensure_fd(&q->intx_resample))
		ret = -errno;
	else
		ret = intx_connect(v);
	if (ret == 0)
		q->mode = VFIO_IRQ_INTX;
	else
		log_guest(&v->dev.limit, "%s: INTx stays off: %s", v->k->name, strerror(-ret));
}

static void leave_intx(struct vfio_pci *v)
{
	vfio_stats_keep_irqs(v);
	set_irqs(v, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL);
	irq_line_irqfd_del(v->dev.root->irq, v->dev.intx.gsi, v->irq.intx_trigger);
	disable_index(v, VFIO_PCI_INTX_IRQ_INDEX);
	eventfd_drain(v->irq.intx_trigger);
	eventfd_drain(v->irq.intx_resample);
}

/* ---- MSI and MSI-X: what the guest wants ---- */

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

static void read_registers(struct vfio_pci *v)
{
	v->irq.guest_msi = msi_registers(v);
	if (v->irq.table.n)
		msix_table_set_flags(&v->irq.table,
				     pci_get16(v->dev.cfg, v->msix_cap + PCI_MSIX_FLAGS));
}

static enum vfio_irq_mode wanted_mode(const struct vfio_irqs *q)
{
	if (!q->ready)
		return VFIO_IRQ_OFF;
	if (msix_table_enabled(&q->table))
		return VFIO_IRQ_MSIX;
	return q->guest_msi.on ? VFIO_IRQ_MSI : VFIO_IRQ_INTX;
}

static struct vfio_vector *vectors(struct vfio_pci *v, unsigned *n)
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
static bool unmasked(const struct vfio_irqs *q, unsigned i)
{
	if (q->mode == VFIO_IRQ_MSIX)
		return !msix_table_own_mask(&q->table, i);
	return i < q->guest_msi.n && !(q->guest_msi.mask >> i & 1);
}

static bool wants_irqfd(const struct vfio_irqs *q, unsigned i)
{
	return q->mode == VFIO_IRQ_MSIX ? !msix_table_masked(&q->table, i) : unmasked(q, i);
}

static uint64_t message_address(const struct vfio_irqs *q, unsigned i)
{
	return q->mode == VFIO_IRQ_MSIX ? msix_table_address(&q->table, i) : q->guest_msi.address;
}

/* PCI 3.0, 6.8.3.4: the low bits of MSI's say which vector. */
static uint32_t message_data(const struct vfio_irqs *q, unsigned i)
{
	return q->mode == VFIO_IRQ_MSIX ? msix_table_data(&q->table, i)
					: (q->guest_msi.data & ~(q->guest_msi.n - 1)) | i;
}

/* ---- MSI and MSI-X: making it so ---- */

static void vector_detach(struct vfio_vector *vec)
{
	if (vec->attached)
		msi_route_attach(vec->route, -1);
	vec->attached = false;
}

static void vector_route(struct vfio_pci *v, struct vfio_vector *vec, unsigned i)
{
	if (!ensure_fd(&vec->fd)) {
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
	msi_route_set(vec->route, message_address(&v->irq, i), message_data(&v->irq, i),
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
			if (vec[i + n].host || vec[i + n].fd < 0 || !unmasked(&v->irq, i + n))
				break;
			fds[n] = vec[i + n].fd;
		}
		if (!n) {
			i++;
			continue;
		}
		ret = set_irqs(v, vector_index(v), VFIO_IRQ_SET_ACTION_TRIGGER, i, n, fds);
		if (ret)
			log_guest(&v->dev.limit, "%s: the host refuses interrupt vectors %u-%u%s%s",
				  v->k->name, i, i + n - 1, ret < 0 ? ": " : "",
				  ret < 0 ? strerror(-ret) : "");
		for (unsigned j = 0; j < n; j++)
			vec[i + j].host = ret == 0;
		i += n;
	}
}

static void vectors_update(struct vfio_pci *v, unsigned first, unsigned end)
{
	unsigned n;
	struct vfio_vector *vec = vectors(v, &n);

	for (unsigned i = first; i < end && i < n; i++) {
		if (wants_irqfd(&v->irq, i))
			vector_route(v, &vec[i], i);
		else
			vector_detach(&vec[i]);
	}
	if (irq_commit(v->dev.root->irq)) {
		log_guest(&v->dev.limit, "%s: KVM refuses its interrupt routes", v->k->name);
		return;
	}
	for (unsigned i = first; i < end && i < n; i++)
		if (wants_irqfd(&v->irq, i))
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
		if (unmasked(&v->irq, i))
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
		fds[i] = unmasked(&v->irq, i) && ensure_fd(&vec[i].fd) ? vec[i].fd : -1;
	ret = set_irqs(v, vector_index(v), VFIO_IRQ_SET_ACTION_TRIGGER, 0, count, fds);
	if (ret > 0 && (unsigned)ret < count) {
		log_guest(&v->dev.limit, "%s: the host can provide only %d of %u interrupt vectors",
			  v->k->name, ret, count);
		count = (unsigned)ret;
		ret = set_irqs(v, vector_index(v), VFIO_IRQ_SET_ACTION_TRIGGER, 0, count, fds);
	}
	if (ret)
		return ret < 0 ? ret : -ENOSPC;
	v->irq.granted = count;
	for (unsigned i = 0; i < count; i++)
		vec[i].host = fds[i] >= 0;
	return 0;
}

static void enter_vectors(struct vfio_pci *v, enum vfio_irq_mode mode)
{
	struct vfio_vector *vec;
	unsigned n;
	int ret;

	v->irq.mode = mode;
	vec = vectors(v, &n);
	v->irq.asked = initial_count(v);
	ret = host_enable(v, vec, v->irq.asked);
	if (ret) {
		v->irq.mode = VFIO_IRQ_OFF;
		log_guest(&v->dev.limit, "%s: %s stays off: %s", v->k->name,
			  mode == VFIO_IRQ_MSIX ? "MSI-X" : "MSI", strerror(-ret));
		return;
	}
	vectors_update(v, 0, n);
}

static void leave_vectors(struct vfio_pci *v)
{
	unsigned n;
	struct vfio_vector *vec = vectors(v, &n);

	for (unsigned i = 0; i < n; i++)
		vector_detach(&vec[i]);
	vfio_stats_keep_irqs(v);
	disable_index(v, vector_index(v));
	for (unsigned i = 0; i < n; i++) {
		msi_route_free(vec[i].route);
		vec[i].route = NULL;
		vec[i].host = false;
		eventfd_drain(vec[i].fd);
	}
	v->irq.granted = 0;
}

static void leave(struct vfio_pci *v)
{
	if (v->irq.mode == VFIO_IRQ_INTX)
		leave_intx(v);
	else if (v->irq.mode != VFIO_IRQ_OFF)
		leave_vectors(v);
	v->irq.mode = VFIO_IRQ_OFF;
}

void vfio_irqs_sync(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	enum vfio_irq_mode want;
	unsigned n;

	if (!v->dev.root || !v->dev.root->irq)
		return;
	read_registers(v);
	want = wanted_mode(q);
	if (want == q->mode && (want != VFIO_IRQ_MSI || q->guest_msi.n == q->asked)) {
		vectors(v, &n);
		vectors_update(v, 0, n);
		return;
	}
	leave(v);
	if (want == VFIO_IRQ_INTX)
		enter_intx(v);
	else if (want != VFIO_IRQ_OFF)
		enter_vectors(v, want);
}

void vfio_irqs_off(struct vfio_pci *v)
{
	v->irq.ready = false;
	if (v->dev.root && v->dev.root->irq)
		leave(v);
}

void vfio_irqs_reset(struct vfio_pci *v)
{
	msix_table_reset(&v->irq.table);
}

static bool vector_pends(const struct vfio_vector *vec)
{
	return !vec->attached && eventfd_is_set(vec->fd);
}

uint32_t vfio_msi_pending(const struct vfio_pci *v)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < v->irq.n_msi; i++)
		bits |= (uint32_t)vector_pends(&v->irq.msi[i]) << i;
	return bits;
}

/* ---- the MSI-X table ---- */

static void table_changed(void *opaque, unsigned i, enum msix_change what)
{
	struct vfio_pci *v = opaque;

	if (v->irq.mode != VFIO_IRQ_MSIX)
		return;
	if (what != MSIX_MESSAGE)
		count_add(what == MSIX_MASKED ? &v->counts.masks : &v->counts.unmasks, 1);
	vectors_update(v, i, i + 1);
}

static bool table_pending(void *opaque, unsigned i)
{
	return vector_pends(&((struct vfio_pci *)opaque)->irq.msix[i]);
}

static const struct msix_table_ops table_ops = { .changed = table_changed,
						 .pending = table_pending };

/* ---- start ---- */

static struct vfio_vector *new_vectors(unsigned n)
{
	struct vfio_vector *vec = calloc(n, sizeof(*vec));

	for (unsigned i = 0; vec && i < n; i++)
		vec[i].fd = -1;
	return vec;
}

static uint64_t bar_size(struct vfio_pci *v, unsigned n)
{
	struct vfio_region_info *info = NULL;
	uint64_t size = 0;

	if (n < PCI_NUM_BARS &&
	    !v->k->ops->region_info(v->k, VFIO_PCI_BAR0_REGION_INDEX + n, &info))
		size = info->size;
	free(info);
	return size;
}

static bool part_fits(struct vfio_pci *v, const struct pci_bar_part *part)
{
	return range_ok(part->off, part->region.size, bar_size(v, part->bar));
}

/* Table and PBA may be anywhere the device says, which some say wrongly. */
static void place_msix(struct vfio_pci *v)
{
	struct msix_table *t = &v->irq.table;

	t->accesses = &v->counts.trapped;
	msix_table_place(t, v->dev.cfg + v->msix_cap);
	if (!part_fits(v, &t->table)) {
		log_warn("%s: its MSI-X table (%u vectors at %#llx of BAR %u) is outside of the "
			 "BAR; the guest cannot use MSI-X",
			 v->k->name, t->n, (unsigned long long)t->table.off, t->table.bar);
		msix_table_free(t);
		return;
	}
	pci_add_bar_part(&v->dev, &t->table);
	if (part_fits(v, &t->pba) &&
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
	unsigned n_msix;

	q->intx_trigger = q->intx_resample = q->err.fd = q->req.fd = -1;
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		q->info[i] = (struct vfio_irq_info){ .argsz = sizeof(q->info[i]), .index = i };
		if (i >= v->info.num_irqs || v->k->ops->irq_info(v->k, i, &q->info[i]))
			q->info[i].count = 0;
	}
	if (!q->info[VFIO_PCI_INTX_IRQ_INDEX].count)
		v->dev.cfg[PCI_INTERRUPT_PIN] = 0;
	n_msix = msix_count(v);
	q->n_msi = msi_max(v);
	q->msix = new_vectors(n_msix ? n_msix : 1);
	q->msi = new_vectors(q->n_msi ? q->n_msi : 1);
	if (!q->msix || !q->msi ||
	    (n_msix && msix_table_init(&q->table, n_msix, &table_ops, v, &v->dev.lock)))
		return error_set(err, -ENOMEM, "%s: out of memory for its interrupts", v->k->name);
	if (n_msix)
		place_msix(v);
	if (!q->table.n)
		vfio_cap_unlink(v, &v->msix_cap);
	if (!q->n_msi)
		vfio_cap_unlink(v, &v->msi_cap);
	return 0;
}

static void free_vectors(struct vfio_vector *vec, unsigned n)
{
	for (unsigned i = 0; vec && i < n; i++)
		close_fd(&vec[i].fd);
	free(vec);
}

void vfio_irqs_free(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;

	vfio_irqs_off(v);
	free_vectors(q->msix, q->table.n);
	free_vectors(q->msi, q->n_msi);
	msix_table_free(&q->table);
	q->msix = q->msi = NULL;
	q->n_msi = 0;
	close_fd(&q->intx_trigger);
	close_fd(&q->intx_resample);
}

/* ---- ERR and REQ ---- */

static void on_err(void *arg, int fd, uint32_t events)
{
	struct vfio_notifier *n = arg;

	(void)events;
	eventfd_drain(fd);
	if (n->v->opt.on_error)
		n->v->opt.on_error(n->v->opt.opaque, n->v->k->name);
}

static void on_req(void *arg, int fd, uint32_t events)
{
	struct vfio_notifier *n = arg;

	(void)events;
	eventfd_drain(fd);
	if (n->v->opt.on_request)
		n->v->opt.on_request(n->v->opt.opaque, n->v->k->name);
}

static void watch(struct vfio_pci *v, struct vfio_notifier *n, unsigned index, struct evloop *loop,
		  void (*fn)(void *, int, uint32_t))
{
	int32_t fd;

	n->v = v;
	if (n->source || !v->irq.info[index].count || !ensure_fd(&n->fd))
		return;
	fd = n->fd;
	n->source = evloop_add_fd(loop, n->fd, EPOLLIN, fn, n);
	if (n->source && !set_irqs(v, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &fd))
		return;
	log_info("%s: minivmm cannot be told of %s", v->k->name,
		 index == VFIO_PCI_ERR_IRQ_INDEX ? "errors of the device"
						 : "the host's request to have the device back");
	if (n->source)
		evloop_del_fd(n->source);
	n->source = NULL;
}

static void unwatch(struct vfio_pci *v, struct vfio_notifier *n, unsigned index)
{
	if (n->source) {
		disable_index(v, index);
		evloop_del_fd(n->source);
	}
	n->source = NULL;
	close_fd(&n->fd);
}

void vfio_irqs_watch(struct vfio_pci *v, struct evloop *loop)
{
	watch(v, &v->irq.err, VFIO_PCI_ERR_IRQ_INDEX, loop, on_err);
	watch(v, &v->irq.req, VFIO_PCI_REQ_IRQ_INDEX, loop, on_req);
}

void vfio_irqs_unwatch(struct vfio_pci *v)
{
	unwatch(v, &v->irq.err, VFIO_PCI_ERR_IRQ_INDEX);
	unwatch(v, &v->irq.req, VFIO_PCI_REQ_IRQ_INDEX);
}
