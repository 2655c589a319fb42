/* SPDX-License-Identifier: BSD-2-Clause */
/* The USB controller with its own thread: a vCPU that transfers and stops, while the machine pauses,
 * other vCPUs read registers, and a keyboard comes and goes. For TSan, too. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/usb/usb_hid.h"
#include "tests/unit/fake_xhci.h"

#define BULK_OUT 4u
#define TDS	 3000u
#define LATER	 16u

/* A device that completes what it gets in the next round of the loop, in order, and notes it. */
struct late_usb {
	struct usb_device dev;
	struct evloop *loop;
	struct ev_call call;
	struct usb_xfer *first, *last;
	uint32_t seen; /* the number that the next TD must have */
	bool wrong, detached, stuck;
};

static void late_run(void *opaque)
{
	struct late_usb *u = opaque;

	for (unsigned i = 0; u->first && i < LATER; i++) {
		struct usb_xfer *t = u->first;

		u->first = t->priv;
		t->status = USB_OK;
		t->done = t->len;
		if (t->endpoint & 0x7f) {
			uint32_t n = *(const uint32_t *)t->iov[0].iov_base;

			u->wrong |= n != u->seen;
			u->seen = n + 1;
		}
		u->dev.complete(&u->dev, t);
	}
	if (u->first)
		evloop_call(u->loop, &u->call);
}

static int late_attached(struct usb_device *dev, struct evloop *loop)
{
	struct late_usb *u = container_of(dev, struct late_usb, dev);

	u->loop = loop;
	u->call = (struct ev_call){ .fn = late_run, .arg = u };
	return 0;
}

static void late_submit(struct usb_device *dev, struct usb_xfer *t)
{
	struct late_usb *u = container_of(dev, struct late_usb, dev);

	t->priv = NULL;
	if (u->first)
		u->last->priv = t;
	else
		u->first = t;
	u->last = t;
	evloop_call(u->loop, &u->call);
}

static void late_cancel(struct usb_device *dev, struct usb_xfer *t)
{
	struct late_usb *u = container_of(dev, struct late_usb, dev);
	struct usb_xfer *before = NULL;

	for (struct usb_xfer *p = u->first; p; before = p, p = p->priv) {
		if (p != t)
			continue;
		if (before)
			before->priv = p->priv;
		else
			u->first = p->priv;
		if (u->last == p)
			u->last = before;
		t->done = 0;
		t->status = USB_CANCELLED;
		u->dev.complete(&u->dev, t);
		return;
	}
}

static void late_reset(struct usb_device *dev)
{
	(void)dev;
}

static void late_detached(struct usb_device *dev)
{
	struct late_usb *u = container_of(dev, struct late_usb, dev);

	evloop_cancel(u->loop, &u->call);
	__atomic_store_n(&u->detached, true, __ATOMIC_RELEASE);
}

static const struct usb_device_ops late_ops = {
	.attached = late_attached,
	.submit = late_submit,
	.cancel = late_cancel,
	.reset = late_reset,
	.detached = late_detached,
};

static void nap(struct hc *h)
{
	(void)h;
	usleep(20);
}

struct machine {
	struct hc h;
	struct late_usb usb;
	bool over;
};

static bool over(struct machine *m)
{
	return __atomic_load_n(&m->over, __ATOMIC_ACQUIRE);
}

/* Another vCPU. */
static void *reader(void *arg)
{
	struct machine *m = arg;

	while (!over(m)) {
		for (unsigned off = 0; off < XHCI_DOORBELL; off += 4)
			hc_reg(&m->h, off);
		hc_set(&m->h, HC_PORTSC(6), XHCI_PORT_PP | XHCI_PORT_PR | XHCI_PORT_CHANGES);
		usleep(100);
	}
	return NULL;
}

static void keyboard_gone(void *opaque)
{
	__atomic_store_n((bool *)opaque, true, __ATOMIC_RELEASE);
}

/* The main loop: pauses the machine, and plugs a keyboard in and out. */
static void *main_loop(void *arg)
{
	struct machine *m = arg;

	while (!over(m)) {
		bool gone = false;
		struct usb_hid *hid = usb_hid_new(USB_HID_KEYBOARD, keyboard_gone, &gone);

		if (xhci_attach(m->h.x, 2, usb_hid_device(hid), NULL) != 2)
			abort();
		usb_hid_key(hid, 4, true);
		while (pci_pause(&m->h.f.root, true))
			usleep(20);
		usleep(200);
		pci_pause(&m->h.f.root, false);
		xhci_detach(m->h.x, usb_hid_device(hid));
		while (!__atomic_load_n(&gone, __ATOMIC_ACQUIRE))
			usleep(50);
		usb_hid_free(hid);
	}
	return NULL;
}

/* Waits for events until the TD with this address is done, or a command. Counts completed TDs. */
static unsigned wait_for(struct hc *h, uint64_t cmd, unsigned *done)
{
	struct xhci_trb t;

	for (unsigned idle = 0; idle < 1000000; idle++) {
		if (!hc_event(h, &t))
			continue;
		idle = 0;
		if (xhci_trb_type(&t) == XHCI_TRB_EV_TRANSFER && hc_cc(&t) == XHCI_CC_SUCCESS)
			++*done;
		if (xhci_trb_type(&t) == XHCI_TRB_EV_COMMAND && t.param == cmd)
			return hc_cc(&t);
		if (!cmd && xhci_trb_type(&t) == XHCI_TRB_EV_TRANSFER)
			return hc_cc(&t);
	}
	return 0;
}

/* All TDs complete once, in order, although the endpoint is stopped all the time. */
static void transfer_and_stop(struct hc *h, unsigned slot)
{
	uint32_t *data = (uint32_t *)hc_mem(h, HC_DATA);
	unsigned queued = 0, done = 0;

	while (done < TDS) {
		while (queued < TDS && queued - done < 64) {
			data[queued] = queued;
			hc_trb(h, BULK_OUT, HC_DATA + 4 * queued, 4, HC_TYPE(XHCI_TRB_NORMAL) | XHCI_TRB_IOC);
			queued++;
		}
		hc_bell(h, slot, BULK_OUT);
		assert_int_not_equal(wait_for(h, 0, &done), 0);
		if (done % 3)
			continue;
		assert_int_equal(wait_for(h,
					  hc_cmd_post(h, 0, 0,
						      HC_TYPE(XHCI_TRB_STOP_EP) | slot << 24 | BULK_OUT << 16),
					  &done),
				 XHCI_CC_SUCCESS);
	}
}

static void everything_at_once(void **state)
{
	static struct machine m;
	pthread_t thread[2];
	struct error err = { 0 };
	unsigned slot;

	(void)state;
	assert_int_equal(hc_init(&m.h, nap), 0);
	m.usb.dev = (struct usb_device){ .ops = &late_ops, .speed = USB_HIGH, .name = "late" };
	assert_int_equal(xhci_attach(m.h.x, 1, &m.usb.dev, &err), 1);
	hc_start(&m.h, 2, 32);
	while (!(hc_reg(&m.h, HC_PORTSC(5)) & XHCI_PORT_CCS))
		usleep(100);
	hc_set(&m.h, HC_PORTSC(5), XHCI_PORT_PP | XHCI_PORT_PR);
	slot = hc_address(&m.h, 5);
	assert_int_equal(slot, 1);
	assert_int_equal(hc_add_ep(&m.h, slot, BULK_OUT, XHCI_EP_BULK_OUT, 0), XHCI_CC_SUCCESS);
	pthread_create(&thread[0], NULL, reader, &m);
	pthread_create(&thread[1], NULL, main_loop, &m);
	transfer_and_stop(&m.h, slot);
	__atomic_store_n(&m.over, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	/* It ends with a transfer in flight. */
	((uint32_t *)hc_mem(&m.h, HC_DATA))[TDS] = TDS;
	hc_trb(&m.h, BULK_OUT, HC_DATA + 4 * TDS, 4, HC_TYPE(XHCI_TRB_NORMAL) | XHCI_TRB_IOC);
	hc_bell(&m.h, slot, BULK_OUT);
	assert_true(xhci_free(m.h.x));
	assert_true(__atomic_load_n(&m.usb.detached, __ATOMIC_ACQUIRE));
	assert_false(m.usb.wrong);
	assert_in_range(m.usb.seen, TDS, TDS + 1);
	fake_root_free(&m.h.f);
	ring_free(&m.h.r);
}

/* A device that completes nothing, and does not cancel, until it is told to. */
static void stuck_submit(struct usb_device *dev, struct usb_xfer *t)
{
	struct late_usb *u = container_of(dev, struct late_usb, dev);

	t->priv = NULL;
	u->first = t;
	__atomic_store_n(&u->stuck, true, __ATOMIC_RELEASE);
}

static void stuck_cancel(struct usb_device *dev, struct usb_xfer *t)
{
	(void)dev;
	(void)t;
}

/* Guest memory stays in use, so the controller cannot be freed. Nobody waits for longer than a
 * second. */
static void stuck_device(void **state)
{
	static const struct usb_device_ops ops = { .attached = late_attached,
						   .submit = stuck_submit,
						   .cancel = stuck_cancel,
						   .reset = late_reset,
						   .detached = late_detached };
	static struct machine m;

	(void)state;
	assert_int_equal(hc_init(&m.h, nap), 0);
	m.usb.dev = (struct usb_device){ .ops = &ops, .speed = USB_SUPER, .name = "stuck" };
	assert_int_equal(xhci_attach(m.h.x, 1, &m.usb.dev, NULL), 1);
	hc_start(&m.h, 1, 256);
	while (!(hc_reg(&m.h, HC_PORTSC(1)) & XHCI_PORT_CCS))
		usleep(100);
	assert_int_equal(hc_address(&m.h, 1), 1);
	assert_int_equal(hc_add_ep(&m.h, 1, BULK_OUT, XHCI_EP_BULK_OUT, 0), XHCI_CC_SUCCESS);
	hc_trb(&m.h, BULK_OUT, HC_DATA, 4, HC_TYPE(XHCI_TRB_NORMAL) | XHCI_TRB_IOC);
	hc_bell(&m.h, 1, BULK_OUT);
	while (!__atomic_load_n(&m.usb.stuck, __ATOMIC_ACQUIRE))
		usleep(100);
	assert_false(xhci_free(m.h.x));
	assert_false(__atomic_load_n(&m.usb.detached, __ATOMIC_ACQUIRE));
	evloop_call(m.h.x->loop, &m.usb.call); /* now it completes */
	assert_true(xhci_free(m.h.x));
	assert_true(__atomic_load_n(&m.usb.detached, __ATOMIC_ACQUIRE));
	fake_root_free(&m.h.f);
	ring_free(&m.h.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(stuck_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
