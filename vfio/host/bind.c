/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binds devices to vfio-pci and back with driver_override
 * (Documentation/ABI/testing/sysfs-bus-pci).
 *
 * The order for one device is: record, override, unbind, probe. If minivmm ends in between, the
 * record has the former state, and restoring is the same after each of these steps. If there
 * already is a record and the override is ours, the record is kept: it has the state before an
 * earlier attempt, which sysfs no longer shows.
 *
 * If a driver does not release its device, the device stays with it, the record stays, and the
 * override is removed.
 *
 * Threads: main thread. Each call holds the lock of the records, which excludes other processes.
 */
#include "vfio/host/bind.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vfio/host/host_use.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"

#define VFIO_PCI      "vfio-pci"
#define PCI_DRIVERS   "/sys/bus/pci/drivers/"
#define DRIVERS_PROBE "/sys/bus/pci/drivers_probe"

/* ---- the steps ---- */

static bool exists(const struct host *h, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", h->root, path);
	return access(full, F_OK) == 0;
}

static int set_override(const struct host *h, const char *bdf, const char *driver,
			struct error *err)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	/* An empty line removes the override. */
	return host_put(h, bdf, path, driver[0] ? driver : "\n", NULL, err);
}

static int unbind(const struct host *h, const struct sysfs_pci *d, bool *stuck, struct error *err)
{
	char path[128];

	*stuck = false;
	if (!d->driver[0])
		return 0;
	snprintf(path, sizeof(path), PCI_DRIVERS "%s/unbind", d->driver);
	return host_put(h, d->bdf, path, d->bdf, stuck, err);
}

static int load_modules(const struct host *h, struct error *err)
{
	static const struct {
		const char *module, *there;
	} needed[] = {
		{ VFIO_PCI, PCI_DRIVERS VFIO_PCI },
		{ "vfio_iommu_type1", "/sys/module/vfio_iommu_type1" },
	};
	unsigned i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(needed) && ret == 0; i++)
		if (!exists(h, needed[i].there))
			ret = h->modprobe(h, needed[i].module, err);
	return ret;
}

/* ---- back ---- */

static int bring_driver(const struct host *h, const struct bind_record *r, struct error *err)
{
	char path[128], alias[256];
	struct sysfs_pci d;
	int ret;

	snprintf(path, sizeof(path), PCI_DRIVERS "%s/bind", r->driver);
	if (exists(h, path)) {
		ret = host_put(h, r->bdf, path, r->bdf, NULL, err);
	} else { /* its module was unloaded; only the modalias tells the module's name */
		sysfs_attribute(h->root, r->bdf, "modalias", alias, sizeof(alias));
		ret = h->modprobe(h, alias, err);
		if (ret == 0)
			ret = host_put(h, r->bdf, DRIVERS_PROBE, r->bdf, NULL, err);
	}
	if (ret < 0)
		return error_prefix(err, "the driver %s does not take it back", r->driver);
	if (sysfs_pci_read(h->root, r->bdf, &d) < 0 || !d.driver[0])
		return error_set(err, -EIO,
				 "%s: the driver %s does not take it back; dmesg may say why",
				 r->bdf, r->driver);
	if (strcmp(d.driver, r->driver) != 0)
		log_warn("%s was bound to %s before, and is bound to %s now", r->bdf, r->driver,
			 d.driver);
	return 0;
}

/* Returns 1 if the device no longer exists. A device that has another driver by now keeps it. */
static int give_back(const struct host *h, const struct bind_record *r, struct error *err)
{
	struct sysfs_pci d;
	bool stuck, gone = sysfs_pci_read(h->root, r->bdf, &d) < 0;
	int ret = 0;

	if (!gone && sysfs_driver_is_vfio(d.driver)) {
		ret = sysfs_check_idle(h->root, &d, err);
		if (ret < 0)
			return error_prefix(err, "%s", r->bdf);
		ret = unbind(h, &d, &stuck, err);
		d.driver[0] = '\0';
	}
	if (!gone && ret == 0)
		ret = set_override(h, r->bdf, r->override, err);
	if (!gone && ret == 0 && !d.driver[0] && r->driver[0])
		ret = bring_driver(h, r, err);
	if (ret < 0)
		return ret;
	bind_record_remove(h->root, r->bdf);
	return gone;
}

int bind_restore(const struct host *h, const char *bdf, struct bind_record *was, struct error *err)
{
	scoped_fd lock = bind_record_lock(h->root, err);
	int ret;

	if (lock < 0)
		return lock;
	ret = bind_record_read(h->root, bdf, was, err);
	if (ret == -ENOENT)
		return error_set(err, ret, "%s: there is no record that minivmm bound this device",
				 bdf);
	return ret < 0 ? ret : give_back(h, was, err);
}

static void undo(const struct host *h, struct bind_set *s)
{
	struct error err;

	while (s->n > 0)
		if (give_back(h, &s->dev[--s->n], &err) < 0)
			log_warn("%s; to try again: minivmm restore %s", err.text,
				 s->dev[s->n].bdf);
}

/* ---- there ---- */

/* Records the state of the device now, or keeps the record of an earlier attempt. */
static int record(const struct host *h, const struct sysfs_pci *d, struct bind_record *r,
		  struct error *err)
{
	char override[sizeof(r->override)];
	struct error ignored;

	sysfs_attribute(h->root, d->bdf, "driver_override", override, sizeof(override));
	if (strcmp(override, VFIO_PCI) == 0 && bind_record_read(h->root, d->bdf, r, &ignored) == 0)
		return 0;
	*r = (struct bind_record){ 0 };
	memcpy(r->bdf, d->bdf, sizeof(r->bdf));
	memcpy(r->driver, d->driver, sizeof(r->driver));
	if (strcmp(override, "(null)") != 0)
		memcpy(r->override, override, sizeof(r->override));
	return bind_record_write(h->root, r, err);
}

static int explain_stuck(const struct host *h, const struct bind_record *r, struct error *err)
{
	struct error hung = *err;

	set_override(h, r->bdf, r->override, err);
	return error_set(err, hung.code,
			 "%s; when the driver has let the device go: minivmm restore %s", hung.text,
			 r->bdf);
}

static int bind_one(const struct host *h, const char *bdf, struct bind_set *bound,
		    struct error *err)
{
	struct bind_record *r = &bound->dev[bound->n];
	bool stuck = false;
	struct sysfs_pci d;
	int ret = sysfs_look(h->root, bdf, &d, err);

	if (ret < 0 || sysfs_driver_is_vfio(d.driver))
		return ret;
	ret = record(h, &d, r, err);
	if (ret < 0)
		return ret;
	bound->n++;
	ret = set_override(h, bdf, VFIO_PCI, err);
	if (ret == 0)
		ret = unbind(h, &d, &stuck, err);
	if (ret == 0)
		ret = host_put(h, bdf, DRIVERS_PROBE, bdf, &stuck, err);
	if (stuck) {
		bound->n--; /* this device cannot be undone while its driver hangs */
		return explain_stuck(h, r, err);
	}
	if (ret == 0 && (sysfs_pci_read(h->root, bdf, &d) < 0 || !sysfs_driver_is_vfio(d.driver)))
		ret = error_set(err, -EIO,
				"%s: vfio-pci does not take the device; dmesg may say why", bdf);
	return ret;
}

/* ---- which ---- */

struct plan {
	const struct host *h;
	unsigned flags, n;
	char bdf[BIND_MAX][VFIO_BDF_SIZE];
	struct error *err;
};

static int may_go(const struct plan *p, const struct sysfs_pci *d)
{
	struct error why;
	int ret = host_use_check(p->h->root, d->bdf, &why);

	if (ret == 0 || (ret == -EBUSY && p->flags & BIND_FORCE))
		return 0;
	return error_set(p->err, -EBUSY, "%s%s", why.text,
			 ret == -EBUSY ? ": to bind it all the same: minivmm bind --force" : "");
}

static int add(void *arg, const struct sysfs_pci *d)
{
	struct plan *p = arg;
	unsigned i;
	int ret;

	if (d->class_code >> 16 == SYSFS_CLASS_BRIDGE || sysfs_driver_is_vfio(d->driver))
		return 0;
	for (i = 0; i < p->n; i++)
		if (strcmp(p->bdf[i], d->bdf) == 0)
			return 0;
	if (p->n == BIND_MAX)
		return error_set(p->err, -E2BIG,
				 "more than %d devices in one command: use several commands",
				 BIND_MAX);
	ret = may_go(p, d);
	if (ret == 0)
		memcpy(p->bdf[p->n++], d->bdf, VFIO_BDF_SIZE);
	return ret;
}

static int make_plan(struct plan *p, const char (*bdf)[VFIO_BDF_SIZE], unsigned n)
{
	struct sysfs_pci d;
	unsigned i;
	int ret = 0;

	for (i = 0; i < n && ret == 0; i++) {
		ret = sysfs_look(p->h->root, bdf[i], &d, p->err);
		if (ret == 0)
			ret = add(p, &d);
		if (ret == 0 && p->flags & BIND_GROUP)
			ret = sysfs_group_each(p->h->root, (unsigned)d.group, add, p);
	}
	return ret;
}

int bind_devices(const struct host *h, const char (*bdf)[VFIO_BDF_SIZE], unsigned n, unsigned flags,
		 struct bind_set *bound, struct error *err)
{
	struct plan p = { .h = h, .flags = flags, .err = err };
	scoped_fd lock = -1;
	unsigned i;
	int ret;

	bound->n = 0;
	ret = make_plan(&p, bdf, n);
	if (ret < 0 || p.n == 0)
		return ret;
	lock = bind_record_lock(h->root, err);
	if (lock < 0)
		return lock;
	ret = load_modules(h, err);
	for (i = 0; i < p.n && ret == 0; i++)
		ret = bind_one(h, p.bdf[i], bound, err);
	if (ret < 0)
		undo(h, bound);
	return ret;
}
