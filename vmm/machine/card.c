/* SPDX-License-Identifier: BSD-2-Clause */
/* See card.h. */
#include "vmm/machine/card.h"

#include <errno.h>
#include <stdlib.h>

#include "vfio/iommu/iommu.h"
#include "vfio/iommu/kernel.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/kvm/kvm_vfio.h"

/* ---- the list ---- */

struct card *card_new(struct machine_vfio *v)
{
	struct card *c = calloc(1, sizeof(*c)), **end = &v->cards;

	if (!c)
		return NULL;
	c->all = v;
	scoped_lock(&v->lock);
	while (*end)
		end = &(*end)->next;
	*end = c;
	return c;
}

static void unlink_card(struct card *c)
{
	struct card **at = &c->all->cards;

	scoped_lock(&c->all->lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

void card_free(struct card *c)
{
	unlink_card(c);
	if (c->has_port)
		root_port_destroy(&c->port);
	free(c);
}

struct card_function *card_function(struct card *c, unsigned i)
{
	for (unsigned k = 0; k < ARRAY_SIZE(c->fn); k++)
		if (c->fn[k].device && i-- == 0)
			return &c->fn[k];
	return NULL;
}

struct card_function *cards_function(const struct machine_vfio *v, unsigned i)
{
	for (struct card *c = v->cards; c; c = c->next)
		for (unsigned k = 0; k < ARRAY_SIZE(c->fn); k++)
			if (c->fn[k].device && i-- == 0)
				return &c->fn[k];
	return NULL;
}

int card_take(struct card *c, struct device *d, const struct sysfs_pci *host, unsigned fn,
	      struct error *err)
{
	unsigned i = 0;

	scoped_lock(&c->all->lock);
	while (i < ARRAY_SIZE(c->fn) && c->fn[i].device)
		i++;
	if (i == ARRAY_SIZE(c->fn))
		return error_set(err, -ENOSPC, "%s: a slot has only eight functions", host->bdf);
	c->fn[i] = (struct card_function){
		.card = c, .device = d, .opt = d->opts, .host = *host, .fn = fn
	};
	d->state = &c->fn[i];
	return 0;
}

void card_drop(struct card_function *f)
{
	scoped_lock(&f->card->all->lock);
	f->device->state = NULL;
	f->device = NULL;
}

/* ---- a function ---- */

/* Only another passed-through card could read a BAR through the IOMMU; a graphics card's audio
 * function does not. */
static bool wants_p2p(const struct card_function *f, unsigned cards)
{
	return f->opt->p2p == VFIO_P2P_ON || (f->opt->p2p == VFIO_P2P_AUTO && cards > 1);
}

/* Without those that leave. machine_vfio.lock held, once the guest runs. */
static unsigned count_cards(const struct machine_vfio *v)
{
	struct vfio_place place[VFIO_MOST];
	struct card_function *f;
	unsigned n = 0;

	for (unsigned i = 0; n < VFIO_MOST && (f = cards_function(v, i)); i++)
		if (!f->left)
			place[n++] = (struct vfio_place){ .bdf = f->host.bdf,
							  .virtfn = f->host.virtfn };
	return vfio_layout_cards(place, n);
}

static bool wants_p2p_now(const struct card_function *f)
{
	scoped_lock(&f->card->all->lock);
	return wants_p2p(f, count_cards(f->card->all));
}

int card_make(struct card_function *f, struct error *err)
{
	const struct vfio_pci_env env = {
		.iommu = f->card->all->iommu,
		.p2p = wants_p2p_now(f),
		.on_request = f->card->all->on_request,
		.on_error = f->card->all->on_error,
		.opaque = f,
	};
	struct vfio_kernel *kernel = f->kernel;

	f->kernel = NULL;
	f->dev = vfio_pci_new(kernel, &f->opt->dev, &env, err);
	return f->dev ? 0 : err->code;
}

void card_close(struct card_function *f)
{
	if (f->dev)
		vfio_pci_free(f->dev);
	if (f->kernel)
		f->kernel->ops->close(f->kernel);
	f->dev = NULL;
	f->kernel = NULL;
}

int card_plug(struct card_function *f, struct pci_bus *bus, uint8_t devfn, struct error *err)
{
	int ret = vfio_pci_plug(f->dev, f->card->all->pci, bus, devfn, err);

	scoped_lock(&f->card->all->lock);
	f->plugged = ret == 0;
	f->bus = bus;
	f->fn = devfn & 7;
	f->clean = false;
	return ret;
}

void card_unplug(struct card_function *f)
{
	if (f->plugged)
		vfio_pci_unplug(f->dev);
	scoped_lock(&f->card->all->lock);
	f->plugged = false;
	f->left = true;
}

static void quiesce(void *dev)
{
	vfio_pci_quiesce(dev);
}

static void after_reset(void *dev)
{
	vfio_pci_after_reset(dev);
}

struct vfio_reset_device card_reset_device(const struct card_function *f)
{
	return (struct vfio_reset_device){
		.kernel = vfio_pci_kernel(f->dev),
		.function_reset = vfio_pci_has_reset(f->dev),
		.methods = f->host.has_methods ? f->host.methods : NULL,
		.flr = !f->host.has_methods && vfio_pci_has_flr(f->dev),
		.quiesce = quiesce,
		.after = after_reset,
		.opaque = f->dev,
	};
}

/* ---- all cards ---- */

static int kvm_file(void *opaque, int fd, bool add)
{
	struct machine_vfio *v = opaque;

	return kvm_vfio_file(v->kvm, fd, add);
}

int cards_open_iommu(struct machine_vfio *v, struct error *err)
{
	struct iommu_config c = { .kvm_file = kvm_file, .opaque = v };

	if (!v->iommu)
		v->iommu = iommu_new(&c, err);
	return v->iommu ? 0 : err->code;
}

int cards_plan_reset(struct machine_vfio *v, const struct card_function *without, struct error *err)
{
	struct vfio_reset_device d[VFIO_MOST];
	struct vfio_reset *plan, *old;
	struct card_function *f;
	unsigned n = 0;

	for (unsigned i = 0; n < VFIO_MOST && (f = cards_function(v, i)); i++)
		if (f->dev && f != without)
			d[n++] = card_reset_device(f);
	plan = n ? vfio_reset_new(d, n, v->iommu, err) : NULL;
	if (n && !plan)
		return err->code;
	pthread_mutex_lock(&v->lock);
	old = v->reset;
	v->reset = plan;
	pthread_mutex_unlock(&v->lock);
	vfio_reset_free(old);
	return 0;
}

void cards_update_p2p(struct machine_vfio *v)
{
	struct card_function *f;
	unsigned cards;

	scoped_lock(&v->lock);
	cards = count_cards(v);
	for (unsigned i = 0; (f = cards_function(v, i)); i++)
		if (f->plugged)
			vfio_pci_set_p2p(f->dev, wants_p2p(f, cards));
}
