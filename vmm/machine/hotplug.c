/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a device that comes and goes while the guest runs.
 *
 *   OPENING -> WAITS (until all functions are there) -> HERE -> CLOSING -> deleted
 *
 * or, for one that is replaced, CLOSING -> GONE -> OPENING. If it is given up meanwhile, LEAVING ->
 * deleted.
 *
 * hotplug_add() makes the device and opens it on a thread. Back on the main loop it is plugged
 * while its slot is hidden, and the slot is shown when function 0 is there. The slot is emptied
 * when the guest has switched it off, when the removal is forced, or when a reset completes a
 * removal: all of its functions leave the bus at once, and each is closed on a thread.
 * DEVICE_DELETED comes when everything is closed, so that a driver of the host can take the device
 * at once.
 *
 * If storage does not answer, close() fails (HUNG). The device's slot is free then, and close() is
 * tried again until the storage has answered or the machine ends.
 *
 * What a guest does costs at most one turn of the loop for each slot. A guest that does not answer
 * is not waited for: after TIMEOUT_NS the removal is forgotten.
 *
 * Ports and devices are changed under the root lock. A processor holds it for as long as the kernel
 * resets a device for the guest, which may take a minute when the device is dead. The main loop
 * does not wait for that: what it was about to do, it does when slot_look() finds the lock free.
 */
#include "vmm/machine/hotplug.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/log.h"
#include "vmm/machine/hotplug_slots.h"

#define TIMEOUT_NS 30000000000ull
#define REPLACE_NS 1000000000ull
/* The pause before a device that is hung is closed again: at first, and at most. */
#define AGAIN_NS     250000000ull
#define AGAIN_MAX_NS 4000000000ull
#define LOOK_NS	     5000000ull
/* How long the machine's end waits for threads that open or close devices. */
#define END_NS 5000000000ull

/* ---- the callbacks of a device ---- */

/* NULL: they are those of its class. */
static const struct hotplug_calls *own_calls(const struct hotplug *h, const struct device_class *c)
{
	const struct hotplug_calls *own = h->env.calls;

	return own && own->class == c ? own : NULL;
}

static bool can_unplug(const struct hotplug *h, const struct device_class *c)
{
	return own_calls(h, c) || c->unplug;
}

static int call_open(const struct hotplug *h, struct device *d, const struct device_env *env,
		     struct error *err)
{
	const struct hotplug_calls *own = own_calls(h, d->class);

	if (own)
		return own->open(h->env.opaque, d, env, err);
	return d->class->open ? d->class->open(d, env, err) : 0;
}

static int call_plug(const struct hotplug *h, struct device *d, const struct device_env *env,
		     struct error *err)
{
	const struct hotplug_calls *own = own_calls(h, d->class);

	return own ? own->plug(h->env.opaque, d, env, err) : d->class->plug(d, env, err);
}

static void call_unplug(const struct hotplug *h, struct device *d)
{
	const struct hotplug_calls *own = own_calls(h, d->class);

	if (own)
		own->unplug(h->env.opaque, d);
	else
		d->class->unplug(d);
}

static bool call_close(const struct hotplug *h, struct device *d, bool back)
{
	const struct hotplug_calls *own = own_calls(h, d->class);

	if (own)
		return own->close(h->env.opaque, d, back);
	return !d->class->close || d->class->close(d);
}

static void call_forget(const struct hotplug *h, struct device *d)
{
	own_calls(h, d->class)->forget(h->env.opaque, d);
}

/* ---- news for those who control the machine ---- */

static void tell(const struct hot_device *d, const char *event)
{
	const struct hotplug_env *env = &d->slot->h->env;
	char path[DEVICE_ID_MAX + 32];

	snprintf(path, sizeof(path), "/machine/peripheral/%s", d->dev->id);
	env->event(env->opaque, event, d->dev, path);
}

static void tell_slot(const struct hot_slot *s, const char *event)
{
	unsigned i;

	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (s->fn[i] && s->fn[i]->state == HOT_HERE)
			tell(s->fn[i], event);
}

/* ---- the root lock ---- */

/* Another processor may take the lock a moment later, but that is rare enough. */
static bool root_is_busy(const struct hot_slot *s)
{
	pthread_mutex_t *root = &s->h->env.device.pci->lock;

	if (pthread_mutex_trylock(root) != 0)
		return true;
	pthread_mutex_unlock(root);
	return false;
}

static void slot_look_later(struct hot_slot *s)
{
	ev_timer_set(s->look, evloop_now_ns() + LOOK_NS);
}

/* ---- closing ---- */

static void device_leave_slot(struct hot_device *d)
{
	struct hot_device **at = &d->slot->h->hung;

	if (d->state != HOT_HUNG) {
		d->slot->fn[d->fn] = NULL;
		return;
	}
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
}

static void device_drop(struct hot_device *d)
{
	device_leave_slot(d);
	evloop_del_timer(d->again);
	device_delete(d->slot->h->env.devices, d->dev);
	free(d);
}

static void answer(struct hot_device *d, const struct error *err)
{
	if (d->adding && d->done)
		d->done(d->done_arg, d->dev, err);
	d->adding = false;
}

static void slot_closed(struct hot_slot *);

static void device_begin(struct hot_device *, enum hot_state);

static void device_close_again(void *arg)
{
	device_begin(arg, HOT_HUNG);
}

/* Its slot is free; if it was to be replaced, it does not come back. */
static void device_hang(struct hot_device *d)
{
	struct hotplug *h = d->slot->h;

	device_leave_slot(d);
	d->state = HOT_HUNG;
	d->dev->hung = true;
	d->next = h->hung;
	h->hung = d;
	d->pause_ns = AGAIN_NS;
	d->again = evloop_add_timer(h->env.loop, device_close_again, d);
	if (d->replace)
		slot_closed(d->slot);
	d->replace = false;
}

static void device_not_closed(struct hot_device *d)
{
	if (d->state != HOT_HUNG)
		device_hang(d);
	else if (d->pause_ns < AGAIN_MAX_NS)
		d->pause_ns *= 2;
	if (d->again)
		ev_timer_set(d->again, evloop_now_ns() + d->pause_ns);
}

static void device_left(struct hot_device *d)
{
	if (!d->failed)
		tell(d, "DEVICE_DELETED");
	device_drop(d);
}

static void device_closed(struct hot_device *d)
{
	d->failed |= d->adding;
	answer(d, &d->err);
	if (!d->closed) {
		device_not_closed(d);
		return;
	}
	d->dev->state = NULL;
	if (d->replace) {
		d->state = HOT_GONE;
		slot_closed(d->slot);
	} else if (d->kept && own_calls(d->slot->h, d->dev->class)) {
		device_begin(d, HOT_LEAVING);
	} else {
		device_left(d);
	}
}

static void device_work(void *arg)
{
	struct hot_device *d = arg;
	struct hotplug *h = d->slot->h;

	if (d->state == HOT_LEAVING)
		call_forget(h, d->dev);
	else if (d->state != HOT_OPENING)
		d->closed = call_close(h, d->dev, d->kept);
	else if (call_open(h, d->dev, &d->env, &d->err) < 0 && !d->err.code)
		d->err.code = -EIO;
	evloop_call(h->env.loop, &d->back);
}

/* Without a thread to be had, the caller waits for it. */
static void device_begin(struct hot_device *d, enum hot_state state)
{
	d->state = state;
	d->busy = true;
	d->dev->away = true;
	if (state == HOT_OPENING)
		d->err = (struct error){ 0 };
	if (state != HOT_LEAVING)
		d->kept = d->replace && state == HOT_CLOSING;
	worker_init(&d->worker, "hotplug", device_work, d);
	if (!worker_wake(&d->worker))
		device_work(d);
}

/* ---- emptying a slot ---- */

static void device_unplug(struct hot_device *d)
{
	struct hotplug *h = d->slot->h;

	call_unplug(h, d->dev);
	device_begin(d, HOT_CLOSING);
}

static bool is_plugged(const struct hot_device *d)
{
	return d && (d->state == HOT_WAITS || d->state == HOT_HERE);
}

static void slot_ask_no_more(struct hot_slot *s)
{
	s->asked = false;
	ev_timer_set(s->timer, 0);
}

/* The slot is hidden while its functions leave. All are off the bus before the first one is closed.
 */
static void slot_empty(struct hot_slot *s, bool replace)
{
	struct hotplug *h = s->h;
	unsigned i;

	slot_ask_no_more(s);
	root_port_hide(s->port, true);
	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (is_plugged(s->fn[i]))
			call_unplug(h, s->fn[i]->dev);
	for (i = 0; i < HOT_FUNCTIONS; i++) {
		if (!is_plugged(s->fn[i]))
			continue;
		s->fn[i]->replace = replace;
		device_begin(s->fn[i], HOT_CLOSING);
	}
	root_port_hide(s->port, false);
}

static void slot_hear(void *arg)
{
	struct hot_slot *s = arg;
	unsigned news;

	if (root_is_busy(s)) {
		slot_look_later(s);
		return;
	}
	news = atomic_exchange(&s->news, 0);
	if (news & 1u << ROOT_PORT_TAKEN)
		tell_slot(s, "X_MINIVMM_DEVICE_TAKEN");
	if (news & 1u << ROOT_PORT_KEPT && s->asked) {
		slot_ask_no_more(s);
		tell_slot(s, "DEVICE_UNPLUG_GUEST_ERROR");
	}
	if (news & 1u << ROOT_PORT_RELEASED)
		slot_empty(s, false);
}

/* ---- replacing ---- */

static bool slot_has(const struct hot_slot *s, enum hot_state state)
{
	unsigned i;

	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (s->fn[i] && s->fn[i]->state == state)
			return true;
	return false;
}

static void slot_closed(struct hot_slot *s)
{
	if (!slot_has(s, HOT_CLOSING))
		ev_timer_set(s->timer, evloop_now_ns() + REPLACE_NS);
}

/* Function 0 when the others are there. */
static void slot_open_again(struct hot_slot *s)
{
	unsigned i;

	for (i = 1; i < HOT_FUNCTIONS; i++)
		if (s->fn[i] && s->fn[i]->state == HOT_GONE)
			device_begin(s->fn[i], HOT_OPENING);
	if (s->fn[0] && s->fn[0]->state == HOT_GONE && !slot_has(s, HOT_OPENING))
		device_begin(s->fn[0], HOT_OPENING);
}

static void slot_timeout(void *arg)
{
	struct hot_slot *s = arg;

	if (!s->asked) {
		slot_open_again(s);
		return;
	}
	if (root_is_busy(s)) {
		ev_timer_set(s->timer, evloop_now_ns() + LOOK_NS);
		return;
	}
	if (s->h->env.paused && s->h->env.paused(s->h->env.opaque)) {
		ev_timer_set(s->timer, evloop_now_ns() + TIMEOUT_NS);
		return;
	}
	slot_ask_no_more(s);
	root_port_forget(s->port);
	tell_slot(s, "DEVICE_UNPLUG_GUEST_ERROR");
}

/* ---- adding ---- */

/* The functions that were added before wait behind the hidden port. */
static void slot_show(struct hot_slot *s)
{
	unsigned i;

	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (is_plugged(s->fn[i]))
			s->fn[i]->state = HOT_HERE;
	root_port_hide(s->port, false);
}

static int device_put(struct hot_device *d)
{
	struct hot_slot *s = d->slot;
	struct device_env env = s->h->env.device;
	int ret;

	env.bus = s->port->dev.secondary;
	env.devfn = PCI_DEVFN(0, d->fn);
	root_port_hide(s->port, true);
	d->dev->away = false;
	ret = call_plug(s->h, d->dev, &env, &d->err);
	if (ret == 0)
		ret = hot_slot_check_fit(s, &d->err);
	if (ret == 0)
		env.bus->dev[env.devfn]->id = d->dev->id;
	return ret;
}

/* One that was replaced and does not come back has nobody who waits for the answer. */
static void device_failed(struct hot_device *d)
{
	if (!d->adding)
		log_warn("%s does not come back: %s", d->dev->id, d->err.text);
}

static void device_opened(struct hot_device *d)
{
	struct hot_slot *s = d->slot;

	d->replace = false;
	if (d->err.code) {
		device_failed(d);
		d->closed = true;
		device_closed(d);
	} else if (device_put(d) < 0) {
		device_failed(d);
		device_unplug(d);
	} else {
		d->state = HOT_WAITS;
		answer(d, NULL);
	}
	slot_open_again(s);
	if (s->fn[0] && s->fn[0]->state == HOT_WAITS && !slot_has(s, HOT_OPENING))
		slot_show(s);
}

static void device_back(void *arg)
{
	struct hot_device *d = arg;

	d->returned = d->state == HOT_OPENING && root_is_busy(d->slot);
	if (d->returned) {
		slot_look_later(d->slot);
		return;
	}
	worker_end(&d->worker);
	d->busy = false;
	if (d->state == HOT_OPENING)
		device_opened(d);
	else if (d->state == HOT_LEAVING)
		device_left(d);
	else
		device_closed(d);
}

static struct hot_device *device_by_id(struct hotplug *h, const char *id)
{
	struct hot_device *d = h->hung;
	struct hot_slot *s;
	unsigned i;

	for (s = h->slots; s; s = s->next)
		for (i = 0; i < HOT_FUNCTIONS; i++)
			if (s->fn[i] && strcmp(s->fn[i]->dev->id, id) == 0)
				return s->fn[i];
	while (d && strcmp(d->dev->id, id) != 0)
		d = d->next;
	return d;
}

static struct hot_device *device_enter(struct hot_slot *s, struct device *dev, unsigned fn,
				       const char *id, struct error *err)
{
	struct hot_device *d;

	if (device_set_id(s->h->env.device.devices, dev, id, err) < 0)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	*d = (struct hot_device){
		.slot = s,
		.dev = dev,
		.fn = fn,
		.back = { .fn = device_back, .arg = d },
	};
	s->fn[fn] = d;
	return d;
}

/* The thread must not look at the machine's devices. */
static const struct device_list no_devices;

int hotplug_add(struct hotplug *h, const struct hotplug_request *r, struct error *err)
{
	struct hot_slot *s = hot_slot_find(h, r, err);
	struct hot_device *d;
	struct device *dev;

	if (!s)
		return err->code;
	if (!can_unplug(h, r->class))
		return error_set(err, -EOPNOTSUPP, "a %s cannot be added while the machine runs",
				 r->class->name);
	dev = device_create_away(h->env.devices, r->class, r->arg, err);
	if (!dev)
		return err->code;
	d = device_enter(s, dev, r->fn, r->id, err);
	if (!d) {
		device_delete(h->env.devices, dev);
		return err->code;
	}
	d->adding = true;
	d->done = r->done;
	d->done_arg = r->done_arg;
	d->env = h->env.device;
	d->env.devices = &no_devices;
	device_begin(d, HOT_OPENING);
	return 0;
}

int hotplug_adopt(struct hotplug *h, struct root_port *port, struct device *dev, unsigned fn,
		  struct error *err)
{
	struct hot_slot *s = h->slots;
	struct hot_device *d;

	while (s && s->port != port)
		s = s->next;
	if (!s || fn >= HOT_FUNCTIONS || s->fn[fn])
		return error_set(err, -EINVAL, "there is no hot-pluggable slot for it");
	d = device_enter(s, dev, fn, dev->id, err);
	if (!d)
		return err->code;
	d->state = HOT_HERE;
	port->dev.secondary->dev[PCI_DEVFN(0, fn)]->id = dev->id;
	return 0;
}

/* ---- removing ---- */

static int slot_ask(struct hot_slot *s, struct error *err)
{
	int ret = root_port_ask(s->port, err);

	if (ret < 0)
		return error_prefix(err, "Hot-unplug failed");
	s->asked = true;
	ev_timer_set(s->timer, evloop_now_ns() + TIMEOUT_NS);
	return 0;
}

/* It does not come back. */
static void device_give_up(struct hot_device *d)
{
	d->replace = false;
	if (d->state == HOT_GONE)
		device_closed(d);
}

static int device_remove(struct hot_device *d, enum hotplug_unplug how, struct error *err)
{
	struct hot_slot *s = d->slot;

	if (d->state == HOT_OPENING)
		return error_set(err, -EBUSY, "Device %s is still being added", d->dev->id);
	if (d->state == HOT_GONE || (d->state == HOT_CLOSING && d->replace)) {
		device_give_up(d);
		return 0;
	}
	if (d->state == HOT_CLOSING || d->state == HOT_HUNG || d->state == HOT_LEAVING ||
	    (how == UNPLUG_ASK && (s->asked || d->removal)))
		return error_set(err, -EBUSY, "Device %s is already in the process of unplug",
				 d->dev->id);
	if (root_is_busy(s)) {
		d->removal = how + 1;
		slot_look_later(s);
		return 0;
	}
	d->removal = 0;
	if (d->state == HOT_WAITS) { /* the guest has not seen it */
		d->replace = how == UNPLUG_REPLACE;
		device_unplug(d);
	} else if (how == UNPLUG_ASK) {
		return slot_ask(s, err);
	} else {
		slot_empty(s, how == UNPLUG_REPLACE);
	}
	return 0;
}

static void device_remove_now(struct hot_device *d)
{
	enum hotplug_unplug how = d->removal - 1;
	struct error err = { 0 };

	d->removal = 0;
	if (device_remove(d, how, &err) < 0 && d->state == HOT_HERE && !d->slot->asked)
		tell(d, "DEVICE_UNPLUG_GUEST_ERROR");
}

/* Everything that has waited for the root lock. */
static void slot_look(void *arg)
{
	struct hot_slot *s = arg;
	unsigned i;

	slot_hear(s);
	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (s->fn[i] && s->fn[i]->removal)
			device_remove_now(s->fn[i]);
	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (s->fn[i] && s->fn[i]->returned)
			device_back(s->fn[i]);
}

int hotplug_remove(struct hotplug *h, const char *id, enum hotplug_unplug how, struct error *err)
{
	struct hot_device *d = device_by_id(h, id);

	return d ? device_remove(d, how, err)
		 : error_set(err, -ENODEV, "Device '%.64s' not found", id);
}

bool hotplug_remove_device(struct hotplug *h, const struct device *dev, enum hotplug_unplug how)
{
	struct error err = { 0 };
	struct hot_slot *s;
	unsigned i;

	for (s = h ? h->slots : NULL; s; s = s->next)
		for (i = 0; i < HOT_FUNCTIONS; i++)
			if (s->fn[i] && s->fn[i]->dev == dev)
				return device_remove(s->fn[i], how, &err) == 0;
	return false;
}

/* ---- the machine ---- */

struct hotplug *hotplug_new(const struct hotplug_env *env)
{
	struct hotplug *h = calloc(1, sizeof(*h));

	if (h)
		*h = (struct hotplug){
			.env = *env,
			.hear = slot_hear,
			.timeout = slot_timeout,
			.look = slot_look,
		};
	return h;
}

void hotplug_reset(struct hotplug *h)
{
	struct hot_slot *s;

	for (s = h ? h->slots : NULL; s; s = s->next) {
		slot_hear(s);
		if (s->asked)
			slot_empty(s, false);
	}
}

const char *hotplug_busy(const struct hotplug *h)
{
	const struct hot_slot *s;
	unsigned i;

	if (h && h->hung)
		return h->hung->dev->id;
	for (s = h ? h->slots : NULL; s; s = s->next)
		for (i = 0; i < HOT_FUNCTIONS; i++)
			if (s->fn[i] && s->fn[i]->state == HOT_CLOSING)
				return s->fn[i]->dev->id;
	return NULL;
}

/* False: the thread that opens or closes it is still at work. */
static bool device_await(struct hot_device *d, uint64_t deadline_ns)
{
	if (d->busy && !worker_end_by(&d->worker, deadline_ns)) {
		log_error("the machine ends, but the host does not answer: %s is still being %s",
			  d->dev->id, d->state == HOT_OPENING ? "added" : "removed");
		return false;
	}
	d->busy = false;
	evloop_cancel(d->slot->h->env.loop, &d->back);
	return true;
}

/* A device that was opened is closed with the others. */
static void device_stop(struct hot_device *d, uint64_t deadline_ns)
{
	struct error end = { -ECANCELED, "the machine ends" };
	bool back;

	if (d->state == HOT_WAITS || d->state == HOT_HERE)
		return;
	back = device_await(d, deadline_ns);
	answer(d, &end);
	if (!back) {
		d->slot->h->stuck = true;
	} else if ((d->state == HOT_CLOSING || d->state == HOT_HUNG) && !d->closed) {
		device_closed(d); /* it is hung */
	} else if (d->state != HOT_OPENING || d->err.code) {
		device_drop(d);
	} else {
		d->state = HOT_WAITS;
		d->dev->away = false;
	}
}

static void stop_all(struct hotplug *h, uint64_t deadline_ns)
{
	struct hot_device *d, *next;
	struct hot_slot *s;
	unsigned i;

	for (s = h->slots; s; s = s->next)
		for (i = 0; i < HOT_FUNCTIONS; i++)
			if (s->fn[i])
				device_stop(s->fn[i], deadline_ns);
	for (d = h->hung; d; d = next) {
		next = d->next;
		device_stop(d, deadline_ns);
	}
}

bool hotplug_stop(struct hotplug *h)
{
	if (!h)
		return true;
	h->stuck = false;
	stop_all(h, evloop_now_ns() + (h->env.end_ns ? h->env.end_ns : END_NS));
	return !h->hung && !h->stuck;
}

bool hotplug_stuck(const struct hotplug *h)
{
	return h && h->stuck;
}
