/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulated keyboard and mouse, without a controller: requests, reports, transfers that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "devices/usb/usb_hid.h"
#include "vmm/core/evloop.h"

static unsigned completed, detached;

static void complete(struct usb_device *dev, struct usb_xfer *t)
{
	(void)dev;
	(void)t;
	completed++;
}

static void gone(void *opaque)
{
	(void)opaque;
	detached++;
}

static struct usb_device *begin(struct usb_hid *h, struct evloop *loop)
{
	struct usb_device *d = usb_hid_device(h);

	completed = detached = 0;
	d->complete = complete;
	assert_int_equal(d->ops->attached(d, loop), 0);
	d->ops->reset(d);
	return d;
}

/* A control request with a buffer; returns its status. */
static enum usb_status ask(struct usb_device *d, const char setup[8], void *buf, uint32_t len, uint32_t *done)
{
	struct iovec v = { buf, len };
	struct usb_xfer t = { .iov = &v, .niov = 1, .len = len };

	memcpy(t.setup, setup, 8);
	d->ops->submit(d, &t);
	*done = t.done;
	return t.status;
}

static void turn(void *loop)
{
	evloop_stop(loop, 0);
}

static void keyboard(void **state)
{
	struct evloop *loop = evloop_new();
	struct usb_hid *h = usb_hid_new(USB_HID_KEYBOARD, gone, NULL);
	struct usb_device *d = begin(h, loop);
	uint8_t buf[256], reports[3][8] = { 0 };
	struct iovec v[3];
	struct usb_xfer poll[3];
	uint32_t n;

	(void)state;
	assert_int_equal(ask(d, "\x80\6\0\1\0\0\x12\0", buf, 18, &n), USB_OK);
	assert_int_equal(n, 18);
	assert_int_equal(ask(d, "\x80\6\0\2\0\0\xff\0", buf, 255, &n), USB_OK);
	assert_int_equal(n, buf[2]);
	unsigned report = buf[25];

	assert_int_equal(ask(d, "\x81\6\0\x22\0\0\xff\0", buf, 255, &n), USB_OK);
	assert_int_equal(n, report);
	assert_int_equal(ask(d, "\x80\6\2\3\0\0\xff\0", buf, 255, &n), USB_OK);
	assert_memory_equal(buf + 2, "K\0e\0y\0", 6);
	assert_int_equal(ask(d, "\x80\6\7\3\0\0\xff\0", buf, 255, &n), USB_STALL);
	assert_int_equal(ask(d, "\x40\6\0\0\0\0\0\0", buf, 0, &n), USB_STALL);
	buf[0] = 2;
	assert_int_equal(ask(d, "\x21\x09\0\2\0\0\1\0", buf, 1, &n), USB_OK);
	assert_int_equal(usb_hid_leds(h), 2);
	for (unsigned i = 0; i < 3; i++) {
		v[i] = (struct iovec){ reports[i], 8 };
		poll[i] = (struct usb_xfer){ .endpoint = 0x81, .iov = &v[i], .niov = 1, .len = 8 };
	}
	completed = 0;
	d->ops->submit(d, &poll[0]); /* it has no configuration */
	assert_int_equal(poll[0].status, USB_STALL);
	assert_int_equal(ask(d, "\0\x09\1\0\0\0\0\0", NULL, 0, &n), USB_OK);
	completed = 0;
	for (unsigned i = 0; i < 3; i++)
		d->ops->submit(d, &poll[i]);
	assert_int_equal(completed, 0);
	d->ops->cancel(d, &poll[1]);
	assert_int_equal(poll[1].status, USB_CANCELLED);
	d->ops->cancel(d, &poll[1]); /* too late */
	assert_int_equal(completed, 1);
	usb_hid_key(h, 5, true);
	usb_hid_key(h, 5, true);
	usb_hid_key(h, 5, false);
	struct ev_call stop = { .fn = turn, .arg = loop };

	evloop_call(loop, &stop);
	evloop_run(loop);
	assert_int_equal(completed, 3);
	assert_memory_equal(reports[0], "\0\0\5\0\0\0\0\0", 8);
	assert_memory_equal(reports[2], "\0\0\0\0\0\0\0\0", 8);
	d->ops->detached(d);
	assert_int_equal(detached, 1);
	usb_hid_free(h);
	evloop_free(loop);
}

static void mouse(void **state)
{
	struct evloop *loop = evloop_new();
	struct usb_hid *h = usb_hid_new(USB_HID_MOUSE, NULL, NULL);
	struct usb_device *d = begin(h, loop);
	uint8_t buf[8];
	struct iovec v = { buf, 8 };
	struct usb_xfer t = { .endpoint = 0x81, .iov = &v, .niov = 1, .len = 8 };
	uint32_t n;

	(void)state;
	assert_int_equal(ask(d, "\0\x09\1\0\0\0\0\0", NULL, 0, &n), USB_OK);
	usb_hid_mouse(h, 3, 200, -200, -1);
	d->ops->submit(d, &t);
	assert_int_equal(t.status, USB_OK);
	assert_int_equal(t.done, 4);
	assert_memory_equal(buf, "\3\x7f\x81\xff", 4);
	assert_int_equal(ask(d, "\xa1\1\0\1\0\0\4\0", buf, 4, &n), USB_OK);
	assert_int_equal(n, 4);
	d->ops->detached(d);
	usb_hid_free(h);
	evloop_free(loop);
}

/* The next report, which waits already; its length, or 0: none waits. */
static unsigned poll_now(struct usb_device *d, uint8_t buf[8])
{
	struct iovec v = { buf, 8 };
	struct usb_xfer t = { .endpoint = 0x81, .iov = &v, .niov = 1, .len = 8 };

	completed = 0;
	memset(buf, 0xee, 8);
	d->ops->submit(d, &t);
	if (completed)
		return t.done;
	d->ops->cancel(d, &t);
	return 0;
}

/* A guest that polls slowly: motion adds up, and each change of the buttons has its place. */
static void fast_mouse(void **state)
{
	struct evloop *loop = evloop_new();
	struct usb_hid *h = usb_hid_new(USB_HID_MOUSE, NULL, NULL);
	struct usb_device *d = begin(h, loop);
	uint8_t buf[8];
	uint32_t n;
	int x = 0;

	(void)state;
	assert_int_equal(ask(d, "\0\x09\1\0\0\0\0\0", NULL, 0, &n), USB_OK);
	for (unsigned i = 0; i < 1000; i++)
		usb_hid_mouse(h, 0, 1, 0, 0);
	usb_hid_mouse(h, 1, 0, 0, 0);
	for (unsigned i = 0; i < 100; i++)
		usb_hid_mouse(h, 1, 0, -1, 0);
	usb_hid_mouse(h, 0, 0, 0, 1);
	while (poll_now(d, buf) && !buf[0])
		x += (int8_t)buf[1];
	assert_int_equal(x, 1000);
	assert_memory_equal(buf, "\1\0\x9c\0", 4);
	assert_int_equal(poll_now(d, buf), 4);
	assert_memory_equal(buf, "\0\0\0\1", 4);
	assert_int_equal(poll_now(d, buf), 0);
	usb_hid_mouse(h, 0, 0, 0, 0); /* nothing new */
	assert_int_equal(poll_now(d, buf), 0);
	/* More clicks than there are places: the last state is the right one. */
	for (unsigned i = 0; i < 1000; i++)
		usb_hid_mouse(h, i % 2, 1 << 30, 1, 0);
	usb_hid_release(h);
	for (n = 0; poll_now(d, buf); n++)
		x = buf[0];
	assert_int_equal(x, 0);
	assert_in_range(n, 16, 32 * 300);
	d->ops->detached(d);
	usb_hid_free(h);
	evloop_free(loop);
}

/* What was typed before the driver came is not for it; what is down is released. */
static void early_keys(void **state)
{
	struct evloop *loop = evloop_new();
	struct usb_hid *h = usb_hid_new(USB_HID_KEYBOARD, NULL, NULL);
	struct usb_device *d = begin(h, loop);
	uint8_t buf[8];
	uint32_t n;

	(void)state;
	usb_hid_key(h, 4, true);
	usb_hid_key(h, 4, false);
	usb_hid_key(h, 5, true);
	usb_hid_key(h, 0xe0, true);
	assert_int_equal(ask(d, "\0\x09\1\0\0\0\0\0", NULL, 0, &n), USB_OK);
	assert_int_equal(poll_now(d, buf), 0);
	assert_int_equal(ask(d, "\xa1\1\0\1\0\0\x8\0", buf, 8, &n), USB_OK);
	assert_memory_equal(buf, "\1\0\5\0\0\0\0\0", 8);
	usb_hid_release(h);
	usb_hid_release(h);
	assert_int_equal(poll_now(d, buf), 8);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(poll_now(d, buf), 0);
	usb_hid_key(h, 4, true);
	d->ops->reset(d);
	assert_int_equal(ask(d, "\0\x09\1\0\0\0\0\0", NULL, 0, &n), USB_OK);
	assert_int_equal(poll_now(d, buf), 0);
	d->ops->detached(d);
	usb_hid_free(h);
	evloop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keyboard),
		cmocka_unit_test(mouse),
		cmocka_unit_test(fast_mouse),
		cmocka_unit_test(early_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
