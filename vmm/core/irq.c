/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GSI table.
 *
 * GSI 0-15 are connected to the PIC and the IOAPIC, 16-23 only to the IOAPIC. GSI 0 (the PIT) is
 * connected to pin 2 of the IOAPIC, as on a PC and as our MADT says (ACPI 6.5, 5.2.12.5). GSI 2
 * (the cascade) is connected to nothing. An MSI route takes the lowest free GSI from 24 on, so that
 * the kernel's table stays short.
 *
 * Threads: any. `lock` is held during calls of the backend, so that the kernel's table and ours
 * always agree.
 */
#include "vmm/core/irq.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/stats.h"

#define IRQ_PINS     24u
#define IRQ_PIC_PINS 16u
#define IRQ_SOURCES  64u

struct msi_route {
	struct irq_table *table;
	uint32_t gsi;
	uint64_t addr;
	uint32_t data, devid;
	bool set; /* it has a message, so it belongs into the kernel's table */
	int fd;
};

struct irq_table {
	pthread_mutex_t lock;
	const struct irq_backend_ops *ops;
	void *opaque;
	uint64_t used[IRQ_PINS], high[IRQ_PINS]; /* one bit per source */
	uint64_t raised[IRQ_PINS];
	struct msi_route **msi; /* n_msi entries; the index is gsi - IRQ_PINS */
	unsigned n_msi, max_msi;
	bool dirty;
};

struct irq_table *irq_table_new(const struct irq_backend_ops *ops, void *opaque, unsigned max_gsi)
{
	struct irq_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->ops = ops;
	t->opaque = opaque;
	t->max_msi = max_gsi > IRQ_PINS ? max_gsi - IRQ_PINS : 0;
	t->dirty = true; /* the kernel does not have the routes of the pins yet */
	return t;
}

void irq_table_free(struct irq_table *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t->msi);
	free(t);
}

static void each_line(void *opaque, stats_irq_fn *fn, void *arg)
{
	struct irq_table *t = opaque;
	uint32_t gsi;

	scoped_lock(&t->lock);
	for (gsi = 0; gsi < IRQ_PINS; gsi++)
		if (t->raised[gsi])
			fn(arg, &(struct stats_irq){ .device = "IOAPIC",
						     .kind = "line",
						     .path = "userspace",
						     .vector = gsi,
						     .known = true,
						     .count = t->raised[gsi] });
}

void irq_table_add_stats(struct irq_table *t, struct stats *stats)
{
	stats_add_irqs(stats, each_line, t);
}

int irq_source_init(struct irq_table *t, uint32_t gsi, struct irq_source *s)
{
	unsigned id;

	if (gsi >= IRQ_PINS)
		return -EINVAL;
	scoped_lock(&t->lock);
	if (t->used[gsi] == UINT64_MAX)
		return -ENOSPC;
	id = (unsigned)__builtin_ctzll(~t->used[gsi]);
	t->used[gsi] |= 1ull << id;
	*s = (struct irq_source){ .table = t, .gsi = gsi, .id = id };
	return 0;
}

static void source_set_locked(struct irq_source *s, bool level)
{
	struct irq_table *t = s->table;
	uint64_t *high = &t->high[s->gsi], before = *high, bit = 1ull << s->id;

	*high = level ? before | bit : before & ~bit;
	if (!before && *high)
		t->raised[s->gsi]++;
	if (!before != !*high)
		t->ops->set_line(t->opaque, s->gsi, *high != 0);
}

void irq_set(struct irq_source *s, bool level)
{
	scoped_lock(&s->table->lock);
	source_set_locked(s, level);
}

void irq_source_release(struct irq_source *s)
{
	if (!s->table)
		return;
	scoped_lock(&s->table->lock);
	source_set_locked(s, false);
	s->table->used[s->gsi] &= ~(1ull << s->id);
}

int irq_line_irqfd_add(struct irq_table *t, uint32_t gsi, int fd, int resample_fd)
{
	if (gsi >= IRQ_PINS)
		return -EINVAL;
	scoped_lock(&t->lock);
	return t->ops->irqfd_add(t->opaque, gsi, fd, resample_fd);
}

void irq_line_irqfd_del(struct irq_table *t, uint32_t gsi, int fd)
{
	if (gsi >= IRQ_PINS)
		return;
	scoped_lock(&t->lock);
	t->ops->irqfd_del(t->opaque, gsi, fd);
}

/* The lowest free slot. If there is none, the array grows. -ENOSPC or -ENOMEM. */
static int msi_slot(struct irq_table *t)
{
	struct msi_route **bigger;
	unsigned i, n;

	for (i = 0; i < t->n_msi; i++)
		if (!t->msi[i])
			return (int)i;
	if (t->n_msi >= t->max_msi)
		return -ENOSPC;
	n = t->n_msi ? t->n_msi * 2 : 16;
	if (n > t->max_msi)
		n = t->max_msi;
	bigger = realloc(t->msi, n * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (i = t->n_msi; i < n; i++)
		bigger[i] = NULL;
	t->msi = bigger;
	i = t->n_msi;
	t->n_msi = n;
	return (int)i;
}

struct msi_route *msi_route_new(struct irq_table *t)
{
	struct msi_route *r = calloc(1, sizeof(*r));
	int slot;

	if (!r)
		return NULL;
	scoped_lock(&t->lock);
	slot = msi_slot(t);
	if (slot < 0) {
		free(r);
		return NULL;
	}
	r->table = t;
	r->gsi = IRQ_PINS + (uint32_t)slot;
	r->fd = -1;
	t->msi[slot] = r;
	return r;
}

static int attach_locked(struct msi_route *r, int fd)
{
	struct irq_table *t = r->table;
	int ret = 0;

	if (r->fd == fd)
		return 0;
	if (r->fd >= 0)
		t->ops->irqfd_del(t->opaque, r->gsi, r->fd);
	r->fd = -1;
	if (fd >= 0)
		ret = t->ops->irqfd_add(t->opaque, r->gsi, fd, -1);
	if (fd >= 0 && ret == 0)
		r->fd = fd;
	return ret;
}

void msi_route_free(struct msi_route *r)
{
	struct irq_table *t;

	if (!r)
		return;
	t = r->table;
	{
		scoped_lock(&t->lock);
		attach_locked(r, -1);
		t->msi[r->gsi - IRQ_PINS] = NULL;
		/* The kernel's table keeps the entry until the next commit. Without an irqfd it has
		 * no effect. */
		t->dirty |= r->set;
	}
	free(r);
}

void msi_route_set(struct msi_route *r, uint64_t addr, uint32_t data, uint32_t devid)
{
	scoped_lock(&r->table->lock);
	if (r->set && r->addr == addr && r->data == data && r->devid == devid)
		return;
	r->addr = addr;
	r->data = data;
	r->devid = devid;
	r->set = true;
	r->table->dirty = true;
}

static unsigned pin_routes(struct irq_backend_route *out)
{
	unsigned gsi, n = 0;

	for (gsi = 0; gsi < IRQ_PINS; gsi++) {
		if (gsi == 2)
			continue;
		if (gsi < IRQ_PIC_PINS)
			out[n++] = (struct irq_backend_route){
				.gsi = gsi, .pin = { .chip = gsi / 8, .pin = gsi % 8 }
			};
		out[n++] = (struct irq_backend_route){
			.gsi = gsi, .pin = { .chip = 2, .pin = gsi == 0 ? 2 : gsi }
		};
	}
	return n;
}

int irq_commit(struct irq_table *t)
{
	scoped_free struct irq_backend_route *out = NULL;
	unsigned i, n;
	int ret;

	scoped_lock(&t->lock);
	if (!t->dirty)
		return 0;
	out = calloc(IRQ_PINS + IRQ_PIC_PINS + t->n_msi, sizeof(*out));
	if (!out)
		return -ENOMEM;
	n = pin_routes(out);
	for (i = 0; i < t->n_msi; i++) {
		const struct msi_route *r = t->msi[i];

		if (r && r->set)
			out[n++] = (struct irq_backend_route){
				.gsi = r->gsi,
				.is_msi = true,
				.msi = { .addr = r->addr, .data = r->data, .devid = r->devid },
			};
	}
	ret = t->ops->set_routes(t->opaque, out, n);
	if (ret == 0)
		t->dirty = false;
	return ret;
}

int msi_route_attach(struct msi_route *r, int fd)
{
	scoped_lock(&r->table->lock);
	return attach_locked(r, fd);
}

int msi_route_signal(struct msi_route *r)
{
	struct irq_table *t = r->table;

	scoped_lock(&t->lock);
	if (!r->set)
		return -EINVAL;
	return t->ops->signal_msi(t->opaque, r->addr, r->data, r->devid);
}
