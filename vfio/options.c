/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/options.h"

#include <errno.h>
#include <string.h>

#define IN(field) offsetof(struct vfio_options, field)
static const struct key vfio_keys[] = {
	{ "BDF", KEY_STRING, IN(address), 0, 0, { 0 } },
	{ "romfile", KEY_STRING, IN(dev.romfile), 0, 0, { 0 } },
	{ "rombar", KEY_FLAG, IN(dev.rombar), 0, 0, { 0 } },
	{ "x-vga", KEY_FLAG, IN(dev.x_vga), 0, 0, { 0 } },
	{ "mmap", KEY_FLAG, IN(dev.mmap), 0, 0, { 0 } },
	{ "slot", KEY_NUMBER, IN(slot), 1, 30, { 0 } },
	{ "p2p", KEY_CHOICE, IN(p2p), 0, 0, { "auto", "on", "off" } },
	{ "on-error", KEY_CHOICE, IN(on_error), 0, 0, { "auto", "unplug", "stop", "report" } },
	{ "p2p-clique", KEY_NUMBER, IN(dev.clique), 0, 15, { 0 } },
	{ 0 },
};

static const struct vfio_options defaults = {
	.dev = { .rombar = true, .mmap = true, .clique = VFIO_NO_CLIQUE },
};

const struct vfio_options *vfio_options(const struct device_list *l, unsigned i)
{
	const struct device *d = NULL;

	while ((d = device_next(l, &vfio_class, d)))
		if (d->index == i)
			return d->opts;
	return NULL;
}

unsigned vfio_count(const struct device_list *l)
{
	return device_count(l, &vfio_class);
}

bool vfio_wants_unplug(const struct device_list *l)
{
	const struct device *d = NULL;

	while ((d = device_next(l, &vfio_class, d)))
		if (((const struct vfio_options *)d->opts)->on_error == VFIO_ON_ERROR_UNPLUG)
			return true;
	return false;
}

/* Two options for one device, or an address that is none, are usage errors: nothing was looked at
 * yet. */
static int vfio_check(const struct device *d, const struct device_list *l, struct error *err)
{
	struct vfio_options *o = d->opts;
	const struct device *other = NULL;

	if (sysfs_parse_bdf(o->address, o->bdf) < 0)
		return sysfs_bad_bdf(o->address, err);
	while ((other = device_next(l, &vfio_class, other)))
		if (strcmp(((const struct vfio_options *)other->opts)->bdf, o->bdf) == 0)
			return error_set(err, -EINVAL, "%s is given twice", o->address);
	if (o->dev.romfile && !o->dev.rombar)
		return error_set(err, -EINVAL, "%s: romfile= and rombar=off contradict: remove one",
				 o->address);
	return 0;
}

const struct device_class vfio_class = {
	.name = "passed-through PCI function",
	.option = "vfio",
	.arg = "BDF[,...]",
	.help = "  --vfio BDF[,romfile=F][,rombar=off][,x-vga=on][,mmap=off][,slot=N]\n"
		"       [,p2p=on|off][,p2p-clique=N][,on-error=stop|report] [--bind]  PCI device\n",
	.keys = vfio_keys,
	.positional = true,
	.most = VFIO_MOST,
	.opts_size = sizeof(struct vfio_options),
	.defaults = &defaults,
	.check = vfio_check,
};
