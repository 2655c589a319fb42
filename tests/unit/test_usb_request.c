/* SPDX-License-Identifier: BSD-2-Clause */
/* A device of the host: control transfers, and requests of which the kernel must know. */
#include "tests/unit/usb_host_fixture.h"

static void test_control(void **state)
{
	struct transfer t;

	(void)state;
	control(&t, 0x80, USB_REQ_GET_DESCRIPTOR, USB_DT_DEVICE << 8, 0, 18);
	said("urb 00 type 2 len 26 flags 0;");
	assert_memory_equal(k.urb[0]->buffer, t.x.setup, 8);
	finish(0, 0, 18);
	ended(&t, USB_OK, 18);
	assert_memory_equal(t.data, "abcdefghijklmnopqr", 18);
	/* In a configuration descriptor, remote wakeup is hidden: 'h' is 0x68. */
	control(&t, 0x80, USB_REQ_GET_DESCRIPTOR, USB_DT_CONFIG << 8, 0, 9);
	((uint8_t *)k.urb[0]->buffer)[9] = 0;
	finish(0, 0, 9);
	assert_int_equal(t.data[7], 'h');
	control(&t, 0x80, USB_REQ_GET_DESCRIPTOR, USB_DT_CONFIG << 8, 0, 9);
	memcpy((uint8_t *)k.urb[0]->buffer + 8, "\x09\x02\x20\x00\x01\x01\x00\xe0\x32", 9);
	urb_finish(0, 0, 9);
	turn();
	assert_int_equal(t.data[7], 0xc0);
	/* Of a vendor; with data. */
	transfer_init(&t, 0, 4);
	memcpy(t.x.setup, "\x40\x09\x01\x00\x00\x00\x04\x00", 8);
	memcpy(t.data, "data", 4);
	k.said[0] = '\0';
	dev->ops->submit(dev, &t.x);
	said("urb 00 type 2 len 12 flags 0;");
	assert_memory_equal((uint8_t *)k.urb[0]->buffer + 8, "data", 4);
	finish(0, -EPIPE, 0);
	ended(&t, USB_STALL, 0);
}

static void test_host_requests(void **state)
{
	struct transfer t;

	(void)state;
	control(&t, 0, USB_REQ_SET_ADDRESS, 5, 0, 0);
	ended(&t, USB_STALL, 0);
	control(&t, 0, USB_REQ_SET_FEATURE, USB_DEVICE_U1_ENABLE, 0, 0);
	ended(&t, USB_OK, 0);
	control(&t, 0, USB_REQ_CLEAR_FEATURE, USB_DEVICE_REMOTE_WAKEUP, 0, 0);
	ended(&t, USB_OK, 0);
	control(&t, 1, USB_REQ_SET_FEATURE, USB_INTRF_FUNC_SUSPEND, 0, 0);
	ended(&t, USB_OK, 0);
	control(&t, 0, USB_REQ_SET_FEATURE, USB_DEVICE_TEST_MODE, 1, 0);
	ended(&t, USB_STALL, 0);
	control(&t, 0, USB_REQ_SET_SEL, 0, 0, 6);
	ended(&t, USB_OK, 6);
	control(&t, 0, USB_REQ_SET_ISOCH_DELAY, 40, 0, 0);
	ended(&t, USB_OK, 0);
	control(&t, 0, USB_REQ_SET_CONFIGURATION, 0, 0, 0);
	ended(&t, USB_OK, 0);
	said("");
	/* Setting the halt of an endpoint is forwarded. */
	control(&t, 2, USB_REQ_SET_FEATURE, USB_ENDPOINT_HALT, 0x81, 0);
	said("urb 00 type 2 len 8 flags 0;");
	finish(0, 0, 0);
	ended(&t, USB_OK, 0);
}

static void test_configuration(void **state)
{
	struct transfer t, wrong;

	(void)state;
	control(&t, 0, USB_REQ_SET_CONFIGURATION, 2, 0, 0);
	await_work();
	ended(&t, USB_OK, 0);
	said("release 0;release 1;configuration 2;claim 3;");
	submit(&wrong, 0x81, 10);
	ended(&wrong, USB_ERROR, 0);
	submit(&t, 0x85, 10);
	said("urb 85 type 3 len 10 flags 0;");
	finish(0, 0, 10);
	ended(&t, USB_OK, 10);
	control(&t, 0, USB_REQ_SET_CONFIGURATION, 9, 0, 0);
	await_work();
	ended(&t, USB_STALL, 0);
	said("");
	/* The device refuses; the old configuration stays. */
	k.fail = USBDEVFS_SETCONFIGURATION;
	k.fail_ret = -EPIPE;
	control(&t, 0, USB_REQ_SET_CONFIGURATION, 1, 0, 0);
	await_work();
	ended(&t, USB_STALL, 0);
	said("release 3;claim 3;");
	k.fail = 0;
}

/* With one configuration, the same one again only puts the settings back. */
static void test_same_configuration(void **state)
{
	struct transfer t;

	(void)state;
	h->desc[17] = 1;
	control(&t, 0, USB_REQ_SET_CONFIGURATION, 1, 0, 0);
	ended(&t, USB_OK, 0);
	said("");
	control(&t, 1, USB_REQ_SET_INTERFACE, 1, 1, 0);
	await_work();
	said("interface 1 setting 1;");
	control(&t, 0, USB_REQ_SET_CONFIGURATION, 1, 0, 0);
	await_work();
	said("interface 1 setting 0;");
	submit(&t, 0x84, 8);
	said("urb 84 type 1 len 8 flags 0;");
	finish(0, 0, 8);
}

/* While the kernel changes a setting, transfers wait in order, and can be
 * cancelled. */
static void test_interface(void **state)
{
	struct transfer before, set, after, more;

	(void)state;
	submit(&before, 0x02, 10);
	said("urb 02 type 3 len 10 flags 0;");
	k.hold = true;
	control(&set, 1, USB_REQ_SET_INTERFACE, 1, 1, 0);
	submit(&after, 0x81, 10);
	submit(&more, 0x81, 10);
	urb_finish(0, 0, 10);
	turn();
	assert_int_equal(before.completed, 0); /* not reaped meanwhile */
	dev->ops->cancel(dev, &more.x);
	ended(&more, USB_CANCELLED, 0);
	dev->ops->cancel(dev, &set.x); /* it cannot be */
	assert_int_equal(set.completed, 0);
	said("");
	pthread_mutex_lock(&k.lock);
	k.hold = false;
	pthread_mutex_unlock(&k.lock);
	await_work();
	turn();
	said("interface 1 setting 1;urb 81 type 3 len 10 flags 0;");
	ended(&before, USB_OK, 10);
	ended(&set, USB_OK, 0);
	finish(0, 0, 10);
	ended(&after, USB_OK, 10);
	control(&set, 1, USB_REQ_SET_INTERFACE, 1, 7, 0); /* not claimed */
	ended(&set, USB_STALL, 0);
	control(&set, 1, USB_REQ_SET_INTERFACE, 1, 40, 0);
	ended(&set, USB_STALL, 0);
	k.fail = USBDEVFS_SETINTERFACE;
	k.fail_ret = -EINVAL;
	control(&set, 1, USB_REQ_SET_INTERFACE, 5, 0, 0);
	await_work();
	ended(&set, USB_STALL, 0);
	k.fail = 0;
}

/* What flies is discarded when the kernel is free again. */
static void test_cancel_during_work(void **state)
{
	struct transfer flies, set;

	(void)state;
	submit(&flies, 0x81, 10);
	k.hold = true;
	control(&set, 1, USB_REQ_SET_INTERFACE, 1, 1, 0);
	dev->ops->cancel(dev, &flies.x);
	said("urb 81 type 3 len 10 flags 0;");
	pthread_mutex_lock(&k.lock);
	k.hold = false;
	pthread_mutex_unlock(&k.lock);
	await_work();
	turn();
	said("interface 1 setting 1;discard;");
	ended(&flies, USB_CANCELLED, 5);
}

static void test_clear_halt(void **state)
{
	struct transfer t;

	(void)state;
	control(&t, 2, USB_REQ_CLEAR_FEATURE, USB_ENDPOINT_HALT, 0x81, 0);
	await_work();
	ended(&t, USB_OK, 0);
	said("clear halt 81;");
	control(&t, 2, USB_REQ_CLEAR_FEATURE, USB_ENDPOINT_HALT, 0, 0);
	said("urb 00 type 2 len 8 flags 0;"); /* endpoint 0 has no toggle */
	finish(0, 0, 0);
}

static void test_reset(void **state)
{
	struct transfer t;

	(void)state;
	dev->ops->reset(dev); /* when the guest finds it */
	assert_false(h->working);
	control(&t, 1, USB_REQ_SET_INTERFACE, 1, 1, 0);
	await_work();
	said("interface 1 setting 1;");
	dev->ops->reset(dev);
	submit(&t, 0x81, 8);
	await_work();
	said("release 0;release 1;reset;claim 0;claim 1;urb 81 type 3 len 8 flags 0;");
	finish(0, 0, 8);
	ended(&t, USB_OK, 8);
	h->cfg.reset = false;
	dev->ops->reset(dev);
	said("");
	/* The device does not come back. */
	h->cfg.reset = true;
	submit(&t, 0x81, 8);
	finish(0, 0, 8);
	k.fail = USBDEVFS_RESET;
	k.fail_ret = -ENODEV;
	dev->ops->reset(dev);
	submit(&t, 0x81, 8);
	await_work();
	ended(&t, USB_GONE, 0);
	k.fail = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(test_control),       HOST_TEST(test_host_requests),
		HOST_TEST(test_configuration), HOST_TEST(test_same_configuration),
		HOST_TEST(test_interface),     HOST_TEST(test_cancel_during_work),
		HOST_TEST(test_clear_halt),    HOST_TEST(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
