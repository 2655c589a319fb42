/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest sends to a USB device of the host, with a kernel that answers anything. Each step is
 * four bytes: a transfer (of any endpoint, with any setup packet), a cancel, a reset, or an answer
 * of the kernel. Each transfer must complete once, and with no more bytes than it has.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/usb/usb_host_parts.h"
#include "tests/unit/usb_desc_fixture.h"
#include "vmm/core/addr.h"

#define TRANSFERS 8
#define DATA	  64
#define URBS	  256 /* also those of a device that was lost */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
bool __wrap_worker_wake(struct worker *);

/* No thread: the device does the work at once. */
bool __wrap_worker_wake(struct worker *w)
{
	(void)w;
	return false;
}

struct transfer {
	struct usb_xfer x;
	struct usb_packet packet[3];
	struct iovec iov;
	uint8_t data[DATA];
	bool busy;
};

struct done {
	struct usbdevfs_urb *urb;
	int status;
	unsigned actual;
};

static struct {
	struct usbdevfs_urb *urb[URBS];
	struct done done[URBS];
	unsigned n, n_done;
	int next_ret; /* of the next request */
	bool gone;
	struct transfer t[TRANSFERS];
	struct evloop *loop;
	struct ev_call call;
	unsigned turns;
} f;

/* ---- the kernel ---- */

static void urb_finish(unsigned i, int status, unsigned actual)
{
	f.done[f.n_done++] = (struct done){ f.urb[i], status, actual };
	memmove(&f.urb[i], &f.urb[i + 1], (--f.n - i) * sizeof(f.urb[0]));
}

/* As in the kernel, this is the only time at which a URB of ours is written to. */
static int urb_reap(struct usbdevfs_urb **urb)
{
	const struct done d = f.done[0];

	if (!f.n_done)
		return f.gone ? -ENODEV : -EAGAIN;
	memmove(&f.done[0], &f.done[1], --f.n_done * sizeof(f.done[0]));
	d.urb->status = d.status;
	d.urb->actual_length = (int)(d.actual % ((unsigned)d.urb->buffer_length + 1));
	for (int k = 0; d.urb->type == USBDEVFS_URB_TYPE_ISO && k < d.urb->number_of_packets; k++)
		d.urb->iso_frame_desc[k].actual_length = d.actual;
	*urb = d.urb;
	return 0;
}

static int fuzz_ioctl(const struct usbfs *fs, int fd, unsigned long request, void *arg)
{
	int ret = f.next_ret;

	(void)fs;
	(void)fd;
	if (request == USBDEVFS_REAPURBNDELAY)
		return urb_reap(arg);
	if (request == USBDEVFS_DISCARDURB) {
		for (unsigned i = 0; i < f.n; i++)
			if (f.urb[i] == arg)
				urb_finish(i, -ENOENT, 3);
		return 0;
	}
	f.next_ret = 0;
	if (ret < 0)
		return ret;
	if (request == USBDEVFS_SUBMITURB && f.n + f.n_done == URBS)
		return -ENOMEM;
	if (request == USBDEVFS_SUBMITURB)
		f.urb[f.n++] = arg;
	if (request == USBDEVFS_GET_CAPABILITIES)
		*(uint32_t *)arg = 0;
	return request == USBDEVFS_ALLOC_STREAMS ? 15 : 0;
}

static int fuzz_open(const struct usbfs *fs, const char *node)
{
	(void)fs;
	(void)node;
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); /* always ready to be reaped */
}

static void fuzz_close(const struct usbfs *fs, int fd)
{
	(void)fs;
	close(fd);
}

static long fuzz_read(const struct usbfs *fs, int fd, void *buf, size_t size)
{
	(void)fs;
	(void)fd;
	if (size < sizeof(usb_descriptors))
		abort();
	memcpy(buf, usb_descriptors, sizeof(usb_descriptors));
	return sizeof(usb_descriptors);
}

static const struct usbfs fuzz_fs = {
	.open = fuzz_open, .close = fuzz_close, .read = fuzz_read, .ioctl = fuzz_ioctl
};

/* ---- the controller ---- */

static void complete(struct usb_device *d, struct usb_xfer *x)
{
	struct transfer *t = container_of(x, struct transfer, x);

	(void)d;
	if (!t->busy || x->done > x->len || x->priv)
		abort();
	for (unsigned i = 0; i < x->n_packets && x->status == USB_OK; i++)
		if (x->packet[i].done > x->packet[i].len)
			abort();
	t->busy = false;
}

static void one_turn(void *arg)
{
	(void)arg;
	if (f.turns-- > 0)
		evloop_call(f.loop, &f.call);
	else
		evloop_stop(f.loop, 0);
}

static void turn(void)
{
	f.turns = 2;
	evloop_call(f.loop, &f.call);
	evloop_run(f.loop);
}

static void submit(struct usb_device *d, const uint8_t *s)
{
	static const uint8_t requests[] = { 1, 3, 5, 6, 9, 11, 0x30, 0x31 };
	struct transfer *t = &f.t[s[1] % TRANSFERS];
	struct usb_xfer *x = &t->x;

	if (t->busy)
		return;
	memset(t, 0, sizeof(*t));
	t->busy = true;
	t->iov = (struct iovec){ t->data, DATA };
	*x = (struct usb_xfer){
		.endpoint = s[2], .iov = &t->iov, .niov = 1, .len = s[3] % (DATA + 1)
	};
	if (s[0] & 0x80) {
		x->packet = t->packet;
		x->n_packets = s[1] >> 6;
		for (unsigned i = 0; i < 3; i++)
			t->packet[i].len = s[3] % 30;
	}
	x->stream = s[0] & 0x40 ? s[1] >> 3 : 0;
	if (!(s[2] & 0xf)) {
		x->setup[0] = s[3] & 0x83;
		x->setup[1] = requests[s[3] >> 2 & 7];
		x->setup[2] = s[1] >> 4;
		x->setup[4] = s[1] >> 6;
		x->setup[6] = (uint8_t)(x->len + (s[0] >> 6 & 1));
	}
	d->ops->submit(d, x);
}

static void step(struct usb_device *d, const uint8_t *s)
{
	static const int codes[] = { 0,		  -EPIPE,  -EPROTO, -EOVERFLOW,
				     -ECONNRESET, -ENODEV, -ENOMEM, -EREMOTEIO };
	struct transfer *t = &f.t[s[1] % TRANSFERS];

	switch (s[0] & 7) {
	case 0:
	case 1:
	case 2:
		submit(d, s);
		break;
	case 3:
		if (t->busy)
			d->ops->cancel(d, &t->x);
		break;
	case 4:
	case 5:
		if (f.n)
			urb_finish(s[1] % f.n, codes[s[2] & 7], s[3]);
		break;
	case 6:
		f.next_ret = codes[s[2] & 7];
		break;
	case 7:
		d->ops->reset(d);
		break;
	}
	turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct usb_host_config cfg = { .root = "/nonexistent",
					     .fs = &fuzz_fs,
					     .reset = true };
	const struct usb_info info = { .name = "1-1", .bus = 1, .addr = 2, .mbits = 480 };
	static const uint8_t configure[4] = { 0, 0x10, 0, 4 << 2 };
	struct usb_device *d;
	struct usb_host *h;

	if (size > 256)
		return 0;
	memset(&f, 0, sizeof(f));
	f.call.fn = one_turn;
	f.loop = evloop_new();
	h = usb_host_open(&cfg, &info, NULL);
	if (!h || !f.loop)
		abort();
	d = usb_host_device(h);
	d->complete = complete;
	if (d->ops->attached(d, f.loop) < 0)
		abort();
	for (step(d, configure); size >= 4; size -= 4, data += 4)
		step(d, data);
	f.gone = true;
	while (f.n)
		urb_finish(0, -ESHUTDOWN, 1);
	turn();
	for (unsigned i = 0; i < TRANSFERS; i++)
		if (f.t[i].busy)
			abort();
	d->ops->detached(d);
	usb_host_close(h);
	evloop_free(f.loop);
	return 0;
}
