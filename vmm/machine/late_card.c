/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passed-through cards of a running machine: they come and go.
 *
 * A function is opened as at the start: its group joins the IOMMU and KVM, the device is opened,
 * checked and reset, and then guest memory comes within its reach. Only the first device of a
 * machine takes long for that: the kernel pins all of guest memory. Later ones find it mapped.
 *
 * It goes in the reverse order, once it is off the guest's bus: reset, closed, and when it was the
 * last of its group, the group leaves KVM and the IOMMU. The host can then bind another driver to
 * it. With the last group the kernel forgets all mappings, so the address space keeps no memory
 * without a device (iommu_release_unused()).
 *
 * A bus reset hits all functions behind a port of the host. It is left out where that would hit one
 * that this guest uses: what comes or goes must not disturb it.
 *
 * Threads: machine_vfio_add() and machine_vfio_remove() are slow and run on a thread beside the
 * main loop, one at a time (machine_vfio.life).
 */
#include <errno.h>
#include <string.h>

#include "vfio/iommu/iommu.h"
#include "vfio/iommu/kernel.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/machine/card.h"

/* ---- where a function belongs ---- */

static bool same_card(const struct sysfs_pci *a, const struct sysfs_pci *b)
{
	const struct vfio_place place[] = { { .bdf = a->bdf, .virtfn = a->virtfn },
					    { .bdf = b->bdf, .virtfn = b->virtfn } };

	return vfio_layout_cards(place, 2) == 1;
}

/* Functions of one slot of the host come one after the other, and are one card. */
static struct card *find_card(struct machine_vfio *v, const struct sysfs_pci *host)
{
	struct card_function *f;

	for (struct card *c = v->cards; c; c = c->next) {
		f = c->late ? card_function(c, 0) : NULL;
		if (f && same_card(&f->host, host))
			return c;
	}
	return NULL;
}

static bool is_taken(const struct machine_vfio *v, const char *bdf)
{
	const struct card_function *f;

	for (unsigned i = 0; (f = cards_function(v, i)); i++)
		if (strcmp(f->host.bdf, bdf) == 0)
			return true;
	return false;
}

static int bind_if_asked(struct machine_vfio *v, const char *bdf, struct error *err)
{
	return v->news.bind ? v->news.bind(v->news.opaque, bdf, true, err) : 0;
}

static void unbind(struct machine_vfio *v, const char *bdf)
{
	struct error err = { 0 };

	if (v->news.bind && v->news.bind(v->news.opaque, bdf, false, &err) < 0)
		log_warn("%s; to try again: minivmm restore %s", err.text, bdf);
}

static struct card *card_for(struct machine_vfio *v, const struct sysfs_pci *host,
			     struct error *err)
{
	struct card *c = find_card(v, host);

	if (c)
		return c;
	c = card_new(v);
	if (c)
		c->late = true;
	else
		error_set(err, -ENOMEM, "out of memory");
	return c;
}

static int enter(struct machine_vfio *v, struct device *d, struct error *err)
{
	const struct vfio_options *o = d->opts;
	struct sysfs_pci host;
	struct card *c;
	int ret = sysfs_check("", o->bdf, &host, err);

	if (ret < 0)
		return ret;
	c = card_for(v, &host, err);
	return c ? card_take(c, d, &host, sysfs_addr(host.bdf).fn, err) : err->code;
}

static int take(struct machine_vfio *v, struct device *d, struct error *err)
{
	const struct vfio_options *o = d->opts;
	int ret;

	/* Two that come at the same time do not see each other in the list of devices. */
	if (is_taken(v, o->bdf))
		return error_set(err, -EBUSY, "%s is in this machine already", o->bdf);
	ret = bind_if_asked(v, o->bdf, err);
	if (ret < 0)
		return ret;
	ret = enter(v, d, err);
	if (ret < 0)
		unbind(v, o->bdf);
	return ret;
}

/* To the host, unless it comes back: its files are closed. */
static void give_back(struct card_function *f, bool back)
{
	struct card *c = f->card;
	char bdf[VFIO_BDF_SIZE];

	memcpy(bdf, f->host.bdf, sizeof(bdf));
	card_drop(f);
	if (!back)
		unbind(c->all, bdf);
	if (c->late && !card_function(c, 0))
		card_free(c);
}

/* ---- resets ---- */

/* May be reset with f, which comes or goes: it goes, too. One that came before may be in the guest
 * at any moment. */
static bool is_quiet(const struct card_function *other, const struct card_function *f)
{
	return other->card == f->card && (other == f || other->left);
}

/* Returns how many there are that are open, none if all of them are clean. */
static unsigned list_quiet(const struct card_function *f, struct card_function *quiet[8])
{
	struct card_function *other;
	bool clean = true;
	unsigned n = 0;

	scoped_lock(&f->card->all->lock);
	for (unsigned i = 0; (other = card_function(f->card, i)); i++) {
		if (!other->dev || !is_quiet(other, f))
			continue;
		quiet[n++] = other;
		clean = clean && other->clean;
	}
	return clean ? 0 : n;
}

static void spare_others(const struct card_function *f, struct vfio_reset *r)
{
	struct card_function *other;

	scoped_lock(&f->card->all->lock);
	for (unsigned i = 0; (other = cards_function(f->card->all, i)); i++)
		if (!is_quiet(other, f))
			vfio_reset_spare(r, other->host.bdf);
}

static int reset_with(const struct card_function *f, struct error *err)
{
	struct card_function *quiet[8];
	struct vfio_reset_device d[8];
	unsigned n = list_quiet(f, quiet);
	struct vfio_reset *r;
	bool clean;

	if (!n)
		return 0;
	for (unsigned i = 0; i < n; i++)
		d[i] = card_reset_device(quiet[i]);
	r = vfio_reset_new(d, n, f->card->all->iommu, err);
	if (!r)
		return err->code;
	spare_others(f, r);
	clean = vfio_reset_all(r, true) == 0;
	for (unsigned i = 0; i < n; i++)
		quiet[i]->clean = clean;
	vfio_reset_free(r);
	return 0;
}

/* How it will be reset with the machine, as at the start. */
static void say_reset(const struct card_function *f)
{
	struct machine_vfio *v = f->card->all;
	const struct card_function *other;
	char text[400];
	size_t at = 0;

	for (unsigned i = 0; (other = cards_function(v, i)) != f; i++)
		at += other->dev != NULL;
	log_msg(vfio_reset_verdict(v->reset, at, text, sizeof(text)) ? LOG_INFO : LOG_WARN, "%s",
		text);
}

/* ---- coming ---- */

static int open_function(struct card_function *f, struct error *err)
{
	struct machine_vfio *v = f->card->all;
	int ret = cards_open_iommu(v, err);

	if (ret < 0)
		return ret;
	f->kernel = iommu_open_device(v->iommu, &f->host, err);
	ret = f->kernel ? iommu_check_memory(v->iommu, v->mem, err) : err->code;
	if (ret == 0)
		ret = card_make(f, err);
	if (ret == 0)
		ret = reset_with(f, err);
	if (ret == 0)
		ret = iommu_attach_memory(v->iommu, v->mem, err);
	if (ret == 0)
		ret = cards_plan_reset(v, NULL, err);
	if (ret == 0)
		say_reset(f);
	return ret;
}

static void close_function(struct card_function *f)
{
	struct machine_vfio *v = f->card->all;

	card_close(f);
	if (v->iommu)
		iommu_release_unused(v->iommu);
}

int machine_vfio_add(struct machine_vfio *v, struct device *d, struct error *err)
{
	int ret;

	scoped_lock(&v->life);
	ret = take(v, d, err);
	if (ret < 0)
		return ret;
	ret = open_function(d->state, err);
	if (ret < 0) {
		close_function(d->state);
		give_back(d->state, false);
	}
	return ret;
}

int machine_vfio_plug(struct device *d, struct pci_bus *bus, uint8_t devfn, struct error *err)
{
	struct card_function *f = d->state;
	int ret = card_plug(f, bus, devfn, err);

	if (ret < 0)
		return ret;
	cards_update_p2p(f->card->all);
	card_has_come(f);
	return 0;
}

/* ---- going ---- */

void machine_vfio_unplug(struct device *d)
{
	struct card_function *f = d->state;

	if (!f || !f->plugged)
		return;
	card_unplug(f);
	card_has_left(f);
	cards_update_p2p(f->card->all);
}

/* The plan of the machine's reset names no device that is closed. */
static void plan_without(struct machine_vfio *v, const struct card_function *f)
{
	struct error err = { 0 };

	if (cards_plan_reset(v, f, &err) == 0 || !f->dev)
		return;
	/* Out of memory: the others are reset as before. */
	scoped_lock(&v->lock);
	if (v->reset)
		vfio_reset_forget(v->reset, vfio_pci_kernel(f->dev));
}

/* At the machine's end, all cards that are in it are closed together. */
static bool stays(const struct card_function *f)
{
	return !f || f->plugged || !(f->left || f->card->late);
}

void machine_vfio_remove(struct device *d, bool back)
{
	struct card_function *f = d->state;
	struct machine_vfio *v;
	struct error err = { 0 };

	if (stays(f))
		return;
	v = f->card->all;
	scoped_lock(&v->life);
	plan_without(v, f);
	if (reset_with(f, &err) < 0)
		log_warn("%s: its reset failed: %s", f->host.bdf, err.text);
	close_function(f);
	give_back(f, back);
	/* The new plan names no group that has left. Without memory for one the old plan stays, and
	 * a bus reset that needs such a group fails. */
	cards_plan_reset(v, NULL, &err);
}

void machine_vfio_forget(struct machine_vfio *v, const struct device *d)
{
	scoped_lock(&v->life);
	unbind(v, ((const struct vfio_options *)d->opts)->bdf);
}

bool machine_vfio_is_at_work(struct machine_vfio *v)
{
	if (!v)
		return false;
	if (pthread_mutex_trylock(&v->life) != 0)
		return true;
	pthread_mutex_unlock(&v->life);
	return false;
}
