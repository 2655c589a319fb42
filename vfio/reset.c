/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device reset: the facts by which vfio/host/reset_choice.c decides what each device will get,
 * and doing it.
 *
 * All devices are made quiet before the first reset, because a bus reset hits functions whose turn
 * would come later.
 *
 * A reset sleeps for 100 ms, so devices that have nothing to do with each other are reset at the
 * same time. Those that have are a piece: what a bus reset hits, and what is on one bus of the host
 * where a reset is not known to stay within its function. A piece is reset in one thread, bus
 * resets first: the functions that they hit need none of their own.
 *
 * Threads: main loop, vCPUs not in the guest; and a thread for each further piece, while
 * vfio_reset_all() waits.
 */
#include "vfio/reset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/iommu/iommu.h"
#include "vfio/iommu/kernel.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/log.h"
#include "vmm/core/parallel.h"

struct entry {
	struct vfio_reset_device d;
	struct vfio_reset_facts facts;
	struct vfio_reset_choice choice;
	struct vfio_pci_dependent_device *hit; /* by a bus reset; NULL: none, or not asked */
	unsigned n_hit;
	int *fds; /* the proof for it that they are ours */
	unsigned n_fds;
	size_t piece; /* its number is that of its first entry */
	bool done;
	int ret; /* of the reset */
};

struct vfio_reset {
	size_t n;
	size_t *due; /* the pieces that are being reset */
	struct entry e[];
};

/* ---- deciding ---- */

static int ask_hot_reset(struct entry *e)
{
	struct vfio_kernel *k = e->d.kernel;
	struct vfio_pci_dependent_device *list;
	unsigned n = 0;
	/* First how many, then who. */
	int ret = k->ops->hot_reset_info(k, NULL, &n);

	if (ret != -ENOSPC)
		return ret < 0 ? ret : -ENODEV;
	list = calloc(n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	ret = k->ops->hot_reset_info(k, list, &n);
	if (ret < 0) {
		free(list);
		return ret;
	}
	e->hit = list;
	e->n_hit = n;
	e->fds = calloc(n, sizeof(*e->fds));
	return e->fds ? 0 : -ENOMEM;
}

static enum vfio_bus_reach reach_of(const struct iommu *iommu, struct entry *e)
{
	unsigned foreign;
	int n = e->n_hit ? iommu_hot_reset_fds(iommu, e->hit, e->n_hit, e->fds, &foreign) : 0;
	const struct vfio_pci_dependent_device *f;

	if (n < 0) {
		f = &e->hit[foreign];
		snprintf(e->facts.foreign, sizeof(e->facts.foreign), "%04x:%02x:%02x.%x",
			 f->segment & 0xffffu, f->bus, f->devfn >> 3, f->devfn & 7u);
		return VFIO_BUS_FOREIGN;
	}
	e->n_fds = (unsigned)n;
	if (e->n_hit > 1)
		return VFIO_BUS_OURS;
	return e->n_hit ? VFIO_BUS_ALONE : VFIO_BUS_NONE;
}

static int learn_reach(const struct iommu *iommu, struct entry *e, struct error *err)
{
	int ret = ask_hot_reset(e);

	if (ret == -ENOMEM)
		return error_set(err, ret, "%s: out of memory", e->d.kernel->name);
	e->facts.bus = ret == -EPERM ? VFIO_BUS_HOST : reach_of(iommu, e);
	return 0;
}

static int decide(const struct iommu *iommu, struct entry *e, struct error *err)
{
	int ret = 0;

	e->facts = (struct vfio_reset_facts){ .function = e->d.function_reset,
					      .methods = e->d.methods,
					      .flr = e->d.flr };
	if (vfio_reset_needs_bus(&e->facts))
		ret = learn_reach(iommu, e, err);
	e->choice = vfio_reset_choose(&e->facts);
	e->d.methods = e->facts.methods = NULL; /* the caller's */
	return ret;
}

/* ---- pieces ---- */

static bool hits_device(const struct entry *bus, const char *bdf)
{
	struct sysfs_addr a = sysfs_addr(bdf);
	unsigned i;

	for (i = 0; i < bus->n_hit; i++)
		if (bus->hit[i].segment == a.domain && bus->hit[i].bus == a.bus &&
		    bus->hit[i].devfn == (a.dev << 3 | a.fn))
			return true;
	return false;
}

static bool hits(const struct entry *bus, const struct entry *e)
{
	return hits_device(bus, e->d.kernel->name);
}

/* A function-level reset concerns nothing but its function (PCI Express 4.0, 6.6.2). */
static bool resets_alone(const struct entry *e)
{
	const char *method = e->choice.method;

	return e->choice.how == VFIO_RESET_FUNCTION &&
	       (strcmp(method, "flr") == 0 || strcmp(method, "af_flr") == 0 ||
		(!method[0] && e->facts.flr));
}

static bool same_bus(const struct entry *a, const struct entry *b)
{
	struct sysfs_addr x = sysfs_addr(a->d.kernel->name), y = sysfs_addr(b->d.kernel->name);

	return x.domain == y.domain && x.bus == y.bus;
}

static bool belong_together(const struct entry *a, const struct entry *b)
{
	if (hits(a, b) || hits(b, a))
		return true;
	return same_bus(a, b) && !(resets_alone(a) && resets_alone(b));
}

/* The piece with the higher number becomes part of the other. */
static void join_pieces(struct vfio_reset *r, size_t a, size_t b)
{
	size_t from = a > b ? a : b, to = a > b ? b : a;

	for (size_t i = 0; i < r->n; i++)
		if (r->e[i].piece == from)
			r->e[i].piece = to;
}

static void find_pieces(struct vfio_reset *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->e[i].piece = i;
	for (size_t i = 0; i < r->n; i++)
		for (size_t j = 0; j < i; j++)
			if (belong_together(&r->e[i], &r->e[j]))
				join_pieces(r, r->e[i].piece, r->e[j].piece);
}

/* ---- making the set ---- */

struct vfio_reset *vfio_reset_new(const struct vfio_reset_device *devs, size_t n,
				  const struct iommu *iommu, struct error *err)
{
	struct vfio_reset *r = calloc(1, sizeof(*r) + n * sizeof(r->e[0]));
	int ret;

	if (!r) {
		error_set(err, -ENOMEM, "out of memory for device resets");
		return NULL;
	}
	r->due = calloc(n, sizeof(*r->due));
	ret = r->due ? 0 : error_set(err, -ENOMEM, "out of memory for device resets");
	while (ret == 0 && r->n < n) {
		r->e[r->n].d = devs[r->n];
		ret = decide(iommu, &r->e[r->n++], err);
	}
	if (ret < 0) {
		vfio_reset_free(r);
		return NULL;
	}
	find_pieces(r);
	return r;
}

void vfio_reset_spare(struct vfio_reset *r, const char *bdf)
{
	for (size_t i = 0; i < r->n; i++) {
		struct entry *e = &r->e[i];

		if (e->choice.how != VFIO_RESET_BUS || !hits_device(e, bdf))
			continue;
		e->facts.bus = VFIO_BUS_IN_USE;
		snprintf(e->facts.foreign, sizeof(e->facts.foreign), "%s", bdf);
		e->choice.how = e->facts.function ? VFIO_RESET_PM : VFIO_RESET_NONE;
	}
}

void vfio_reset_forget(struct vfio_reset *r, const struct vfio_kernel *k)
{
	size_t i = 0;

	while (i < r->n && r->e[i].d.kernel != k)
		i++;
	if (i == r->n)
		return;
	free(r->e[i].hit);
	free(r->e[i].fds);
	r->n--;
	memmove(&r->e[i], &r->e[i + 1], (r->n - i) * sizeof(r->e[0]));
	find_pieces(r);
}

void vfio_reset_free(struct vfio_reset *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->n; i++) {
		free(r->e[i].hit);
		free(r->e[i].fds);
	}
	free(r->due);
	free(r);
}

/* ---- telling ---- */

enum vfio_reset_how vfio_reset_how(const struct vfio_reset *r, size_t i)
{
	return r->e[i].choice.how;
}

bool vfio_reset_verdict(const struct vfio_reset *r, size_t i, char *buf, size_t size)
{
	const struct entry *e = &r->e[i];
	const char *name = e->d.kernel->name;
	char why[100];

	vfio_reset_why_no_bus(&e->facts, why, sizeof(why));
	switch (e->choice.how) {
	case VFIO_RESET_FUNCTION:
		snprintf(buf, size, "%s: resets by itself%s%s", name,
			 e->choice.method[0] ? ", by " : "", e->choice.method);
		return true;
	case VFIO_RESET_BUS:
		snprintf(buf, size, "%s: resets with its bus (%u function%s)", name, e->n_hit,
			 e->n_hit == 1 ? "" : "s");
		return true;
	case VFIO_RESET_PM:
		snprintf(buf, size,
			 "%s: resets by power management only, which may leave parts of its state "
			 "(%s)",
			 name, why);
		return true;
	case VFIO_RESET_NONE:
		break;
	}
	snprintf(buf, size,
		 "%s cannot be reset (it has no reset of its own; %s): after a reboot the guest "
		 "finds it in its old state, and so does the next guest; if the driver then fails, "
		 "reboot the host",
		 name, why);
	return false;
}

void vfio_reset_log(const struct vfio_reset *r)
{
	char text[400];
	size_t i;

	for (i = 0; i < r->n; i++)
		log_msg(vfio_reset_verdict(r, i, text, sizeof(text)) ? LOG_INFO : LOG_WARN, "%s",
			text);
}

/* ---- doing ---- */

static int bus_reset(struct vfio_reset *r, struct entry *e)
{
	struct vfio_kernel *k = e->d.kernel;
	int ret = k->ops->hot_reset(k, e->fds, e->n_fds);
	size_t i;

	for (i = 0; ret == 0 && i < r->n; i++)
		if (r->e[i].piece == e->piece && hits(e, &r->e[i]))
			r->e[i].done = true;
	return ret;
}

static void reset_one(struct vfio_reset *r, struct entry *e)
{
	struct vfio_kernel *k = e->d.kernel;

	e->ret = -ENOTTY;
	if (e->choice.how == VFIO_RESET_BUS)
		e->ret = bus_reset(r, e);
	/* Also what is left when the bus reset fails. */
	if (e->ret < 0 && e->d.function_reset)
		e->ret = k->ops->reset(k);
	e->done = true;
}

static void reset_kind(struct vfio_reset *r, size_t piece, bool buses)
{
	for (size_t i = piece; i < r->n; i++)
		if (r->e[i].piece == piece && !r->e[i].done &&
		    (r->e[i].choice.how == VFIO_RESET_BUS) == buses)
			reset_one(r, &r->e[i]);
}

/* Bus resets first: they spare the functions that they hit theirs. */
static void reset_piece(void *arg, unsigned n)
{
	struct vfio_reset *r = arg;

	reset_kind(r, r->due[n], true);
	reset_kind(r, r->due[n], false);
}

static unsigned list_due(struct vfio_reset *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->e[i];
		unsigned j = 0;

		while (j < n && r->due[j] != e->piece)
			j++;
		if (!e->done && j == n)
			r->due[n++] = e->piece;
	}
	return n;
}

unsigned vfio_reset_all(struct vfio_reset *r, bool kernel_too)
{
	unsigned failed = 0;
	size_t i;

	for (i = 0; i < r->n; i++) {
		if (r->e[i].d.quiesce)
			r->e[i].d.quiesce(r->e[i].d.opaque);
		r->e[i].ret = 0;
		r->e[i].done = r->e[i].choice.how == VFIO_RESET_NONE ||
			       (kernel_too && r->e[i].choice.how != VFIO_RESET_BUS);
	}
	parallel_each(list_due(r), reset_piece, r);
	for (i = 0; i < r->n; i++) {
		if (r->e[i].ret < 0)
			log_warn("%s: its reset failed: %s; the device keeps the state that it has",
				 r->e[i].d.kernel->name, strerror(-r->e[i].ret));
		failed += r->e[i].ret < 0;
	}
	for (i = 0; i < r->n; i++)
		if (r->e[i].d.after)
			r->e[i].d.after(r->e[i].d.opaque);
	return failed;
}
