/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See usb_hid.h. What is pressed waits in a short queue until the guest polls the interrupt
 * endpoint. Motion is added to the motion that waits there already, so a fast mouse needs one place
 * for each change of its buttons. When the queue is full, the newest state replaces the one before
 * it: the guest then misses a key that was pressed and released meanwhile, but never a release.
 *
 * While no driver has configured the device, nothing is queued: what was typed before is not for
 * the driver that comes.
 *
 * Threads: `lock` guards the queue and the state of keys; the rest belongs to the controller's
 * thread.
 */
#include "devices/usb/usb_hid.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/iov.h"

#define HID_ENDPOINT	0x81u
#define HID_QUEUE	32u
#define HID_REPORT_SIZE 8u
#define HID_KEYS	6u /* of a report */
#define HID_ROLLOVER	1u /* too many keys are pressed */
#define HID_MODIFIERS	0xe0u

#define HID_MOTION_MAX 32767 /* of an axis, that waits */

struct hid_report {
	uint8_t len, data[HID_REPORT_SIZE];
};

/* A state that the guest has not seen, and the motion since the state before it. */
struct hid_state {
	uint8_t data[HID_REPORT_SIZE]; /* a keyboard's report; a mouse's buttons */
	int dx, dy, wheel;
};

struct usb_hid {
	struct usb_device dev;
	enum usb_hid_kind kind;
	void (*detached)(void *);
	void *opaque;
	void (*leds_changed)(void *);
	void *leds_arg;
	struct evloop *loop;
	struct ev_call call;
	uint8_t config, protocol, idle;
	bool halted;
	struct usb_xfer *polls; /* linked by priv */
	pthread_mutex_t lock;
	uint8_t pressed[256 / 8], buttons, leds;
	struct hid_state queue[HID_QUEUE];
	unsigned first, n;
	bool configured;
	bool attached; /* the loop may be called */
};

/* ---- descriptors (USB 2.0, 9.6; HID 1.11, 6.2) ---- */

static const uint8_t keyboard_report[] = {
	0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, /* generic desktop, keyboard: application */
	0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01,		/* modifiers */
	0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, /* reserved */
	0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, /* LEDs */
	0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08,		/* six keys */
	0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, 0xc0,
};

static const uint8_t mouse_report[] = {
	0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,		/* mouse, pointer */
	0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01,		/* five buttons */
	0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01, /* padding */
	0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, /* X, Y, wheel */
	0x75, 0x08, 0x95, 0x03, 0x81, 0x06, 0xc0, 0xc0,
};

#define DEVICE_DESC(product)                                                                    \
	{                                                                                       \
		18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x27, 0x06, product, 0, 0x00, 0x01, 1, 2, 0, 1, \
	}

/* Configuration, interface (boot subclass), HID, and the endpoint, which is polled every 8 ms. */
#define CONFIG_DESC(protocol, report)                                                            \
	{                                                                                        \
		9, 2, 34, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 3, 1, protocol, 0, 9, 0x21, 0x11, \
			0x01, 0, 1, 0x22, sizeof(report), 0, 7, 5, HID_ENDPOINT, 3,              \
			HID_REPORT_SIZE, 0, 8,                                                   \
	}

static const struct hid_model {
	const char *name, *product;
	uint8_t device[18], config[34];
	const uint8_t *report;
	size_t report_size;
} models[] = {
	[USB_HID_KEYBOARD] = { "usb-kbd", "Keyboard", DEVICE_DESC(1),
			       CONFIG_DESC(1, keyboard_report), keyboard_report,
			       sizeof(keyboard_report) },
	[USB_HID_MOUSE] = { "usb-mouse", "Mouse", DEVICE_DESC(2), CONFIG_DESC(2, mouse_report),
			    mouse_report, sizeof(mouse_report) },
};

/* ---- answers to control requests ---- */

static void xfer_complete(struct usb_hid *h, struct usb_xfer *t, enum usb_status status)
{
	t->status = status;
	h->dev.complete(&h->dev, t);
}

static void control_data(struct usb_hid *h, struct usb_xfer *t, const void *data, size_t len)
{
	t->done = (uint32_t)iov_write(t->iov, t->niov, 0, data, len < t->len ? len : t->len);
	xfer_complete(h, t, USB_OK);
}

static void control_string(struct usb_hid *h, struct usb_xfer *t, unsigned i)
{
	const char *text = i == 1 ? "minivmm" : models[h->kind].product;
	uint8_t buf[64] = { 4, 3, 0x09, 0x04 }; /* English */

	if (i > 2) {
		xfer_complete(h, t, USB_STALL);
		return;
	}
	for (unsigned n = 0; i && text[n] && 2 * n + 3 < sizeof(buf); n++) {
		buf[2 + 2 * n] = (uint8_t)text[n];
		buf[3 + 2 * n] = 0;
		buf[0] = (uint8_t)(4 + 2 * n);
	}
	control_data(h, t, buf, buf[0]);
}

static void control_descriptor(struct usb_hid *h, struct usb_xfer *t)
{
	const struct hid_model *m = &models[h->kind];

	switch (t->setup[3]) {
	case 1:
		control_data(h, t, m->device, sizeof(m->device));
		return;
	case 2:
		control_data(h, t, m->config, sizeof(m->config));
		return;
	case 3:
		control_string(h, t, t->setup[2]);
		return;
	case 0x21:
		control_data(h, t, m->config + 18, 9);
		return;
	case 0x22:
		control_data(h, t, m->report, m->report_size);
		return;
	}
	xfer_complete(h, t, USB_STALL);
}

/* SET_REPORT: LEDs. */
static void control_leds(struct usb_hid *h, struct usb_xfer *t)
{
	uint8_t leds = 0;

	t->done = (uint32_t)iov_read(t->iov, t->niov, 0, &leds, t->len ? 1 : 0);
	if (t->done) {
		pthread_mutex_lock(&h->lock);
		h->leds = leds;
		pthread_mutex_unlock(&h->lock);
		if (h->leds_changed)
			h->leds_changed(h->leds_arg);
	}
	t->done = t->len;
	xfer_complete(h, t, USB_OK);
}

/* The keys that are down. Under the lock. */
static void keys_fill(const struct usb_hid *h, uint8_t data[HID_REPORT_SIZE])
{
	unsigned n = 0;

	memset(data, 0, HID_REPORT_SIZE);
	data[0] = h->pressed[HID_MODIFIERS / 8];
	for (unsigned usage = 4; usage < HID_MODIFIERS; usage++) {
		if (!(h->pressed[usage / 8] >> usage % 8 & 1))
			continue;
		if (n < HID_KEYS)
			data[2 + n] = (uint8_t)usage;
		n++;
	}
	if (n > HID_KEYS)
		memset(&data[2], HID_ROLLOVER, HID_KEYS);
}

static void control_report(struct usb_hid *h, struct usb_xfer *t)
{
	struct hid_report r = { .len = 4 };

	pthread_mutex_lock(&h->lock);
	r.data[0] = h->buttons;
	if (h->kind == USB_HID_KEYBOARD) {
		r.len = 8;
		keys_fill(h, r.data);
	}
	pthread_mutex_unlock(&h->lock);
	control_data(h, t, r.data, r.len);
}

/* Type and request, as in the setup packet. */
#define REQUEST(type, request) ((type) << 8 | (request))

static void control_in(struct usb_hid *h, struct usb_xfer *t)
{
	const uint8_t zero[2] = { 0 };
	uint8_t halted[2] = { h->halted, 0 };

	switch (REQUEST(t->setup[0], t->setup[1])) {
	case REQUEST(0x80, 0): /* GET_STATUS */
	case REQUEST(0x81, 0):
		control_data(h, t, zero, sizeof(zero));
		return;
	case REQUEST(0x82, 0):
		control_data(h, t, halted, sizeof(halted));
		return;
	case REQUEST(0x80, 6): /* GET_DESCRIPTOR */
	case REQUEST(0x81, 6):
		control_descriptor(h, t);
		return;
	case REQUEST(0x80, 8): /* GET_CONFIGURATION */
		control_data(h, t, &h->config, 1);
		return;
	case REQUEST(0x81, 10): /* GET_INTERFACE */
		control_data(h, t, zero, 1);
		return;
	case REQUEST(0xa1, 1):
		control_report(h, t);
		return;
	case REQUEST(0xa1, 2):
		control_data(h, t, &h->idle, 1);
		return;
	case REQUEST(0xa1, 3):
		control_data(h, t, &h->protocol, 1);
		return;
	}
	xfer_complete(h, t, USB_STALL);
}

/* What waits was for the driver before. */
static void set_configuration(struct usb_hid *h, uint8_t config)
{
	h->config = config;
	scoped_lock(&h->lock);
	h->configured = config;
	h->n = 0;
}

static void control_out(struct usb_hid *h, struct usb_xfer *t)
{
	switch (REQUEST(t->setup[0], t->setup[1])) {
	case REQUEST(0x00, 9): /* SET_CONFIGURATION */
		set_configuration(h, t->setup[2]);
		break;
	case REQUEST(0x01, 11): /* SET_INTERFACE */
		break;
	case REQUEST(0x02, 1): /* CLEAR_FEATURE, SET_FEATURE: endpoint halt */
	case REQUEST(0x02, 3):
		h->halted = t->setup[1] == 3;
		break;
	case REQUEST(0x21, 9):
		control_leds(h, t);
		return;
	case REQUEST(0x21, 10):
		h->idle = t->setup[3];
		break;
	case REQUEST(0x21, 11):
		h->protocol = t->setup[2];
		break;
	default:
		xfer_complete(h, t, USB_STALL);
		return;
	}
	t->done = 0;
	xfer_complete(h, t, USB_OK);
}

/* ---- the interrupt endpoint ---- */

/* Takes as much of an axis as a report can say. */
static uint8_t axis_take(int *axis)
{
	int v = *axis > 127 ? 127 : *axis < -127 ? -127 : *axis;

	*axis -= v;
	return (uint8_t)(int8_t)v;
}

static bool report_pop(struct usb_hid *h, struct hid_report *r)
{
	scoped_lock(&h->lock);
	struct hid_state *s = &h->queue[h->first];

	if (!h->n)
		return false;
	if (h->kind == USB_HID_KEYBOARD) {
		r->len = 8;
		memcpy(r->data, s->data, HID_REPORT_SIZE);
	} else {
		*r = (struct hid_report){
			4,
			{ s->data[0], axis_take(&s->dx), axis_take(&s->dy), axis_take(&s->wheel) },
		};
	}
	if (s->dx || s->dy || s->wheel)
		return true; /* the rest comes in the next report */
	h->first = (h->first + 1) % HID_QUEUE;
	h->n--;
	return true;
}

/* Gives reports to the transfers that wait for them. */
static void hid_deliver(void *opaque)
{
	struct usb_hid *h = opaque;
	struct hid_report r;

	while (h->polls && report_pop(h, &r)) {
		struct usb_xfer *t = h->polls;

		h->polls = t->priv;
		t->done = (uint32_t)iov_write(t->iov, t->niov, 0, r.data,
					      r.len < t->len ? r.len : t->len);
		xfer_complete(h, t, USB_OK);
	}
}

static void hid_poll(struct usb_hid *h, struct usb_xfer *t)
{
	struct usb_xfer *last;

	if (!h->config || h->halted) {
		xfer_complete(h, t, USB_STALL);
		return;
	}
	t->priv = NULL;
	if (!h->polls) {
		h->polls = t;
	} else {
		last = h->polls;
		while (last->priv)
			last = last->priv;
		last->priv = t;
	}
	hid_deliver(h);
}

static void hid_submit(struct usb_device *dev, struct usb_xfer *t)
{
	struct usb_hid *h = container_of(dev, struct usb_hid, dev);

	t->done = 0;
	if (!(t->endpoint & 0x7f)) {
		if (t->setup[0] & 0x80)
			control_in(h, t);
		else
			control_out(h, t);
	} else if (t->endpoint == HID_ENDPOINT) {
		hid_poll(h, t);
	} else {
		xfer_complete(h, t, USB_STALL);
	}
}

static void hid_cancel(struct usb_device *dev, struct usb_xfer *t)
{
	struct usb_hid *h = container_of(dev, struct usb_hid, dev);
	struct usb_xfer *before = NULL, *p = h->polls;

	while (p && p != t) {
		before = p;
		p = p->priv;
	}
	if (!p)
		return;
	if (before)
		before->priv = t->priv;
	else
		h->polls = t->priv;
	xfer_complete(h, t, USB_CANCELLED);
}

/* ---- life ---- */

static int hid_attached(struct usb_device *dev, struct evloop *loop)
{
	struct usb_hid *h = container_of(dev, struct usb_hid, dev);

	scoped_lock(&h->lock);
	h->loop = loop;
	h->attached = true;
	return 0;
}

static void hid_reset(struct usb_device *dev)
{
	struct usb_hid *h = container_of(dev, struct usb_hid, dev);

	set_configuration(h, 0);
	h->idle = 0;
	h->protocol = 1; /* the report protocol */
	h->halted = false;
}

static void hid_detached(struct usb_device *dev)
{
	struct usb_hid *h = container_of(dev, struct usb_hid, dev);

	pthread_mutex_lock(&h->lock);
	h->attached = false;
	pthread_mutex_unlock(&h->lock);
	if (h->loop)
		evloop_cancel(h->loop, &h->call);
	if (h->detached)
		h->detached(h->opaque);
}

static const struct usb_device_ops hid_ops = {
	.attached = hid_attached,
	.submit = hid_submit,
	.cancel = hid_cancel,
	.reset = hid_reset,
	.detached = hid_detached,
};

struct usb_hid *usb_hid_new(enum usb_hid_kind kind, void (*detached)(void *), void *opaque)
{
	struct usb_hid *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->dev = (struct usb_device){ .ops = &hid_ops,
				      .speed = USB_FULL,
				      .name = models[kind].name };
	h->kind = kind;
	h->detached = detached;
	h->opaque = opaque;
	h->call = (struct ev_call){ .fn = hid_deliver, .arg = h };
	h->protocol = 1;
	pthread_mutex_init(&h->lock, NULL);
	return h;
}

void usb_hid_free(struct usb_hid *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h);
}

struct usb_device *usb_hid_device(struct usb_hid *h)
{
	return &h->dev;
}

/* ---- what is pressed; under the lock ---- */

/* The place of the newest state; a new one while there is room. NULL: nobody wants it. */
static struct hid_state *state_push(struct usb_hid *h)
{
	struct hid_state *s;

	if (!h->configured)
		return NULL;
	if (h->n < HID_QUEUE) {
		s = &h->queue[(h->first + h->n++) % HID_QUEUE];
		*s = (struct hid_state){ 0 };
	} else {
		s = &h->queue[(h->first + h->n - 1) % HID_QUEUE];
	}
	return s;
}

static void hid_wake(struct usb_hid *h)
{
	if (h->attached && h->n)
		evloop_call(h->loop, &h->call);
}

static void keys_push(struct usb_hid *h)
{
	struct hid_state *s = state_push(h);

	if (s)
		keys_fill(h, s->data);
	hid_wake(h);
}

void usb_hid_key(struct usb_hid *h, uint8_t usage, bool down)
{
	uint8_t bit = (uint8_t)(1u << usage % 8);

	scoped_lock(&h->lock);
	if (down == !!(h->pressed[usage / 8] & bit))
		return;
	h->pressed[usage / 8] ^= bit;
	keys_push(h);
}

static void axis_add(int *axis, int v)
{
	int64_t sum = (int64_t)*axis + v;

	*axis = (int)(sum > HID_MOTION_MAX    ? HID_MOTION_MAX
		      : sum < -HID_MOTION_MAX ? -HID_MOTION_MAX
					      : sum);
}

/* Motion with the buttons of the newest state goes into it. */
static struct hid_state *motion_place(struct usb_hid *h, uint8_t buttons)
{
	struct hid_state *newest = &h->queue[(h->first + h->n - 1) % HID_QUEUE];

	return h->n && newest->data[0] == buttons ? newest : state_push(h);
}

void usb_hid_mouse(struct usb_hid *h, uint8_t buttons, int dx, int dy, int wheel)
{
	struct hid_state *s;

	buttons &= 0x1f;
	scoped_lock(&h->lock);
	if (buttons == h->buttons && !dx && !dy && !wheel)
		return;
	h->buttons = buttons;
	s = motion_place(h, buttons);
	if (s) {
		s->data[0] = buttons;
		axis_add(&s->dx, dx);
		axis_add(&s->dy, dy);
		axis_add(&s->wheel, wheel);
	}
	hid_wake(h);
}

void usb_hid_release(struct usb_hid *h)
{
	static const uint8_t none[sizeof(h->pressed)];

	if (h->kind == USB_HID_MOUSE) {
		usb_hid_mouse(h, 0, 0, 0, 0);
		return;
	}
	scoped_lock(&h->lock);
	if (memcmp(h->pressed, none, sizeof(none)) == 0)
		return;
	memset(h->pressed, 0, sizeof(h->pressed));
	keys_push(h);
}

uint8_t usb_hid_leds(struct usb_hid *h)
{
	scoped_lock(&h->lock);
	return h->leds;
}

void usb_hid_on_leds(struct usb_hid *h, void (*changed)(void *), void *arg)
{
	h->leds_changed = changed;
	h->leds_arg = arg;
}
