/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each wish is an entry, and the thread goes from what is to what should be: it looks at an entry
 * whenever something may have changed (a message of the kernel, a request, the end of a detach, a
 * retry), and does the next step. Only the thread changes an entry; other threads set its requests,
 * under the lock.
 *
 * A process that is not root sees a new node before udev has set its permissions, so opening it is
 * tried again for three seconds.
 *
 * After a device was lost, one that is named by its address is known by its port and its ids,
 * because a device that comes back has a new address.
 */
#include "devices/usb/usb_ports.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "devices/backend/iothread.h"
#include "devices/usb/usb_use.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

#define RETRY_NS  100000000ull
#define RETRY_MAX 30u

struct usb_entry {
	struct usb_entry *next;
	struct usb_ports *ports;
	struct usb_wish wish;
	struct usb_info last;  /* the device that it has, or had */
	struct usb_host *host; /* NULL: the device is not there */
	bool lost, detaching;
	bool look;	  /* a device may have come */
	unsigned retries; /* that are left */
	/* Under the lock of the ports. */
	bool detached; /* the controller has finished with the device */
	bool leave;
	void (*done)(void *);
	void *done_arg;
};

struct usb_ports {
	struct usb_ports_env env;
	struct iothread *thread;
	struct evloop *loop;
	struct ev_timer *retry;
	struct ev_call changed;
	int wake, events;
	pthread_mutex_t lock; /* protects the list and the requests */
	pthread_cond_t removed;
	struct usb_entry *first;
};

/* ---- taking a device ---- */

static struct usb_host *device_take(const char *root, const struct usbfs *fs,
				    const struct usb_wish *w, const struct usb_info *d,
				    void (*detached)(void *, struct usb_host *), void *opaque,
				    struct error *err)
{
	const struct usb_host_config cfg = {
		.root = root, .fs = fs, .reset = w->reset, .detached = detached, .opaque = opaque
	};

	if (usb_use_check(root, d, w->force, err) < 0)
		return NULL;
	return usb_host_open(&cfg, d, err);
}

struct usb_host *usb_wish_open(const char *root, const struct usbfs *fs, const struct usb_wish *w,
			       struct error *err)
{
	struct usb_info d;

	if (usb_find(root, &w->spec, &d, err) < 0)
		return NULL;
	return device_take(root, fs, w, &d, NULL, NULL, err);
}

/* On the controller's thread. */
static void entry_detached(void *opaque, struct usb_host *h)
{
	struct usb_entry *e = opaque;
	struct usb_ports *p = e->ports;

	(void)h;
	scoped_lock(&p->lock);

	e->detached = true;
	evloop_call(p->loop, &p->changed);
}

/* True if this device, which has just come, is the one that the entry waits for. */
static bool entry_wants(const struct usb_entry *e, const struct usb_info *d)
{
	if (usb_info_is_hub(d) || usb_info_is_taken(d))
		return false;
	if (e->wish.spec.kind != USB_SPEC_ADDR)
		return usb_spec_matches(&e->wish.spec, d);
	return strcmp(e->last.name, d->name) == 0 && e->last.vendor == d->vendor &&
	       e->last.product == d->product;
}

static bool entry_find(const struct usb_entry *e, struct usb_info *d)
{
	struct usb_list list;
	bool found;
	size_t i;

	usb_scan(e->ports->env.root, &list);
	for (i = 0; i < list.n && !entry_wants(e, &list.dev[i]); i++)
		;
	found = i < list.n;
	if (found)
		*d = list.dev[i];
	usb_list_free(&list);
	return found;
}

static int entry_take(struct usb_entry *e, const struct usb_info *d, struct error *err)
{
	struct usb_ports *p = e->ports;
	struct usb_host *h = device_take(p->env.root, p->env.fs, &e->wish, d, entry_detached, e,
					 err);

	if (!h)
		return err->code;
	e->host = h;
	e->last = *d;
	e->detached = false;
	if (p->env.attach(p->env.controller, e->wish.port, usb_host_device(h), err) >= 0)
		return 0;
	e->host = NULL;
	usb_host_close(h);
	return err->code;
}

/* ---- the steps of an entry ---- */

static bool entry_retry(struct usb_entry *e)
{
	if (!e->retries)
		return false;
	e->retries--;
	e->look = true;
	ev_timer_set(e->ports->retry, evloop_now_ns() + RETRY_NS);
	return true;
}

static void entry_look(struct usb_entry *e)
{
	struct error err = { 0 };
	struct usb_info d;

	e->look = false;
	if (!entry_find(e, &d))
		return;
	/* The kernel has not chosen a configuration yet. */
	if (!d.n_ifaces && entry_retry(e))
		return;
	if (entry_take(e, &d, &err) == 0)
		log_info("usb %s: it is plugged in", d.name);
	else if ((err.code != -EACCES && err.code != -EPERM && err.code != -ENOENT) ||
		 !entry_retry(e))
		log_warn("usb %s: it came, but the guest does not get it: %s", d.name, err.text);
}

static bool take_flag(pthread_mutex_t *lock, bool *flag)
{
	scoped_lock(lock);
	bool was = *flag;

	*flag = false;
	return was;
}

static bool wants_to_leave(struct usb_entry *e)
{
	scoped_lock(&e->ports->lock);

	return e->leave;
}

static void entry_end(struct usb_entry *e)
{
	struct usb_ports *p = e->ports;
	struct usb_entry **at = &p->first;
	void (*done)(void *);
	void *arg;

	pthread_mutex_lock(&p->lock);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	done = e->done;
	arg = e->done_arg;
	pthread_cond_broadcast(&p->removed);
	pthread_mutex_unlock(&p->lock);
	free(e);
	if (done)
		done(arg);
}

/* Does what can be done now. The entry may not exist afterwards. */
static void entry_step(struct usb_entry *e)
{
	bool leave = wants_to_leave(e);

	if (take_flag(&e->ports->lock, &e->detached) && e->host) {
		usb_host_close(e->host);
		e->host = NULL;
		e->look = e->lost; /* it may be back already */
		e->detaching = e->lost = false;
	}
	if (e->host && (leave || e->lost) && !e->detaching) {
		e->detaching = true;
		e->ports->env.detach(e->ports->env.controller, usb_host_device(e->host));
	}
	if (!e->host && leave)
		entry_end(e);
	else if (!e->host && e->look)
		entry_look(e);
}

static struct usb_entry *entry_first(struct usb_ports *p)
{
	scoped_lock(&p->lock);

	return p->first;
}

static struct usb_entry *entry_next(struct usb_entry *e)
{
	scoped_lock(&e->ports->lock);

	return e->next;
}

/* New entries are put in front, so this list does not end too early. */
static void ports_step(void *arg)
{
	struct usb_entry *e = entry_first(arg), *next;

	for (; e; e = next) {
		next = entry_next(e);
		entry_step(e);
	}
}

/* ---- messages of the kernel ---- */

/* A device that is not there, or another one in its place: the message of its leaving was lost. */
static bool is_lost(const struct usb_entry *e)
{
	struct usb_info now;

	return usb_info_read(e->ports->env.root, e->last.name, &now) < 0 ||
	       now.addr != e->last.addr;
}

static void ports_look(struct usb_ports *p)
{
	struct usb_entry *e;

	for (e = entry_first(p); e; e = entry_next(e)) {
		e->lost |= e->host && is_lost(e);
		e->look = true;
		e->retries = RETRY_MAX;
	}
}

static void ports_event(struct usb_ports *p, const struct uevent *ev)
{
	struct usb_entry *e;

	for (e = entry_first(p); e; e = entry_next(e)) {
		if (ev->add) {
			e->look = true;
			e->retries = RETRY_MAX;
		} else if (e->host && e->last.bus == ev->bus && e->last.addr == ev->addr) {
			e->lost = true;
			log_info("usb %s: it is unplugged", e->last.name);
		}
	}
}

static void ports_ready(void *arg, int fd, uint32_t events)
{
	struct usb_ports *p = arg;
	struct uevent ev;
	int ret;

	(void)events;
	while ((ret = p->env.events_next(fd, &ev)) > 0)
		ports_event(p, &ev);
	if (ret < 0)
		ports_look(p);
	ports_step(p);
}

/* ---- the thread ---- */

static void ports_wake(void *arg, int fd, uint32_t events)
{
	struct usb_ports *p = arg;

	(void)events;
	eventfd_drain(fd);
	if (!iothread_wanted(p->thread))
		evloop_stop(p->loop, 0);
}

/* What happened before the kernel's messages were asked for was missed. */
static void ports_run(void *arg)
{
	struct usb_ports *p = arg;

	ports_look(p);
	ports_step(p);
	evloop_run(p->loop);
}

static int ports_open(struct usb_ports *p, struct error *err)
{
	p->events = p->env.events_open(err);
	if (p->events < 0)
		return p->events;
	p->loop = evloop_new();
	p->wake = eventfd_new();
	if (!p->loop || p->wake < 0 || !evloop_add_fd(p->loop, p->wake, EPOLLIN, ports_wake, p) ||
	    !evloop_add_fd(p->loop, p->events, EPOLLIN, ports_ready, p) ||
	    !(p->retry = evloop_add_timer(p->loop, ports_step, p)))
		return error_set(err, -errno, "events of USB devices: %s", strerror(errno));
	return 0;
}

struct usb_ports *usb_ports_new(const struct usb_ports_env *env, struct error *err)
{
	static const struct iothread_ops ops = { .run = ports_run };
	struct usb_ports *p = calloc(1, sizeof(*p));

	if (!p) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	p->env = *env;
	p->wake = p->events = -1;
	p->changed = (struct ev_call){ .fn = ports_step, .arg = p };
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->removed, NULL);
	if (ports_open(p, err) == 0)
		p->thread = iothread_new("usb-watch", p->wake, &ops, p, err);
	if (!p->thread) {
		usb_ports_free(p);
		return NULL;
	}
	iothread_resume(p->thread);
	return p;
}

bool usb_ports_empty(struct usb_ports *p)
{
	return !entry_first(p);
}

void usb_ports_free(struct usb_ports *p)
{
	if (!p)
		return;
	iothread_free(p->thread);
	evloop_free(p->loop);
	cleanup_close(&p->wake);
	cleanup_close(&p->events);
	pthread_cond_destroy(&p->removed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- requests ---- */

struct usb_entry *usb_ports_add(struct usb_ports *p, const struct usb_wish *w, struct usb_host *h,
				struct error *err)
{
	struct usb_entry *e = calloc(1, sizeof(*e));

	if (!e) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	*e = (struct usb_entry){ .ports = p, .wish = *w, .last = *usb_host_info(h), .host = h };
	usb_host_on_detached(h, entry_detached, e);
	if (p->env.attach(p->env.controller, w->port, usb_host_device(h), err) < 0) {
		usb_host_on_detached(h, NULL, NULL);
		free(e);
		return NULL;
	}
	scoped_lock(&p->lock);

	e->next = p->first;
	p->first = e;
	/* The controller may have let it go again. */
	evloop_call(p->loop, &p->changed);
	return e;
}

static bool is_listed(const struct usb_ports *p, const struct usb_entry *e)
{
	const struct usb_entry *at = p->first;

	while (at && at != e)
		at = at->next;
	return at != NULL;
}

/* Under the lock. */
static void entry_dismiss(struct usb_entry *e, void (*done)(void *), void *arg)
{
	e->leave = true;
	e->done = done;
	e->done_arg = arg;
	evloop_call(e->ports->loop, &e->ports->changed);
}

void usb_ports_remove(struct usb_ports *p, struct usb_entry *e, void (*done)(void *), void *arg)
{
	scoped_lock(&p->lock);

	entry_dismiss(e, done, arg);
}

/* When this is called again, the entry may be gone. */
bool usb_ports_remove_wait(struct usb_ports *p, struct usb_entry *e, unsigned ms)
{
	struct timespec end;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	scoped_lock(&p->lock);

	if (is_listed(p, e))
		entry_dismiss(e, NULL, NULL);
	while (is_listed(p, e) && ret == 0)
		ret = pthread_cond_clockwait(&p->removed, &p->lock, CLOCK_MONOTONIC, &end);
	return ret == 0;
}
