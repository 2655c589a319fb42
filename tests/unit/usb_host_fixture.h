/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of a device of the host: a kernel that keeps URBs until the test completes them,
 * and the controller's side of the device. */
#ifndef USB_HOST_FIXTURE_H
#define USB_HOST_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/usb/ch9.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/usb/usb_host_parts.h"
#include "devices/usb/usb_record.h"
#include "tests/unit/usb_desc_fixture.h"
#include "tests/unit/usb_tree.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

#define URBS 16

/* ---- the fake kernel; the worker uses it, too ---- */

static struct {
	pthread_mutex_t lock;
	int fd;
	char said[2000];
	struct usbdevfs_urb *urb[URBS], *done[URBS];
	unsigned n, n_done;
	uint32_t caps;
	int submit_ret;	    /* of the next one */
	unsigned long fail; /* this request ... */
	int fail_ret;	    /* ... fails so */
	bool hold;	    /* requests of the worker wait until it is false */
	bool gone;
	uint8_t desc[sizeof(usb_descriptors)];
} k = { .lock = PTHREAD_MUTEX_INITIALIZER };

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	size_t n = strlen(k.said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k.said + n, sizeof(k.said) - n, fmt, ap);
	va_end(ap);
}

static inline void take_said(char text[sizeof(k.said)])
{
	scoped_lock(&k.lock);

	memcpy(text, k.said, sizeof(k.said));
	k.said[0] = '\0';
}

/* Checks what the kernel was asked since the last time. */
static inline void said(const char *want)
{
	char text[sizeof(k.said)];

	take_said(text);
	assert_string_equal(text, want);
}

/* The descriptor is writable while there are URBs to reap, as that of usbfs. */
static inline void show_ready(void)
{
	uint64_t v = UINT64_MAX - 1;

	if (k.n_done || k.gone)
		(void)!read(k.fd, &v, sizeof(v));
	else
		(void)!write(k.fd, &v, sizeof(v));
}

static inline void urb_finish(unsigned i, int status, int actual)
{
	struct usbdevfs_urb *u = k.urb[i];

	u->status = status;
	u->actual_length = actual;
	k.done[k.n_done++] = u;
	memmove(&k.urb[i], &k.urb[i + 1], (--k.n - i) * sizeof(k.urb[0]));
	show_ready();
}

static inline int urb_discard(const void *u)
{
	for (unsigned i = 0; i < k.n; i++) {
		if (k.urb[i] != u)
			continue;
		note("discard;");
		urb_finish(i, -ENOENT, 5);
		return 0;
	}
	return -EINVAL;
}

static inline int urb_submit(struct usbdevfs_urb *u)
{
	int ret = k.submit_ret;

	k.submit_ret = 0;
	if (ret < 0)
		return ret;
	assert_true(k.n < URBS);
	note("urb %02x type %u len %d flags %x;", u->endpoint, u->type, u->buffer_length, u->flags);
	k.urb[k.n++] = u;
	return 0;
}

static inline int urb_reap(struct usbdevfs_urb **u)
{
	if (!k.n_done)
		return k.gone ? -ENODEV : -EAGAIN;
	*u = k.done[0];
	memmove(&k.done[0], &k.done[1], --k.n_done * sizeof(k.done[0]));
	show_ready();
	return 0;
}

static inline int other_ioctl(unsigned long request, void *arg)
{
	const struct usbdevfs_setinterface *s = arg;

	if (request == USBDEVFS_SETINTERFACE)
		note("interface %u setting %u;", s->interface, s->altsetting);
	else if (request == USBDEVFS_SETCONFIGURATION)
		note("configuration %u;", *(unsigned *)arg);
	else if (request == USBDEVFS_CLEAR_HALT)
		note("clear halt %02x;", *(unsigned *)arg);
	else if (request == USBDEVFS_RESET)
		note("reset;");
	else if (request == USBDEVFS_DISCONNECT_CLAIM)
		note("claim %u;", ((struct usbdevfs_disconnect_claim *)arg)->interface);
	else if (request == USBDEVFS_RELEASEINTERFACE)
		note("release %u;", *(unsigned *)arg);
	else if (request == USBDEVFS_IOCTL)
		note("connect %d;", ((struct usbdevfs_ioctl *)arg)->ifno);
	else if (request == USBDEVFS_ALLOC_STREAMS)
		note("streams %u at %02x;", ((struct usbdevfs_streams *)arg)->num_streams,
		     ((struct usbdevfs_streams *)arg)->eps[0]);
	else
		fail_msg("request %lx", request);
	return request == USBDEVFS_ALLOC_STREAMS ? 15 : 0;
}

static inline bool is_held(unsigned long request)
{
	scoped_lock(&k.lock);

	return k.hold && (request == USBDEVFS_SETINTERFACE || request == USBDEVFS_RESET);
}

static inline int fake_ioctl(const struct usbfs *fs, int fd, unsigned long request, void *arg)
{
	(void)fs;
	assert_int_equal(fd, k.fd);
	while (is_held(request))
		usleep(100);
	scoped_lock(&k.lock);

	if (request == k.fail)
		return k.fail_ret;
	if (k.gone && request != USBDEVFS_REAPURBNDELAY)
		return -ENODEV;
	if (request == USBDEVFS_SUBMITURB)
		return urb_submit(arg);
	if (request == USBDEVFS_DISCARDURB)
		return urb_discard(arg);
	if (request == USBDEVFS_REAPURBNDELAY)
		return urb_reap(arg);
	if (request == USBDEVFS_GET_SPEED)
		return USB_SPEED_SUPER;
	if (request == USBDEVFS_GETDRIVER)
		return -ENODATA;
	if (request == USBDEVFS_GET_CAPABILITIES) {
		*(uint32_t *)arg = k.caps;
		return 0;
	}
	return other_ioctl(request, arg);
}

static inline int fake_open(const struct usbfs *fs, const char *node)
{
	(void)fs;
	assert_string_equal(node + strlen(root), "/dev/bus/usb/001/009");
	k.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	show_ready();
	return k.fd;
}

static inline void fake_close(const struct usbfs *fs, int fd)
{
	(void)fs;
	note("close;");
	close(fd);
}

static inline long fake_read(const struct usbfs *fs, int fd, void *buf, size_t size)
{
	(void)fs;
	assert_int_equal(fd, k.fd);
	assert_true(size >= sizeof(k.desc));
	memcpy(buf, k.desc, sizeof(k.desc));
	return sizeof(k.desc);
}

static const struct usbfs fake = {
	.open = fake_open, .close = fake_close, .read = fake_read, .ioctl = fake_ioctl
};

/* ---- the controller's side ---- */

static struct evloop *loop;
static struct usb_host *h;
static struct usb_device *dev;
static struct error err;
static unsigned n_detached;

struct transfer {
	struct usb_xfer x;
	struct iovec iov[2];
	uint8_t data[256];
	unsigned completed;
};

static void (*on_complete)(struct transfer *);

static inline void complete(struct usb_device *d, struct usb_xfer *x)
{
	struct transfer *t = container_of(x, struct transfer, x);

	assert_ptr_equal(d, dev);
	t->completed++;
	if (on_complete)
		on_complete(t);
}

static inline void detached(void *opaque, struct usb_host *host)
{
	assert_ptr_equal(opaque, &n_detached);
	assert_ptr_equal(host, h);
	n_detached++;
}

static struct ev_call turns;
static unsigned turns_left;

static inline void one_turn(void *arg)
{
	(void)arg;
	if (turns_left-- > 0)
		evloop_call(loop, &turns);
	else
		evloop_stop(loop, 0);
}

/* Lets the loop run until it has nothing to do. */
static inline void turn(void)
{
	turns = (struct ev_call){ .fn = one_turn };
	turns_left = 3;
	evloop_call(loop, &turns);
	evloop_run(loop);
}

static inline void await_work(void)
{
	for (unsigned i = 0; h->working && i < 100000; i++) {
		turn();
		usleep(100);
	}
	assert_false(h->working);
}

/* The data are in two pieces. */
static inline void transfer_init(struct transfer *t, uint8_t endpoint, uint32_t len)
{
	*t = (struct transfer){ 0 };
	t->iov[0] = (struct iovec){ t->data, 7 };
	t->iov[1] = (struct iovec){ t->data + 7, sizeof(t->data) - 7 };
	t->x = (struct usb_xfer){ .endpoint = endpoint, .iov = t->iov, .niov = 2, .len = len };
}

static inline void submit(struct transfer *t, uint8_t endpoint, uint32_t len)
{
	transfer_init(t, endpoint, len);
	dev->ops->submit(dev, &t->x);
}

static inline void control(struct transfer *t, uint8_t type, uint8_t request, unsigned value,
			   unsigned index, unsigned len)
{
	transfer_init(t, 0, len);
	t->x.setup[0] = type;
	t->x.setup[1] = request;
	t->x.setup[2] = (uint8_t)value;
	t->x.setup[3] = (uint8_t)(value >> 8);
	t->x.setup[4] = (uint8_t)index;
	t->x.setup[6] = (uint8_t)len;
	dev->ops->submit(dev, &t->x);
}

static inline void ended(const struct transfer *t, enum usb_status status, uint32_t done)
{
	assert_int_equal(t->completed, 1);
	assert_int_equal(t->x.status, status);
	assert_int_equal(t->x.done, done);
	assert_null(t->x.priv);
}

/* The kernel ends URB i; IN data are 'a', 'b', ... */
static inline void finish(unsigned i, int status, int actual)
{
	uint8_t *at = k.urb[i]->buffer;
	unsigned head = k.urb[i]->type == USBDEVFS_URB_TYPE_CONTROL ? 8 : 0;

	for (int b = 0; b < actual && ((k.urb[i]->endpoint & 0x80) || (head && at[0] & 0x80)); b++)
		at[head + (unsigned)b] = (uint8_t)('a' + b % 26);
	urb_finish(i, status, actual);
	turn();
}

static struct usb_host_config config = {
	.root = root, .fs = &fake, .reset = true, .detached = detached, .opaque = &n_detached
};

static inline void open_host(void)
{
	struct usb_info info;

	assert_int_equal(usb_info_read(root, "1-4.2", &info), 0);
	h = usb_host_open(&config, &info, &err);
}

static inline int setup_bare(void **state)
{
	make_usb(state);
	put("", "run/");
	put("1", "sys/bus/usb/devices/1-4.2/bConfigurationValue");
	memset(&k.said, 0, sizeof(k) - offsetof(typeof(k), said));
	memcpy(k.desc, usb_descriptors, sizeof(k.desc));
	k.caps = USBDEVFS_CAP_BULK_SCATTER_GATHER;
	config.reset = true;
	err = (struct error){ 0 };
	n_detached = 0;
	on_complete = NULL;
	loop = evloop_new();
	return 0;
}

static inline int setup(void **state)
{
	setup_bare(state);
	open_host();
	assert_non_null(h);
	dev = usb_host_device(h);
	dev->complete = complete;
	assert_int_equal(dev->ops->attached(dev, loop), 0);
	said("claim 0;claim 1;");
	return 0;
}

static inline int teardown_bare(void **state)
{
	evloop_free(loop);
	return remove_root(state);
}

static inline int teardown(void **state)
{
	dev->ops->detached(dev);
	assert_int_equal(n_detached, 1);
	usb_host_close(h);
	return teardown_bare(state);
}

#define HOST_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

#endif
