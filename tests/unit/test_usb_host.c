/* SPDX-License-Identifier: BSD-2-Clause */
/* A device of the host: it is opened, transfers, errors, cancelling, and the end of it. */
#include "tests/unit/usb_host_fixture.h"

static int count(void *n, const char *name)
{
	assert_string_equal(name, "1-4.2");
	++*(unsigned *)n;
	return 0;
}

static void test_open(void **state)
{
	unsigned records = 0;

	(void)state;
	open_host();
	assert_non_null(h);
	assert_int_equal(usb_host_device(h)->speed, USB_SUPER);
	assert_string_equal(usb_host_info(h)->name, "1-4.2");
	usb_record_each(root, count, &records);
	assert_int_equal(records, 1);
	usb_host_close(h);
	said("claim 0;claim 1;release 0;release 1;connect 0;connect 1;close;");
	usb_record_each(root, count, &records);
	assert_int_equal(records, 1);
	usb_host_close(NULL);
}

/* What was done is undone. */
static void test_open_fails(void **state)
{
	unsigned records = 0;

	(void)state;
	k.fail = USBDEVFS_DISCONNECT_CLAIM;
	k.fail_ret = -EBUSY;
	open_host();
	assert_null(h);
	assert_string_equal(err.text, "1-4.2: interface 0 cannot be claimed: Device or resource "
				      "busy");
	k.fail = 0;
	k.desc[0] = 3;
	open_host();
	assert_null(h);
	assert_string_equal(err.text, "1-4.2: its descriptors are damaged");
	k.desc[0] = 18;
	put("7", "sys/bus/usb/devices/1-4.2/bConfigurationValue");
	open_host();
	assert_null(h);
	assert_non_null(strstr(err.text, "do not have its configuration 7"));
	usb_record_each(root, count, &records);
	assert_int_equal(records, 0);
	said("close;close;close;");
}

static void test_bulk(void **state)
{
	struct transfer in, out, nothing;

	(void)state;
	submit(&in, 0x81, 100);
	transfer_init(&out, 0x02, 20);
	memset(out.data, 'x', 20);
	dev->ops->submit(dev, &out.x);
	said("urb 81 type 3 len 100 flags 0;urb 02 type 3 len 20 flags 0;");
	assert_memory_equal(k.urb[1]->buffer, out.data, 20);
	assert_int_equal(in.completed, 0);
	finish(0, 0, 30); /* a short one */
	ended(&in, USB_OK, 30);
	assert_memory_equal(in.data, "abcdefghijklmnopqrstuvwxyzabcd\0", 31);
	finish(0, 0, 20);
	ended(&out, USB_OK, 20);
	submit(&nothing, 0x02, 0);
	said("urb 02 type 3 len 0 flags 0;");
	finish(0, 0, 0);
	ended(&nothing, USB_OK, 0);
}

/* Several are in flight; behind an error the kernel cancels the others, and a
 * new one begins afresh. */
static void test_pipeline(void **state)
{
	struct transfer t[4];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		submit(&t[i], 0x02, 10);
	said("urb 02 type 3 len 10 flags 0;urb 02 type 3 len 10 flags 4;"
	     "urb 02 type 3 len 10 flags 4;");
	urb_finish(0, -EPIPE, 3);
	urb_finish(0, -ECONNRESET, 0);
	k.submit_ret = -EREMOTEIO; /* the error is not reaped yet */
	submit(&t[3], 0x02, 10);
	ended(&t[3], USB_CANCELLED, 0);
	urb_finish(0, -ECONNRESET, 0);
	turn();
	ended(&t[0], USB_STALL, 3);
	ended(&t[1], USB_CANCELLED, 0);
	ended(&t[2], USB_CANCELLED, 0);
	submit(&t[0], 0x02, 10);
	said("urb 02 type 3 len 10 flags 0;");
	finish(0, -EPROTO, 0);
	ended(&t[0], USB_ERROR, 0);
	submit(&t[0], 0x81, 10);
	finish(0, -EOVERFLOW, 0);
	ended(&t[0], USB_BABBLE, 0);
}

static void test_cancel(void **state)
{
	struct transfer a, b;

	(void)state;
	submit(&a, 0x81, 50);
	submit(&b, 0x81, 50);
	said("urb 81 type 3 len 50 flags 0;urb 81 type 3 len 50 flags 4;");
	dev->ops->cancel(dev, &b.x);
	dev->ops->cancel(dev, &b.x); /* again: it is done already */
	dev->ops->cancel(dev, &a.x);
	turn();
	said("discard;discard;");
	ended(&a, USB_CANCELLED, 5);
	ended(&b, USB_CANCELLED, 5);
	dev->ops->cancel(dev, &a.x); /* complete */
	said("");
	/* It was done before it was cancelled. */
	submit(&a, 0x81, 50);
	urb_finish(0, 0, 50);
	dev->ops->cancel(dev, &a.x);
	turn();
	ended(&a, USB_OK, 50);
}

/* The host lacks memory: the transfer can be repeated. Wrong transfers never
 * reach the kernel. */
static void test_refused(void **state)
{
	struct usb_packet p[2] = { { .len = 40 }, { .len = 40 } };
	struct transfer t;

	(void)state;
	k.submit_ret = -ENOMEM;
	submit(&t, 0x81, 10);
	ended(&t, USB_BUSY, 0);
	k.submit_ret = -ENOENT;
	submit(&t, 0x81, 10);
	ended(&t, USB_ERROR, 0);
	submit(&t, 0x8f, 10); /* there is no such endpoint */
	ended(&t, USB_ERROR, 0);
	submit(&t, 0xf1, 10);
	ended(&t, USB_ERROR, 0);
	submit(&t, 0x81, USB_XFER_MAX + 1);
	ended(&t, USB_ERROR, 0);
	transfer_init(&t, 0x81, 80); /* packets for a bulk endpoint */
	t.x.packet = p;
	t.x.n_packets = 2;
	dev->ops->submit(dev, &t.x);
	ended(&t, USB_ERROR, 0);
	transfer_init(&t, 0, 4); /* less data than the setup packet says */
	t.x.setup[6] = 8;
	dev->ops->submit(dev, &t.x);
	ended(&t, USB_ERROR, 0);
	said("");
}

static void test_interrupt(void **state)
{
	struct transfer t;

	(void)state;
	submit(&t, 0x84, 8);
	said("urb 84 type 1 len 8 flags 0;");
	finish(0, 0, 8);
	ended(&t, USB_OK, 8);
}

static void test_gone(void **state)
{
	struct transfer a, b, c;

	(void)state;
	submit(&a, 0x81, 10);
	submit(&b, 0x84, 10);
	urb_finish(0, -ESHUTDOWN, 4);
	k.gone = true;
	show_ready();
	turn();
	ended(&a, USB_ERROR, 4);
	ended(&b, USB_GONE, 0);
	submit(&c, 0x81, 10);
	ended(&c, USB_GONE, 0);
	assert_null(h->source);
	dev->ops->reset(dev);
	assert_false(h->working);
	k.n = 0;
}

static void test_iso(void **state)
{
	struct usb_packet p[3] = { { .len = 20 }, { .len = 20 }, { .len = 20 } };
	struct transfer t;

	(void)state;
	control(&t, 1, USB_REQ_SET_INTERFACE, 1, 1, 0);
	await_work();
	said("interface 1 setting 1;");
	transfer_init(&t, 0x84, 64);
	t.x.packet = p;
	t.x.n_packets = 3;
	dev->ops->submit(dev, &t.x);
	said("urb 84 type 0 len 60 flags 2;");
	assert_int_equal(k.urb[0]->number_of_packets, 3);
	assert_int_equal(k.urb[0]->iso_frame_desc[2].length, 20);
	memcpy(k.urb[0]->buffer, "0123456789012345678901234567890123456789", 40);
	k.urb[0]->iso_frame_desc[0].actual_length = 5;
	k.urb[0]->iso_frame_desc[1].actual_length = 2000; /* no kernel says so */
	k.urb[0]->iso_frame_desc[2].status = (unsigned)-EPROTO;
	urb_finish(0, 0, 25);
	turn();
	ended(&t, USB_OK, 25);
	assert_memory_equal(t.data, "01234\0", 6);
	assert_memory_equal(t.data + 20, "01234567890123456789", 20);
	assert_int_equal(p[0].done, 5);
	assert_int_equal(p[1].done, 20);
	assert_int_equal(p[2].status, USB_ERROR);
	t.completed = 0;
	t.x.n_packets = 0;
	dev->ops->submit(dev, &t.x);
	ended(&t, USB_ERROR, 0);
	t.completed = 0;
	t.x.n_packets = 3;
	p[2].len = 25; /* more than there is */
	dev->ops->submit(dev, &t.x);
	ended(&t, USB_ERROR, 0);
}

static void stream(struct transfer *t, uint8_t endpoint, uint16_t id)
{
	transfer_init(t, endpoint, 10);
	t->x.stream = id;
	dev->ops->submit(dev, &t->x);
}

static void test_streams(void **state)
{
	struct transfer t, u;

	(void)state;
	control(&t, 1, USB_REQ_SET_INTERFACE, 1, 0, 0);
	await_work();
	said("interface 0 setting 1;");
	stream(&t, 0x81, 3);
	stream(&u, 0x81, 15);
	said("streams 16 at 81;urb 81 type 3 len 10 flags 0;urb 81 type 3 len 10 "
	     "flags 4;");
	assert_int_equal(k.urb[0]->stream_id, 3);
	finish(1, 0, 10);
	finish(0, 0, 10);
	stream(&t, 0x81, 16); /* more than the host has */
	ended(&t, USB_ERROR, 0);
	stream(&t, 0x03, 1); /* an endpoint without streams */
	ended(&t, USB_ERROR, 0);
	/* The setting is chosen again: they are gone. */
	control(&t, 1, USB_REQ_SET_INTERFACE, 1, 0, 0);
	await_work();
	stream(&t, 0x81, 1);
	said("interface 0 setting 1;streams 16 at 81;urb 81 type 3 len 10 flags 0;");
	finish(0, 0, 10);
}

static uint8_t big[200 << 10];

/* Behind an error nothing runs on the same endpoint: not what flies, and not what waits. */
static void test_behind_error(void **state)
{
	struct transfer a, b, set, other;

	(void)state;
	submit(&a, 0x84, 8);
	submit(&b, 0x84, 8);
	finish(0, -EPIPE, 0);
	turn();
	ended(&a, USB_STALL, 0);
	ended(&b, USB_CANCELLED, 5);
	k.hold = true;
	control(&set, 1, USB_REQ_SET_INTERFACE, 1, 1, 0);
	submit(&a, 0x81, 8);
	submit(&b, 0x81, 8);
	submit(&other, 0x02, 8);
	k.submit_ret = -ENOMEM;
	pthread_mutex_lock(&k.lock);
	k.hold = false;
	pthread_mutex_unlock(&k.lock);
	await_work();
	turn();
	ended(&a, USB_BUSY, 0);
	ended(&b, USB_CANCELLED, 0);
	assert_int_equal(other.completed, 0);
	finish(0, 0, 8);
	ended(&other, USB_OK, 8);
}

/* Without scatter-gather, a large transfer is a row of URBs, alone on its
 * endpoint. */
static void test_split(void **state)
{
	struct transfer t, next;
	struct iovec iov = { big, sizeof(big) };

	(void)state;
	h->caps = 0;
	for (unsigned round = 0; round < 2; round++) {
		transfer_init(&t, 0x02, sizeof(big));
		t.x.iov = &iov;
		t.x.niov = 1;
		big[65536] = 'z';
		dev->ops->submit(dev, &t.x);
		submit(&next, 0x02, 10);
		said("urb 02 type 3 len 65536 flags 0;");
		finish(0, 0, 65536);
		said("urb 02 type 3 len 65536 flags 0;");
		assert_int_equal(*(uint8_t *)k.urb[0]->buffer, 'z');
		if (round == 0) {
			finish(0, 0, 65536);
			said("urb 02 type 3 len 65536 flags 0;");
			finish(0, 0, 65536);
			said("urb 02 type 3 len 8192 flags 0;");
			finish(0, 0, 8192);
			ended(&t, USB_OK, sizeof(big));
		} else {
			finish(0, 0, 100); /* a short one ends it */
			ended(&t, USB_OK, 65636);
		}
		said("urb 02 type 3 len 10 flags 0;");
		finish(0, 0, 10);
		ended(&next, USB_OK, 10);
	}
}

static struct transfer again;
static unsigned rounds;

static void submit_again(struct transfer *t)
{
	if (t == &again && rounds++ < 1000) {
		k.submit_ret = -EPIPE;
		again.completed = 0;
		dev->ops->submit(dev, &again.x);
	}
}

/* A controller that submits from complete() causes no recursion of ours that
 * grows. */
static void test_reentrant(void **state)
{
	(void)state;
	on_complete = submit_again;
	k.submit_ret = -EPIPE;
	submit(&again, 0x81, 10);
	assert_int_equal(rounds, 1001);
	assert_int_equal(again.x.status, USB_STALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup_bare, teardown_bare),
		cmocka_unit_test_setup_teardown(test_open_fails, setup_bare, teardown_bare),
		HOST_TEST(test_bulk),
		HOST_TEST(test_pipeline),
		HOST_TEST(test_cancel),
		HOST_TEST(test_refused),
		HOST_TEST(test_interrupt),
		HOST_TEST(test_gone),
		HOST_TEST(test_iso),
		HOST_TEST(test_streams),
		HOST_TEST(test_behind_error),
		HOST_TEST(test_split),
		HOST_TEST(test_reentrant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
