/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of a passed-through function.
 *
 * Two sides are kept apart. The guest's: the capabilities' flags (in dev.cfg) and the MSI-X table
 * (vec.word). The host's: which kind of interrupt the kernel has enabled (irq.mode) and which
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
#include <poll.h>
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

static uint16_t msix_flags(const struct vfio_pci *v)
{
	return v->msix_cap && v->irq.n_msix ? pci_get16(v->dev.cfg, v->msix_cap + PCI_MSIX_FLAGS)
					    : 0;
}

static uint16_t msi_flags(const struct vfio_pci *v)
{
	return v->msi_cap && v->irq.n_msi ? pci_get16(v->dev.cfg, v->msi_cap + PCI_MSI_FLAGS) : 0;
}

/* Vectors that the guest has enabled, at most what the host can give. */
static unsigned msi_count(const struct vfio_pci *v)
{
	unsigned n = 1u << ((msi_flags(v) & PCI_MSI_FLAGS_QSIZE) >> 4);

	return n < v->irq.n_msi ? n : v->irq.n_msi;
}

static enum vfio_irq_mode wanted_mode(const struct vfio_pci *v)
{
	if (!v->irq.ready)
		return VFIO_IRQ_OFF;
	if (msix_flags(v) & PCI_MSIX_FLAGS_ENABLE)
		return VFIO_IRQ_MSIX;
	if (msi_flags(v) & PCI_MSI_FLAGS_ENABLE)
		return VFIO_IRQ_MSI;
	return VFIO_IRQ_INTX;
}

static struct vfio_vector *vectors(struct vfio_pci *v, unsigned *n)
{
	*n = v->irq.mode == VFIO_IRQ_MSIX  ? v->irq.n_msix
	     : v->irq.mode == VFIO_IRQ_MSI ? v->irq.n_msi
					   : 0;
	return v->irq.mode == VFIO_IRQ_MSIX ? v->irq.msix : v->irq.msi;
}

static unsigned vector_index(const struct vfio_pci *v)
{
	return v->irq.mode == VFIO_IRQ_MSIX ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
}

/* Should vector i reach the guest, by the masks that are its own? */
static bool unmasked(const struct vfio_pci *v, unsigned i)
{
	uint16_t flags = msi_flags(v);
	unsigned at;

	if (v->irq.mode == VFIO_IRQ_MSIX)
		return !(v->irq.msix[i].word[3] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
	if (i >= msi_count(v))
		return false;
	if (!(flags & PCI_MSI_FLAGS_MASKBIT))
		return true;
	at = v->msi_cap + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
	return !(pci_get32(v->dev.cfg, at) >> i & 1);
}

static bool wants_irqfd(const struct vfio_pci *v, unsigned i)
{
	if (v->irq.mode == VFIO_IRQ_MSIX && (msix_flags(v) & PCI_MSIX_FLAGS_MASKALL))
		return false;
	return unmasked(v, i);
}

static void vector_message(const struct vfio_pci *v, unsigned i, uint64_t *addr, uint32_t *data)
{
	const uint8_t *c = v->dev.cfg + v->msi_cap;
	const uint32_t *w;
	unsigned n;

	if (v->irq.mode == VFIO_IRQ_MSIX) {
		w = v->irq.msix[i].word;
		*addr = (uint64_t)w[1] << 32 | w[0];
		*data = w[2];
		return;
	}
	n = msi_count(v);
	*addr = pci_get32(c, PCI_MSI_ADDRESS_LO);
	if (msi_flags(v) & PCI_MSI_FLAGS_64BIT)
		*addr |= (uint64_t)pci_get32(c, PCI_MSI_ADDRESS_HI) << 32;
	*data = pci_get16(c,
			  msi_flags(v) & PCI_MSI_FLAGS_64BIT ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
	*data = (*data & ~(n - 1)) | i; /* PCI 3.0, 6.8.3.4: the low bits say which */
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
	uint64_t addr;
	uint32_t data;

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
	vector_message(v, i, &addr, &data);
	msi_route_set(vec->route, addr, data, pci_rid(&v->dev));
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
			if (vec[i + n].host || vec[i + n].fd < 0 || !unmasked(v, i + n))
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
		if (wants_irqfd(v, i))
			vector_route(v, &vec[i], i);
		else
			vector_detach(&vec[i]);
	}
	if (irq_commit(v->dev.root->irq)) {
		log_guest(&v->dev.limit, "%s: KVM refuses its interrupt routes", v->k->name);
		return;
	}
	for (unsigned i = first; i < end && i < n; i++)
		if (wants_irqfd(v, i))
			vector_attach(v, &vec[i], i);
	host_add(v, vec, first, end < n ? end : n);
}

/* VFIO counts the vectors from the same capability as we do; but it is VFIO that has them. */
static unsigned host_max(const struct vfio_pci *v)
{
	unsigned n = v->irq.info[VFIO_PCI_MSIX_IRQ_INDEX].count;

	return n < v->irq.n_msix ? n : v->irq.n_msix;
}

/* How many vectors to ask for at first. */
static unsigned initial_count(const struct vfio_pci *v)
{
	unsigned top = 1;

	if (v->irq.mode == VFIO_IRQ_MSI)
		return msi_count(v);
	if (v->irq.info[VFIO_PCI_MSIX_IRQ_INDEX].flags & VFIO_IRQ_INFO_NORESIZE)
		return host_max(v);
	for (unsigned i = 0; i < host_max(v); i++)
		if (unmasked(v, i))
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
		fds[i] = unmasked(v, i) && ensure_fd(&vec[i].fd) ? vec[i].fd : -1;
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
	enum vfio_irq_mode want = wanted_mode(v);
	unsigned n;

	if (!v->dev.root || !v->dev.root->irq)
		return;
	if (want == v->irq.mode && (want != VFIO_IRQ_MSI || msi_count(v) == v->irq.asked)) {
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
	for (unsigned i = 0; i < v->irq.n_msix; i++) {
		memset(v->irq.msix[i].word, 0, sizeof(v->irq.msix[i].word));
		v->irq.msix[i].word[3] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
}

/* ---- the trapped table and PBA ---- */

static bool in_table(const struct vfio_irqs *q, unsigned n, uint64_t off, unsigned size)
{
	return n == q->table_bar && range_overlaps(off, size, q->table_off, q->table_size);
}

static bool in_pba(const struct vfio_irqs *q, unsigned n, uint64_t off, unsigned size)
{
	return n == q->pba_bar && range_overlaps(off, size, q->pba_off, q->pba_size);
}

bool vfio_msix_owns(const struct vfio_pci *v, unsigned n, uint64_t off, unsigned size)
{
	return in_table(&v->irq, n, off, size) || in_pba(&v->irq, n, off, size);
}

static bool pending(const struct vfio_vector *vec)
{
	struct pollfd p = { .fd = vec->fd, .events = POLLIN };

	return vec->fd >= 0 && !vec->attached && poll(&p, 1, 0) == 1;
}

static uint32_t pending_bits(const struct vfio_vector *vec, uint64_t first, unsigned n)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 32 && first + i < n; i++)
		bits |= (uint32_t)pending(&vec[first + i]) << i;
	return bits;
}

uint32_t vfio_msi_pending(const struct vfio_pci *v)
{
	return pending_bits(v->irq.msi, 0, v->irq.n_msi);
}

static uint32_t table_read32(const struct vfio_irqs *q, unsigned n, uint64_t off)
{
	if (in_table(q, n, off, 4))
		return q->msix[(off - q->table_off) / PCI_MSIX_ENTRY_SIZE]
			.word[(off - q->table_off) % PCI_MSIX_ENTRY_SIZE / 4];
	if (in_pba(q, n, off, 4))
		return pending_bits(q->msix, (off - q->pba_off) * 8, q->n_msix);
	return 0;
}

/* PCI 3.0, 6.8.2: whole, aligned dwords or qwords only; the rest is undefined, and 0 here. */
uint64_t vfio_msix_read(struct vfio_pci *v, unsigned n, uint64_t off, unsigned size)
{
	uint64_t val;

	if ((size != 4 && size != 8) || off % size)
		return 0;
	val = table_read32(&v->irq, n, off);
	if (size == 8)
		val |= (uint64_t)table_read32(&v->irq, n, off + 4) << 32;
	return val;
}

static void table_write32(struct vfio_pci *v, unsigned n, uint64_t off, uint32_t val)
{
	struct vfio_irqs *q = &v->irq;
	unsigned i, w;
	uint32_t was;

	if (!in_table(q, n, off, 4))
		return; /* the PBA is read-only */
	i = (unsigned)((off - q->table_off) / PCI_MSIX_ENTRY_SIZE);
	w = (unsigned)((off - q->table_off) % PCI_MSIX_ENTRY_SIZE / 4);
	if (w == 3)
		val &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	was = q->msix[i].word[w];
	q->msix[i].word[w] = val;
	if (w == 3 && was != val && q->mode == VFIO_IRQ_MSIX)
		count_add(val ? &v->counts.masks : &v->counts.unmasks, 1);
	/* A message is to change only while masked (6.8.3.5); what is live all the same, at once.
	 */
	if (was != val && q->mode == VFIO_IRQ_MSIX && (w == 3 || unmasked(v, i)))
		vectors_update(v, i, i + 1);
}

void vfio_msix_write(struct vfio_pci *v, unsigned n, uint64_t off, unsigned size, uint64_t val)
{
	if ((size != 4 && size != 8) || off % size)
		return;
	table_write32(v, n, off, (uint32_t)val);
	if (size == 8)
		table_write32(v, n, off + 4, (uint32_t)(val >> 32));
}

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

/* Table and PBA may be anywhere the device says, which some say wrongly. */
static void place_msix(struct vfio_pci *v)
{
	struct vfio_irqs *q = &v->irq;
	uint32_t table = pci_get32(v->dev.cfg, v->msix_cap + PCI_MSIX_TABLE);
	uint32_t pba = pci_get32(v->dev.cfg, v->msix_cap + PCI_MSIX_PBA);
	uint64_t pba_size = (q->n_msix + 63) / 64 * 8;

	q->table_bar = table & PCI_MSIX_TABLE_BIR;
	q->table_off = table & PCI_MSIX_TABLE_OFFSET;
	q->table_size = (uint64_t)q->n_msix * PCI_MSIX_ENTRY_SIZE;
	if (!range_ok(q->table_off, q->table_size, bar_size(v, q->table_bar))) {
		log_warn("%s: its MSI-X table (%u vectors at %#llx of BAR %u) is outside of the "
			 "BAR; the guest cannot use MSI-X",
			 v->k->name, q->n_msix, (unsigned long long)q->table_off, q->table_bar);
		q->n_msix = 0;
		q->table_size = 0;
		return;
	}
	q->pba_bar = pba & PCI_MSIX_PBA_BIR;
	q->pba_off = pba & PCI_MSIX_PBA_OFFSET;
	if (range_ok(q->pba_off, pba_size, bar_size(v, q->pba_bar)) &&
	    !(q->pba_bar == q->table_bar &&
	      range_overlaps(q->pba_off, pba_size, q->table_off, q->table_size)))
		q->pba_size = pba_size;
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

	q->intx_trigger = q->intx_resample = q->err.fd = q->req.fd = -1;
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		q->info[i] = (struct vfio_irq_info){ .argsz = sizeof(q->info[i]), .index = i };
		if (i >= v->info.num_irqs || v->k->ops->irq_info(v->k, i, &q->info[i]))
			q->info[i].count = 0;
	}
	if (!q->info[VFIO_PCI_INTX_IRQ_INDEX].count)
		v->dev.cfg[PCI_INTERRUPT_PIN] = 0;
	q->n_msix = msix_count(v);
	q->n_msi = msi_max(v);
	if (q->n_msix)
		place_msix(v);
	if (!q->n_msix)
		vfio_cap_unlink(v, &v->msix_cap);
	if (!q->n_msi)
		vfio_cap_unlink(v, &v->msi_cap);
	q->msix = new_vectors(q->n_msix ? q->n_msix : 1);
	q->msi = new_vectors(q->n_msi ? q->n_msi : 1);
	if (!q->msix || !q->msi)
		return error_set(err, -ENOMEM, "%s: out of memory for its interrupts", v->k->name);
	vfio_irqs_reset(v);
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
	free_vectors(q->msix, q->n_msix);
	free_vectors(q->msi, q->n_msi);
	q->msix = q->msi = NULL;
	q->n_msix = q->n_msi = 0;
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
