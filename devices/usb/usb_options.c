/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/usb/usb_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/input_options.h"
#include "devices/usb/usb_ports.h"
#include "vmm/core/log.h"

#define PORTS_LEAST 4u
#define INPUT_PORTS 2u /* the emulated keyboard and mouse of --input */
#define CLOSE_MS    5000u

struct usb_options {
	const char *device, *id;
	uint64_t port; /* 0: any */
	bool reset, force;
	bool none; /* only the controller, for devices that are added later */
	struct usb_spec spec;
};

struct usb_state {
	struct usb_host *host; /* opened, and not plugged yet */
	struct usb_ports *ports;
	struct usb_entry *entry; /* plugged */
};

#define IN(field) offsetof(struct usb_options, field)
static const struct key usb_keys[] = {
	{ "DEVICE", KEY_STRING, IN(device), 0, 0, { 0 } },
	{ "port", KEY_NUMBER, IN(port), 1, USB_MOST, { 0 } },
	{ "reset", KEY_FLAG, IN(reset), 0, 0, { 0 } },
	{ "force", KEY_FLAG, IN(force), 0, 0, { 0 } },
	{ "id", KEY_STRING, IN(id), 0, 63, { 0 } },
	{ 0 },
};

static const struct usb_options defaults = { .reset = true };

static int usb_check(const struct device *d, const struct device_list *l, struct error *err)
{
	struct usb_options *o = d->opts;
	const struct device *other = NULL;
	const struct usb_options *p;

	o->none = strcmp(o->device, "none") == 0;
	if (!o->none && usb_spec_parse(o->device, &o->spec, err) < 0)
		return err->code;
	while ((other = device_next(l, &usb_class, other))) {
		p = other->opts;
		if (memcmp(&p->spec, &o->spec, sizeof(o->spec)) == 0 && p->none == o->none)
			return error_set(err, -EINVAL, "%s is given twice", o->device);
		if (o->port && o->port == p->port)
			return error_set(err, -EINVAL, "%s: port=%u is given twice", o->device,
					 (unsigned)o->port);
		if (o->id && p->id && strcmp(o->id, p->id) == 0)
			return error_set(err, -EINVAL, "%s: id=%s is given twice", o->device,
					 o->id);
	}
	return 0;
}

static struct usb_wish usb_wish_of(const struct usb_options *o)
{
	return (struct usb_wish){
		.spec = o->spec,
		.port = (unsigned)o->port,
		.reset = o->reset,
		.force = o->force,
	};
}

bool usb_options_wish(const struct device *d, struct usb_wish *w)
{
	const struct usb_options *o = d->opts;

	*w = usb_wish_of(o);
	return !o->none;
}

static int usb_open(struct device *d, const struct device_env *env, struct error *err)
{
	const struct usb_options *o = d->opts;
	const struct usb_wish wish = usb_wish_of(o);
	struct usb_state *s = calloc(1, sizeof(*s));

	(void)env;
	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	d->state = s;
	if (o->id)
		d->id = o->id;
	if (!o->none)
		s->host = usb_wish_open("", &usbfs_here, &wish, err);
	return o->none || s->host ? 0 : err->code;
}

static int usb_plug(struct device *d, const struct device_env *env, struct error *err)
{
	const struct usb_options *o = d->opts;
	const struct usb_wish wish = usb_wish_of(o);
	struct usb_state *s = d->state;

	/* Not in open(): those with an id of their own come first. */
	if (!d->id && device_set_id(env->devices, d, NULL, err) < 0)
		return err->code;
	if (o->none)
		return 0;
	s->ports = env->usb;
	s->entry = usb_ports_add(env->usb, &wish, s->host, err);
	if (!s->entry)
		return error_prefix(err, "%s", o->device);
	s->host = NULL;
	return 0;
}

/* The device may be in use by the controller until all its transfers are back. */
static bool usb_close(struct device *d)
{
	struct usb_state *s = d->state;
	bool ok = true;

	if (!s)
		return true;
	if (s->entry)
		ok = usb_ports_remove_wait(s->ports, s->entry, CLOSE_MS);
	if (!ok && !d->hung)
		log_warn("--usb %s: the device does not answer",
			 ((struct usb_options *)d->opts)->device);
	d->hung = !ok;
	if (!ok)
		return false;
	usb_host_close(s->host);
	free(s);
	d->state = NULL;
	return true;
}

void usb_options_remove(struct device *d, void (*done)(void *), void *arg)
{
	struct usb_state *s = d->state;

	if (s && s->entry) {
		usb_ports_remove(s->ports, s->entry, done, arg);
		s->entry = NULL;
	} else {
		done(arg);
	}
}

unsigned usb_options_ports(const struct device_list *l)
{
	unsigned n = device_count(l, &usb_class), most = PORTS_LEAST;
	const struct device *d = NULL;

	n += device_count(l, &input_class) ? INPUT_PORTS : 0;
	if (!n)
		return 0;
	while ((d = device_next(l, &usb_class, d))) {
		const struct usb_options *o = d->opts;

		if (o->port > most)
			most = (unsigned)o->port;
	}
	if (n < most)
		n = most;
	return n < USB_MOST ? n : USB_MOST;
}

const struct device_class usb_class = {
	.name = "USB device",
	.option = "usb",
	.arg = "DEVICE[,...]",
	.help = "  --usb DEVICE[,...]\n",
	.keys = usb_keys,
	.positional = true,
	/* Its drivers lose the device, so this comes after what may fail. */
	.stage = DEVICE_WRITES,
	.most = USB_MOST,
	.opts_size = sizeof(struct usb_options),
	.defaults = &defaults,
	.check = usb_check,
	.open = usb_open,
	.plug = usb_plug,
	.close = usb_close,
};
