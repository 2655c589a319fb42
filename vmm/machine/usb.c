/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change is a device that is coming or going. While it lasts, the device is `away`, so nobody
 * else finds it. It ends on the main loop, where the list of devices may be changed.
 */
#include "vmm/machine/usb.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/worker.h"
#include "devices/pci/pci.h"
#include "devices/usb/input_options.h"
#include "devices/usb/usb_input.h"
#include "devices/usb/usb_options.h"
#include "devices/usb/usb_ports.h"
#include "devices/usb/xhci.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

#define STOP_MS 5000u

struct usb_change {
	struct usb_change *next;
	struct machine_usb *usb;
	struct device *dev;
	bool adding;
	struct worker worker; /* opens the device */
	struct ev_call back;
	bool over; /* under the lock: back was called */
	struct error err;
	machine_usb_done *done;
	void *done_arg;
};

struct machine_usb {
	struct machine_usb_env env;
	struct xhci *xhci;
	struct usb_ports *ports;
	struct usb_input *input; /* NULL: no --input */
	struct usb_change *changes;
	pthread_mutex_t lock; /* for the end of a change, which comes on another thread */
};

/* ---- the controller ---- */

static int usb_attach(void *xhci, unsigned port, struct usb_device *d, struct error *err)
{
	return xhci_attach(xhci, port, d, err);
}

static void usb_detach(void *xhci, struct usb_device *d)
{
	xhci_detach(xhci, d);
}

static int open_input(struct machine_usb *u, struct error *err)
{
	const struct usb_input_env env = {
		.events_open = uevent_open,
		.events_next = uevent_next_input,
		.attach = usb_attach,
		.controller = u->xhci,
	};

	if (!device_count(u->env.devices, &input_class))
		return 0;
	u->input = usb_input_new(&env, err);
	return u->input ? 0 : err->code;
}

struct machine_usb *machine_usb_new(const struct machine_usb_env *env, struct error *err)
{
	struct machine_usb *u = calloc(1, sizeof(*u));
	struct usb_ports_env ports = {
		.root = "",
		.fs = &usbfs_here,
		.events_open = uevent_open,
		.events_next = uevent_next,
		.attach = usb_attach,
		.detach = usb_detach,
	};

	if (!u) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	u->env = *env;
	pthread_mutex_init(&u->lock, NULL);
	u->xhci = xhci_new(env->pci, &env->pci->bus, env->devfn, usb_options_ports(env->devices),
			   err);
	ports.controller = u->xhci;
	u->ports = u->xhci ? usb_ports_new(&ports, err) : NULL;
	if (u->ports && open_input(u, err) == 0)
		return u;
	machine_usb_free(u);
	return NULL;
}

struct usb_ports *machine_usb_ports(struct machine_usb *u)
{
	return u ? u->ports : NULL;
}

struct usb_input *machine_usb_input(struct machine_usb *u)
{
	return u ? u->input : NULL;
}

bool machine_usb_free(struct machine_usb *u)
{
	if (!u)
		return true;
	usb_input_stop(u->input);
	/* What was not given back in time may still use both, and its thread may not end. */
	if (u->changes || (u->ports && !usb_ports_empty(u->ports)) || !xhci_free(u->xhci))
		return false;
	usb_ports_free(u->ports);
	usb_input_free(u->input);
	pthread_mutex_destroy(&u->lock);
	free(u);
	return true;
}

/* ---- changes ---- */

static void change_remove(struct usb_change *c)
{
	struct usb_change **at = &c->usb->changes;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	worker_end(&c->worker);
	pthread_mutex_lock(&c->usb->lock); /* until change_over() has returned */
	evloop_cancel(c->usb->env.loop, &c->back);
	pthread_mutex_unlock(&c->usb->lock);
	free(c);
}

static void change_say(const struct usb_change *c, const struct error *err)
{
	if (c->done)
		c->done(c->done_arg, err ? NULL : c->dev, err);
}

static void change_added(struct usb_change *c)
{
	struct device_env env = { .devices = c->usb->env.devices, .usb = c->usb->ports };
	struct device *d = c->dev;

	if (!c->err.code && d->class->plug(d, &env, &c->err) == 0) {
		d->away = false;
		change_say(c, NULL);
		return;
	}
	change_say(c, &c->err);
	d->class->close(d);
	device_delete(c->usb->env.devices, d);
}

static void change_gone(struct usb_change *c)
{
	const struct machine_usb_env *env = &c->usb->env;
	char path[DEVICE_ID_MAX + 32];

	snprintf(path, sizeof(path), "/machine/peripheral/%s", c->dev->id);
	env->deleted(env->opaque, c->dev, path);
	c->dev->class->close(c->dev);
	device_delete(env->devices, c->dev);
}

static void change_back(void *arg)
{
	struct usb_change *c = arg;

	if (c->adding)
		change_added(c);
	else
		change_gone(c);
	change_remove(c);
}

static void change_over(void *arg)
{
	struct usb_change *c = arg;

	scoped_lock(&c->usb->lock);

	c->over = true;
	evloop_call(c->usb->env.loop, &c->back);
}

static bool change_is_over(struct usb_change *c)
{
	scoped_lock(&c->usb->lock);

	return c->over;
}

/* The thread must not look at the machine's devices. */
static void change_open(void *arg)
{
	static const struct device_list none;
	const struct device_env env = { .devices = &none };
	struct usb_change *c = arg;

	c->dev->class->open(c->dev, &env, &c->err);
	change_over(c);
}

static struct usb_change *change_new(struct machine_usb *u, struct device *d, struct error *err)
{
	struct usb_change *c = calloc(1, sizeof(*c));

	if (!c) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	c->usb = u;
	c->dev = d;
	c->back = (struct ev_call){ .fn = change_back, .arg = c };
	worker_init(&c->worker, "usb-open", change_open, c);
	c->next = u->changes;
	u->changes = c;
	return c;
}

/* ---- for QMP ---- */

int machine_usb_add(struct machine_usb *u, const char *arg, const char *id, machine_usb_done *done,
		    void *done_arg, struct error *err)
{
	struct device *d = device_create_away(u->env.devices, &usb_class, arg, err);
	struct usb_change *c = NULL;

	if (!d)
		return err->code;
	if (device_set_id(u->env.devices, d, id, err) == 0)
		c = change_new(u, d, err);
	if (!c) {
		device_delete(u->env.devices, d);
		return err->code;
	}
	c->adding = true;
	c->done = done;
	c->done_arg = done_arg;
	if (worker_wake(&c->worker))
		return 0;
	change_remove(c);
	device_delete(u->env.devices, d);
	return error_set(err, -EAGAIN, "no thread can be started");
}

int machine_usb_remove(struct machine_usb *u, const char *id, struct error *err)
{
	struct device *d = NULL;
	struct usb_change *c;

	while ((d = device_next(u->env.devices, &usb_class, d)))
		if (d->id && strcmp(d->id, id) == 0)
			break;
	if (!d)
		return -ENODEV;
	c = change_new(u, d, err);
	if (!c)
		return err->code;
	d->away = true;
	usb_options_remove(d, change_over, c);
	return 0;
}

bool machine_usb_stop(struct machine_usb *u)
{
	struct usb_change *c;
	unsigned ms = 0;

	while (u && (c = u->changes)) {
		while (!change_is_over(c) && ms++ < STOP_MS)
			usleep(1000);
		if (!change_is_over(c)) {
			log_warn("--usb: a device does not answer");
			return false;
		}
		change_back(c);
	}
	return true;
}
