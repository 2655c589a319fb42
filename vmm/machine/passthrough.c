/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's passed-through devices: from the host's sysfs to root ports.
 *
 * Opened before the processors are made, because the IOMMU's address width bounds the guest's;
 * plugged with the other devices. In between, in this order: all options are looked at before the
 * first device is opened, so a refusal leaves nothing changed; KVM and the IOMMU know the devices;
 * devices are made quiet and reset; only then, and once it is all there, is guest memory within
 * their reach.
 *
 * late_card.c has the cards that come and go later.
 */
#include "vmm/machine/passthrough.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/iommu/iommu.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/core/parallel.h"
#include "vmm/machine/card.h"

#define LAST_SLOT 30 /* 31 is the LPC bridge's */

/* ---- looking ---- */

struct looked {
	struct device *device;
	struct sysfs_pci host;
	struct vfio_place place;
};

static int look_each(struct looked *l, const struct device_list *devices, struct error *err)
{
	struct device *d = NULL;

	for (; (d = device_next(devices, &vfio_class, d)); l++) {
		const struct vfio_options *c = d->opts;

		l->device = d;
		if (sysfs_check("", c->bdf, &l->host, err) < 0)
			return err->code;
		l->place = (struct vfio_place){ .bdf = l->host.bdf,
						.virtfn = l->host.virtfn,
						.slot = (unsigned)c->slot };
	}
	return 0;
}

/* The functions of port number `port`, as a card. */
static int make_card(struct machine_vfio *v, const struct looked *l, const struct vfio_place *place,
		     unsigned n, unsigned port, struct error *err)
{
	struct card *c = card_new(v);
	int ret = c ? 0 : error_set(err, -ENOMEM, "out of memory");

	if (ret == 0)
		c->slot = vfio_layout_slot(place, n, port);
	for (unsigned i = 0; i < n && ret == 0; i++)
		if (place[i].port == port)
			ret = card_take(c, l[i].device, &l[i].host, place[i].fn, err);
	return ret;
}

/* Everything that can be known without opening anything. */
static int look(struct machine_vfio *v, const struct device_list *devices, unsigned n,
		struct error *err)
{
	scoped_free struct looked *l = calloc(n, sizeof(*l));
	struct vfio_place place[VFIO_MOST];
	int ret = l ? look_each(l, devices, err) : error_set(err, -ENOMEM, "out of memory");
	unsigned ports = 0;

	for (unsigned i = 0; i < n && ret == 0; i++)
		place[i] = l[i].place;
	if (ret == 0)
		ret = vfio_layout(place, n, err);
	if (ret > 0)
		ports = (unsigned)ret;
	for (unsigned i = 0; i < ports && ret >= 0; i++)
		ret = make_card(v, l, place, n, i, err);
	return ret < 0 ? error_prefix(err, "--vfio") : 0;
}

struct machine_vfio *machine_vfio_new(void)
{
	struct machine_vfio *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	pthread_mutex_init(&v->life, NULL);
	pthread_mutex_init(&v->lock, NULL);
	v->on_request = card_on_request;
	v->on_error = card_on_error;
	return v;
}

int machine_vfio_look(struct machine_vfio **new, const struct device_list *devices,
		      struct error *err)
{
	unsigned n = vfio_count(devices);

	*new = NULL;
	if (!n)
		return 0;
	*new = machine_vfio_new();
	if (!*new)
		return error_set(err, -ENOMEM, "out of memory for --vfio");
	return look(*new, devices, n, err);
}

int machine_vfio_node(const struct machine_vfio *v)
{
	struct card_function *f;

	for (unsigned i = 0; v && (f = cards_function(v, i)); i++)
		if (f->host.numa_node >= 0)
			return f->host.numa_node;
	return -1;
}

uint64_t machine_vfio_mem64(const struct machine_vfio *v)
{
	struct card_function *f;
	uint64_t need = 0;

	for (unsigned i = 0; v && (f = cards_function(v, i)); i++)
		need += sysfs_mem64("", f->host.bdf);
	return need;
}

bool machine_vfio_any(const struct machine_vfio *v)
{
	return v && cards_function(v, 0);
}

/* ---- opening and closing ---- */

static int open_all(struct machine_vfio *v, struct error *err)
{
	const struct sysfs_pci *host[VFIO_MOST];
	struct vfio_kernel *kernel[VFIO_MOST];
	struct card_function *f;
	unsigned i, n = 0;
	int ret = cards_open_iommu(v, err);

	if (ret < 0)
		return ret;
	for (; (f = cards_function(v, n)); n++)
		host[n] = &f->host;
	ret = iommu_open_devices(v->iommu, host, n, kernel, err);
	for (i = 0; i < n; i++)
		cards_function(v, i)->kernel = kernel[i];
	return ret;
}

struct closing {
	struct iommu *iommu;
	struct card_function *fn[VFIO_MOST];
};

static void close_part(void *arg, unsigned i)
{
	const struct closing *c = arg;

	if (i == 0)
		iommu_detach_memory(c->iommu);
	else
		card_close(c->fn[i - 1]);
}

/* At the same time: the kernel resets a device as it is closed, which sleeps for 100 ms, and unmaps
 * guest memory, which is work. The devices are quiet, and on no bus. */
static void close_all(struct machine_vfio *v)
{
	struct closing c = { .iommu = v->iommu };
	struct card_function *f;
	unsigned n = 0;

	for (unsigned i = 0; (f = cards_function(v, i)); i++)
		if (f->dev || f->kernel)
			c.fn[n++] = f;
	if (c.iommu)
		parallel_each(n + 1, close_part, &c);
}

int machine_vfio_open(struct machine_vfio *v, struct kvm *kvm, struct guest_mem *mem,
		      struct error *err)
{
	int ret;

	if (!v)
		return 0;
	v->kvm = kvm;
	v->mem = mem;
	if (!v->cards)
		return 0;
	ret = open_all(v, err);
	/* What it would refuse it refuses now, not when all of memory is there. */
	if (ret == 0)
		ret = iommu_check_memory(v->iommu, mem, err);
	return ret < 0 ? error_prefix(err, "--vfio") : 0;
}

unsigned machine_vfio_phys_bits(const struct machine_vfio *v)
{
	return v && v->iommu ? iommu_aperture_bits(v->iommu) : 0;
}

/* ---- the guest's devices ---- */

static int make_all(struct machine_vfio *v, struct error *err)
{
	struct card_function *f;
	int ret = 0;

	for (unsigned i = 0; ret == 0 && (f = cards_function(v, i)); i++)
		ret = card_make(f, err);
	if (ret == 0)
		ret = cards_plan_reset(v, NULL, err);
	if (ret == 0)
		vfio_reset_log(v->reset);
	return ret;
}

/* ---- root ports ---- */

static bool slot_asked_for(const struct machine_vfio *v, unsigned slot)
{
	for (const struct card *c = v->cards; c; c = c->next)
		if (c->slot == slot)
			return true;
	return false;
}

static unsigned free_slot(const struct machine_vfio *v, unsigned first)
{
	for (unsigned slot = first; slot <= LAST_SLOT; slot++)
		if (!v->pci->bus.dev[PCI_DEVFN(slot, 0)] && !slot_asked_for(v, slot))
			return slot;
	return 0;
}

/* The port, and then its functions. */
static int adopt(struct card *c, const struct card_function *f, struct error *err)
{
	const struct vfio_news *n = &c->all->news;

	return n->adopt ? n->adopt(n->opaque, &c->port, f ? f->device : NULL, f ? f->fn : 0, err)
			: 0;
}

/* The port's link is as its function 0 has it in the host. Functions of one card have one way to
 * the host's root port, so what one of them can use all can; VFIO asks the functions themselves,
 * too, and audio knows no AtomicOps. */
static int make_port(struct card *c, unsigned first_slot, struct error *err)
{
	unsigned slot = c->slot ? c->slot : free_slot(c->all, first_slot), speed = 0, width = 0;
	struct card_function *f;
	uint32_t atomics = 0;
	int ret;

	if (!slot)
		return error_set(err, -ENOSPC, "no PCI slot is left: give the guest fewer devices");
	for (unsigned i = 0; (f = card_function(c, i)); i++) {
		if (f->fn == 0)
			vfio_pci_link(f->dev, &speed, &width);
		atomics |= vfio_pci_atomics(f->dev);
	}
	ret = root_port_init(&c->port, c->all->pci, PCI_DEVFN(slot, 0), slot, speed, width, err);
	if (ret < 0)
		return ret;
	c->has_port = true;
	root_port_set_atomics(&c->port, atomics);
	return adopt(c, NULL, err);
}

static int plug_functions(struct card *c, struct error *err)
{
	struct card_function *f;
	int ret = 0;

	for (unsigned i = 0; ret == 0 && (f = card_function(c, i)); i++) {
		ret = card_plug(f, c->port.dev.secondary, PCI_DEVFN(0, f->fn), err);
		if (ret == 0)
			ret = adopt(c, f, err);
	}
	if (ret == 0)
		root_port_link_up(&c->port);
	return ret;
}

static int plug_all(struct machine_vfio *v, unsigned first_slot, struct error *err)
{
	int ret = 0;

	for (struct card *c = v->cards; c && ret == 0; c = c->next) {
		ret = make_port(c, first_slot, err);
		if (ret == 0)
			ret = plug_functions(c, err);
	}
	return ret;
}

/* ---- life ---- */

int machine_vfio_realize(struct machine_vfio *v, struct pci_root *pci, unsigned first_slot,
			 const struct vfio_news *news, struct phase_clock *phases,
			 struct error *err)
{
	int ret;

	if (!v)
		return 0;
	v->news = *news;
	v->pci = pci;
	if (!v->cards)
		return 0;
	ret = make_all(v, err);
	phase_mark(phases, "devices");
	if (ret == 0) {
		vfio_reset_all(v->reset, true);
		phase_mark(phases, "reset");
		ret = plug_all(v, first_slot, err);
	}
	if (ret == 0)
		return 0;
	error_prefix(err, "--vfio");
	machine_vfio_unrealize(v);
	return ret;
}

int machine_vfio_map(struct machine_vfio *v, struct guest_mem *mem, struct error *err)
{
	if (!machine_vfio_any(v))
		return 0;
	return iommu_attach_memory(v->iommu, mem, err) < 0 ? error_prefix(err, "--vfio") : 0;
}

void machine_vfio_reset(struct machine_vfio *v)
{
	if (!v)
		return;
	scoped_lock(&v->lock);
	if (v->reset)
		vfio_reset_all(v->reset, false);
}

/* The devices are quiet and off the bus before the memory goes from under them. */
void machine_vfio_unrealize(struct machine_vfio *v)
{
	struct card_function *f;

	if (!v)
		return;
	cards_close_cases(v);
	if (!v->iommu)
		return;
	if (v->reset)
		vfio_reset_all(v->reset, true);
	vfio_reset_free(v->reset);
	v->reset = NULL;
	for (unsigned i = 0; (f = cards_function(v, i)); i++)
		card_unplug(f);
	close_all(v);
	for (struct card *c = v->cards; c; c = c->next) {
		if (c->has_port)
			root_port_destroy(&c->port);
		c->has_port = false;
	}
}

void machine_vfio_close(struct machine_vfio *v)
{
	if (!v)
		return;
	close_all(v);
	iommu_free(v->iommu);
	while (v->cards)
		card_free(v->cards);
	pthread_mutex_destroy(&v->life);
	pthread_mutex_destroy(&v->lock);
	free(v);
}
