/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `guest` says who should have the devices. A device follows as soon as none of its keys is down:
 * who has seen a key go down must see it go up, or it is repeated without end. When the devices
 * leave the guest, all keys are up for the guest at once.
 *
 * A device that was pulled out is looked for when the kernel says that an input device has come,
 * for three seconds, because udev makes the link and sets the permissions later.
 *
 * The list of devices changes only while the thread is paused.
 */
#include "devices/usb/usb_input.h"

#include <errno.h>
#include <linux/input.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "devices/backend/iothread.h"
#include "devices/usb/usb_hid.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

#define RETRY_NS  100000000ull
#define RETRY_MAX 30u
/* Between two changes of the LEDs, which a guest may ask for at will. */
#define LEDS_NS 20000000ull

struct input_node {
	struct input_node *next;
	struct usb_input *in;
	struct evdev *dev;
	struct ev_source *source; /* NULL: the device is lost */
	unsigned retries;	  /* to find it again, that are left */
	bool refused, failed;	  /* the grab, the search; and that was said */
};

struct usb_input {
	struct usb_input_env env;
	struct iothread *thread;
	struct evloop *loop;
	struct ev_timer *retry, *leds_later;
	struct ev_call leds;
	uint64_t leds_ns; /* when they were changed last */
	int wake, events;
	bool guest; /* it should have the devices */
	struct input_node *first;
	struct usb_hid *keyboard, *mouse; /* NULL: no device needs it */
};

/* ---- what the guest gets ---- */

static bool node_feeds_guest(const struct input_node *n)
{
	return n->in->guest && evdev_is_grabbed(n->dev);
}

/* A key that is down on two keyboards is up when both have released it. */
static bool is_down_for_guest(const struct usb_input *in, unsigned code)
{
	const struct input_node *n;

	for (n = in->first; n; n = n->next)
		if (node_feeds_guest(n) && evdev_is_down(n->dev, code))
			return true;
	return false;
}

static uint8_t buttons_for_guest(const struct usb_input *in)
{
	uint8_t buttons = 0;

	for (unsigned code = BTN_LEFT; code <= BTN_TASK; code++)
		if (is_down_for_guest(in, code))
			buttons |= evdev_button(code);
	return buttons;
}

static void release_all(struct usb_input *in)
{
	if (in->keyboard)
		usb_hid_release(in->keyboard);
	if (in->mouse)
		usb_hid_release(in->mouse);
}

static void send_leds(struct usb_input *in)
{
	struct input_node *n;

	in->leds_ns = evloop_now_ns();
	for (n = in->first; n && in->keyboard; n = n->next)
		evdev_set_leds(n->dev, usb_hid_leds(in->keyboard));
}

static void leds_work(void *arg)
{
	struct usb_input *in = arg;

	if (evloop_now_ns() >= in->leds_ns + LEDS_NS)
		send_leds(in);
	else
		ev_timer_set(in->leds_later, in->leds_ns + LEDS_NS);
}

/* On the controller's thread. */
static void leds_changed(void *arg)
{
	struct usb_input *in = arg;

	evloop_call(in->loop, &in->leds);
}

/* ---- whose the devices are ---- */

static void node_follow(struct input_node *n)
{
	bool guest = n->in->guest;
	struct error err;
	int ret;

	if (!n->source || guest == evdev_is_grabbed(n->dev) || n->refused || evdev_any_down(n->dev))
		return;
	ret = evdev_grab(n->dev, guest);
	if (ret == 0 && guest) {
		log_debug("input %s: the guest has it", evdev_name(n->dev));
		send_leds(n->in);
	} else if (ret == -EBUSY) {
		n->refused = true;
		evdev_busy(n->dev, &err);
		log_warn("input %s", err.text);
	}
}

static void switch_owner(struct usb_input *in)
{
	struct input_node *n;

	in->guest = !in->guest;
	if (!in->guest)
		release_all(in);
	for (n = in->first; n; n = n->next)
		n->refused = false;
	log_info("input: keyboard and mouse are the %s now; both Ctrl keys together switch them",
		 in->guest ? "guest's" : "host's");
}

static bool is_down_anywhere(const struct usb_input *in, unsigned code)
{
	const struct input_node *n;

	for (n = in->first; n; n = n->next)
		if (evdev_is_down(n->dev, code))
			return true;
	return false;
}

/* ---- events of a device ---- */

static void node_key(void *arg, unsigned code, bool down)
{
	struct input_node *n = arg;
	struct usb_input *in = n->in;
	uint8_t usage = evdev_usage(code);

	if (down && (code == KEY_LEFTCTRL || code == KEY_RIGHTCTRL) &&
	    is_down_anywhere(in, KEY_LEFTCTRL) && is_down_anywhere(in, KEY_RIGHTCTRL)) {
		switch_owner(in);
		return;
	}
	if (!node_feeds_guest(n))
		return;
	if (usage && in->keyboard)
		usb_hid_key(in->keyboard, usage, is_down_for_guest(in, code));
	else if (evdev_button(code) && in->mouse)
		usb_hid_mouse(in->mouse, buttons_for_guest(in), 0, 0, 0);
}

static void node_move(void *arg, int dx, int dy, int wheel)
{
	struct input_node *n = arg;

	if (node_feeds_guest(n) && n->in->mouse)
		usb_hid_mouse(n->in->mouse, buttons_for_guest(n->in), dx, dy, wheel);
}

/* No key that it held stays down for the guest. */
static void node_release(struct input_node *n)
{
	if (node_feeds_guest(n) && evdev_any_down(n->dev))
		release_all(n->in);
}

static void node_lose(struct input_node *n)
{
	log_info("input %s: it is unplugged", evdev_name(n->dev));
	node_release(n);
	evloop_del_fd(n->source);
	n->source = NULL;
	evdev_lose(n->dev);
	/* It may be back already. */
	n->retries = RETRY_MAX;
	ev_timer_set(n->in->retry, evloop_now_ns() + RETRY_NS);
}

static void node_ready(void *arg, int fd, uint32_t events)
{
	struct input_node *n = arg, *other;
	const struct evdev_sink sink = { node_key, node_move, n };

	(void)fd;
	(void)events;
	if (evdev_read(n->dev, &sink) < 0)
		node_lose(n);
	for (other = n->in->first; other; other = other->next)
		node_follow(other);
}

static int node_watch(struct input_node *n, struct error *err)
{
	n->source = evloop_add_fd(n->in->loop, evdev_fd(n->dev), EPOLLIN, node_ready, n);
	if (n->source)
		return 0;
	return error_set(err, -errno, "%s: %s", evdev_path(n->dev), strerror(errno));
}

/* ---- devices that come back ---- */

static void node_look(struct input_node *n)
{
	struct error err = { 0 };
	int ret = evdev_reopen(n->dev, &err);

	n->retries--;
	if (ret == 0 && node_watch(n, &err) == 0) {
		n->retries = 0;
		n->refused = n->failed = false;
		log_info("input %s: it is plugged in", evdev_name(n->dev));
		node_follow(n);
		return;
	}
	if (ret == 0)
		evdev_lose(n->dev);
	if (n->retries || n->failed || err.code == -ENOENT)
		return;
	n->failed = true;
	log_warn("input %s: it came, but the guest does not get it: %s", evdev_name(n->dev),
		 err.text);
}

static void input_look(void *arg)
{
	struct usb_input *in = arg;
	struct input_node *n;
	bool again = false;

	for (n = in->first; n; n = n->next) {
		if (!n->source && n->retries)
			node_look(n);
		again |= !n->source && n->retries;
	}
	if (again)
		ev_timer_set(in->retry, evloop_now_ns() + RETRY_NS);
}

/* Also when messages were lost. */
static void input_event(void *arg, int fd, uint32_t events)
{
	struct usb_input *in = arg;
	struct input_node *n;
	bool come = false;
	int ret;

	(void)events;
	while ((ret = in->env.events_next(fd)) > 0)
		come = true;
	if (!come && ret == 0)
		return;
	for (n = in->first; n; n = n->next)
		n->retries = n->source ? 0 : RETRY_MAX;
	input_look(in);
}

/* ---- the thread ---- */

static void input_wake(void *arg, int fd, uint32_t events)
{
	struct usb_input *in = arg;

	(void)events;
	eventfd_drain(fd);
	if (!iothread_wanted(in->thread))
		evloop_stop(in->loop, 0);
}

static void input_run(void *arg)
{
	struct usb_input *in = arg;
	struct input_node *n;

	for (n = in->first; n; n = n->next)
		node_follow(n);
	evloop_run(in->loop);
}

static int input_open(struct usb_input *in, struct error *err)
{
	in->events = in->env.events_open(err);
	if (in->events < 0)
		return in->events;
	in->loop = evloop_new();
	in->wake = eventfd_new();
	if (!in->loop || in->wake < 0 ||
	    !evloop_add_fd(in->loop, in->wake, EPOLLIN, input_wake, in) ||
	    !evloop_add_fd(in->loop, in->events, EPOLLIN, input_event, in) ||
	    !(in->retry = evloop_add_timer(in->loop, input_look, in)) ||
	    !(in->leds_later = evloop_add_timer(in->loop, leds_work, in)))
		return error_set(err, -errno, "events of input devices: %s", strerror(errno));
	return 0;
}

struct usb_input *usb_input_new(const struct usb_input_env *env, struct error *err)
{
	static const struct iothread_ops ops = { .run = input_run };
	struct usb_input *in = calloc(1, sizeof(*in));

	if (!in) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	in->env = *env;
	in->wake = in->events = -1;
	in->guest = true;
	in->leds = (struct ev_call){ .fn = leds_work, .arg = in };
	if (input_open(in, err) == 0)
		in->thread = iothread_new("input", in->wake, &ops, in, err);
	if (in->thread)
		return in;
	usb_input_free(in);
	return NULL;
}

/* ---- devices that the machine has ---- */

static int hid_need(struct usb_input *in, struct usb_hid **hid, enum usb_hid_kind kind,
		    struct error *err)
{
	if (*hid)
		return 0;
	*hid = usb_hid_new(kind, NULL, NULL);
	if (!*hid)
		return error_set(err, -ENOMEM, "out of memory");
	usb_hid_on_leds(*hid, leds_changed, in);
	if (in->env.attach(in->env.controller, 0, usb_hid_device(*hid), err) >= 0)
		return 0;
	usb_hid_free(*hid);
	*hid = NULL;
	return err->code;
}

int usb_input_add(struct usb_input *in, struct evdev *dev, struct error *err)
{
	struct input_node *n;
	int ret = 0;

	if (evdev_has_keys(dev))
		ret = hid_need(in, &in->keyboard, USB_HID_KEYBOARD, err);
	if (ret == 0 && evdev_has_mouse(dev))
		ret = hid_need(in, &in->mouse, USB_HID_MOUSE, err);
	if (ret < 0)
		return ret;
	n = calloc(1, sizeof(*n));
	if (!n)
		return error_set(err, -ENOMEM, "out of memory");
	n->in = in;
	n->dev = dev;
	iothread_pause(in->thread);
	ret = node_watch(n, err);
	if (ret == 0) {
		n->next = in->first;
		in->first = n;
	} else {
		free(n);
	}
	iothread_resume(in->thread);
	return ret;
}

void usb_input_remove(struct usb_input *in, struct evdev *dev)
{
	struct input_node **at = &in->first, *n;

	iothread_pause(in->thread);
	while (*at && (*at)->dev != dev)
		at = &(*at)->next;
	n = *at;
	if (n) {
		node_release(n);
		*at = n->next;
		if (n->source)
			evloop_del_fd(n->source);
		free(n);
	}
	evdev_grab(dev, false);
	if (in->first)
		iothread_resume(in->thread);
}

void usb_input_stop(struct usb_input *in)
{
	if (!in)
		return;
	iothread_free(in->thread);
	in->thread = NULL;
}

void usb_input_free(struct usb_input *in)
{
	if (!in)
		return;
	usb_input_stop(in);
	usb_hid_free(in->keyboard);
	usb_hid_free(in->mouse);
	evloop_free(in->loop);
	cleanup_close(&in->wake);
	cleanup_close(&in->events);
	free(in);
}
