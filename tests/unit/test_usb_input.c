/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyboards and mice of the host for a guest: what reaches it, whose they are, and devices that
 * leave and come back; with the kernel of fake_evdev.h. The test is the guest's driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/fake_evdev.h"

#include "devices/usb/usb_device.h"
#include "devices/usb/usb_input.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

static struct error err;
static struct usb_input *in;
static struct evloop *loop; /* the controller's, which never runs */
static struct evdev *node[FAKE_NODES];
static struct usb_device *dev[2]; /* in the order in which they were plugged in */
static unsigned n_devs;

/* ---- the controller and the guest's driver ---- */

static void complete(struct usb_device *d, struct usb_xfer *t)
{
	(void)d;
	t->n_packets = 1;
}

static int attach(void *controller, unsigned port, struct usb_device *d, struct error *e)
{
	struct usb_xfer t = { .setup = { 0, 9, 1 } };

	(void)e;
	assert_ptr_equal(controller, &n_devs);
	assert_int_equal(port, 0);
	d->complete = complete;
	assert_int_equal(d->ops->attached(d, loop), 0);
	d->ops->reset(d);
	d->ops->submit(d, &t);
	dev[n_devs++] = d;
	return (int)n_devs;
}

/* The next report within `tries` of 0.2 ms. */
static bool poll_for(struct usb_device *d, uint8_t report[8], unsigned tries)
{
	struct iovec v = { report, 8 };
	struct usb_xfer t = { .endpoint = 0x81, .iov = &v, .niov = 1, .len = 8 };

	memset(report, 0, 8);
	while (tries--) {
		t.n_packets = 0;
		d->ops->submit(d, &t);
		if (t.n_packets)
			return true;
		d->ops->cancel(d, &t);
		usleep(200);
	}
	return false;
}

/* The next report of the keyboard: modifiers, and the first two keys. */
static void expect_keys(unsigned modifiers, unsigned first, unsigned second)
{
	uint8_t r[8];

	assert_true(poll_for(dev[0], r, 50000));
	assert_int_equal(r[0], modifiers);
	assert_int_equal(r[2], first);
	assert_int_equal(r[3], second);
}

static void expect_nothing(void)
{
	uint8_t r[8];

	for (unsigned i = 0; i < n_devs; i++)
		assert_false(poll_for(dev[i], r, 100));
}

static void expect_mouse(unsigned buttons, int dx)
{
	uint8_t r[8];

	assert_true(poll_for(dev[1], r, 50000));
	assert_int_equal(r[0], buttons);
	assert_int_equal((int8_t)r[1], dx);
}

static void await_grab(unsigned i, bool grabbed)
{
	for (unsigned n = 0; n < 50000 && fake_is_grabbed(i) != grabbed; n++)
		usleep(200);
	assert_int_equal(fake_is_grabbed(i), grabbed);
}

/* ---- */

static int setup(void **state)
{
	const struct usb_input_env env = { fake_events_open, fake_events_next, attach, &n_devs };

	(void)state;
	fake_reset();
	n_devs = 0;
	memset(node, 0, sizeof(node));
	loop = evloop_new();
	assert_int_equal(pipe2(fake_events, O_NONBLOCK | O_CLOEXEC), 0);
	in = usb_input_new(&env, &err);
	assert_non_null(in);
	return 0;
}

static void add(unsigned i)
{
	node[i] = evdev_open(&fake_os, "/nonexistent", fake_node[i].path, &err);
	assert_non_null(node[i]);
	assert_int_equal(usb_input_add(in, node[i], &err), 0);
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FAKE_NODES; i++) {
		if (!node[i])
			continue;
		usb_input_remove(in, node[i]);
		evdev_free(node[i]);
		assert_false(fake_is_grabbed(i));
	}
	usb_input_stop(in);
	for (unsigned i = 0; i < n_devs; i++)
		dev[i]->ops->detached(dev[i]);
	usb_input_free(in);
	evloop_free(loop);
	close(fake_events[0]);
	close(fake_events[1]);
	fake_close();
	return 0;
}

static void test_reaches_guest(void **state)
{
	(void)state;
	add(FAKE_KEYBOARD);
	add(FAKE_MOUSE);
	assert_int_equal(n_devs, 2);
	await_grab(FAKE_KEYBOARD, true);
	await_grab(FAKE_MOUSE, true);
	fake_key(FAKE_KEYBOARD, KEY_LEFTSHIFT, true);
	fake_key(FAKE_KEYBOARD, KEY_A, true);
	expect_keys(2, 0, 0);
	expect_keys(2, 4, 0);
	fake_key(FAKE_KEYBOARD, KEY_A, false);
	expect_keys(2, 0, 0);
	fake_event(FAKE_MOUSE, EV_REL, REL_X, 5);
	fake_key(FAKE_MOUSE, BTN_RIGHT, true);
	expect_mouse(0, 5);
	expect_mouse(2, 0);
	expect_nothing();
}

static void toggle(void)
{
	fake_key(FAKE_KEYBOARD, KEY_LEFTCTRL, true);
	fake_key(FAKE_KEYBOARD, KEY_RIGHTCTRL, true);
}

static void release_toggle(void)
{
	fake_key(FAKE_KEYBOARD, KEY_LEFTCTRL, false);
	fake_key(FAKE_KEYBOARD, KEY_RIGHTCTRL, false);
}

/* Both Ctrl keys: all keys are up for the guest at once. The host gets a device when all are up. */
static void test_toggle(void **state)
{
	(void)state;
	add(FAKE_KEYBOARD);
	add(FAKE_MOUSE);
	await_grab(FAKE_KEYBOARD, true);
	await_grab(FAKE_MOUSE, true);
	fake_key(FAKE_MOUSE, BTN_LEFT, true);
	expect_mouse(1, 0);
	fake_key(FAKE_KEYBOARD, KEY_A, true);
	expect_keys(0, 4, 0);
	toggle();
	expect_keys(1, 4, 0);
	expect_keys(0, 0, 0);
	expect_mouse(0, 0);
	expect_nothing();
	assert_true(fake_is_grabbed(FAKE_KEYBOARD)); /* A and both Ctrl are down */
	release_toggle();
	assert_true(fake_is_grabbed(FAKE_KEYBOARD));
	fake_key(FAKE_KEYBOARD, KEY_A, false);
	await_grab(FAKE_KEYBOARD, false);
	assert_true(fake_is_grabbed(FAKE_MOUSE));
	fake_key(FAKE_MOUSE, BTN_LEFT, false);
	await_grab(FAKE_MOUSE, false);
	/* What the host types is not the guest's. */
	fake_key(FAKE_KEYBOARD, KEY_B, true);
	fake_event(FAKE_MOUSE, EV_REL, REL_X, 5);
	fake_event(FAKE_MOUSE, EV_SYN, SYN_REPORT, 0);
	expect_nothing();
	toggle();
	await_grab(FAKE_MOUSE, true);
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
	release_toggle();
	fake_key(FAKE_KEYBOARD, KEY_B, false);
	await_grab(FAKE_KEYBOARD, true);
	expect_nothing();
	fake_key(FAKE_KEYBOARD, KEY_C, true);
	expect_keys(0, 6, 0);
	expect_nothing();
}

/* Enter, which started the program, is still down: the host must see that it goes up. */
static void test_key_is_down_at_start(void **state)
{
	(void)state;
	fake_bit(fake_node[FAKE_KEYBOARD].down, KEY_ENTER, true);
	add(FAKE_KEYBOARD);
	expect_nothing();
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
	fake_key(FAKE_KEYBOARD, KEY_ENTER, false);
	await_grab(FAKE_KEYBOARD, true);
	expect_nothing();
}

/* Two keyboards are one for the guest. Ctrl may be pressed on each of them. */
static void test_two_keyboards(void **state)
{
	(void)state;
	add(FAKE_KEYBOARD);
	add(FAKE_SECOND);
	assert_int_equal(n_devs, 1);
	await_grab(FAKE_KEYBOARD, true);
	await_grab(FAKE_SECOND, true);
	fake_key(FAKE_KEYBOARD, KEY_A, true);
	expect_keys(0, 4, 0);
	fake_key(FAKE_SECOND, KEY_A, true);
	fake_key(FAKE_SECOND, KEY_B, true);
	expect_keys(0, 4, 5);
	fake_key(FAKE_KEYBOARD, KEY_A, false);
	expect_nothing();
	fake_key(FAKE_SECOND, KEY_A, false);
	expect_keys(0, 5, 0);
	fake_key(FAKE_SECOND, KEY_B, false);
	expect_keys(0, 0, 0);
	fake_key(FAKE_KEYBOARD, KEY_LEFTCTRL, true);
	expect_keys(1, 0, 0);
	fake_key(FAKE_SECOND, KEY_RIGHTCTRL, true);
	expect_keys(0, 0, 0);
	fake_key(FAKE_KEYBOARD, KEY_LEFTCTRL, false);
	await_grab(FAKE_KEYBOARD, false);
	assert_true(fake_is_grabbed(FAKE_SECOND));
}

static void come(void)
{
	assert_int_equal(write(fake_events[1], "e", 1), 1);
}

/* Pulled out while a key is down, and plugged in again: another device first, then the same one. */
static void test_comes_back(void **state)
{
	(void)state;
	add(FAKE_KEYBOARD);
	await_grab(FAKE_KEYBOARD, true);
	fake_key(FAKE_KEYBOARD, KEY_A, true);
	expect_keys(0, 4, 0);
	pthread_mutex_lock(&fake_lock);
	fake_node[FAKE_KEYBOARD].open_ret = -ENOENT;
	pthread_mutex_unlock(&fake_lock);
	fake_unplug(FAKE_KEYBOARD);
	expect_keys(0, 0, 0);
	pthread_mutex_lock(&fake_lock);
	fake_node[FAKE_KEYBOARD].open_ret = 0;
	come();
	pthread_mutex_unlock(&fake_lock);
	await_grab(FAKE_KEYBOARD, true);
	fake_key(FAKE_KEYBOARD, KEY_B, true);
	expect_keys(0, 5, 0);
	assert_int_equal(n_devs, 1); /* the guest's keyboard stayed */
}

static void test_another_comes(void **state)
{
	(void)state;
	add(FAKE_KEYBOARD);
	await_grab(FAKE_KEYBOARD, true);
	pthread_mutex_lock(&fake_lock);
	fake_node[FAKE_KEYBOARD].product = 9;
	pthread_mutex_unlock(&fake_lock);
	fake_unplug(FAKE_KEYBOARD);
	come();
	usleep(300000);
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
}

/* Somebody else grabs it while the host has it: it stays with the host, and the next try works. */
static void test_grabbed_by_another(void **state)
{
	(void)state;
	add(FAKE_KEYBOARD);
	add(FAKE_MOUSE);
	await_grab(FAKE_MOUSE, true);
	await_grab(FAKE_KEYBOARD, true);
	toggle();
	release_toggle();
	await_grab(FAKE_KEYBOARD, false);
	await_grab(FAKE_MOUSE, false);
	pthread_mutex_lock(&fake_lock);
	fake_node[FAKE_MOUSE].other = true;
	pthread_mutex_unlock(&fake_lock);
	toggle();
	release_toggle();
	await_grab(FAKE_KEYBOARD, true);
	assert_false(fake_is_grabbed(FAKE_MOUSE));
	pthread_mutex_lock(&fake_lock);
	fake_node[FAKE_MOUSE].other = false;
	pthread_mutex_unlock(&fake_lock);
	toggle();
	release_toggle();
	await_grab(FAKE_KEYBOARD, false);
	toggle();
	release_toggle();
	await_grab(FAKE_KEYBOARD, true);
	await_grab(FAKE_MOUSE, true);
}

static void test_leds(void **state)
{
	uint8_t leds = 2;
	struct iovec v = { &leds, 1 };
	struct usb_xfer t = { .setup = { 0x21, 9, 0, 2, 0, 0, 1 }, .iov = &v, .niov = 1, .len = 1 };
	struct input_event e[4];
	ssize_t n = -1;

	(void)state;
	add(FAKE_KEYBOARD);
	await_grab(FAKE_KEYBOARD, true);
	while (read(fake_node[FAKE_KEYBOARD].peer, e, sizeof(e)) < 0)
		usleep(200); /* those at the grab */
	dev[0]->ops->submit(dev[0], &t);
	for (unsigned i = 0; i < 50000 && n < 0; i++, usleep(200))
		n = read(fake_node[FAKE_KEYBOARD].peer, e, sizeof(e));
	assert_int_equal(n, sizeof(e));
	assert_int_equal(e[1].code, LED_CAPSL);
	assert_int_equal(e[1].value, 1);
	/* A guest that changes them all the time: the keyboard has one change in 20 ms, and the last one. */
	uint64_t began = evloop_now_ns();
	unsigned writes = 0;

	for (unsigned i = 0; i < 400; i++) {
		leds = i & 1 ? 1 : 2;
		dev[0]->ops->submit(dev[0], &t);
		usleep(100);
		writes += read(fake_node[FAKE_KEYBOARD].peer, e, sizeof(e)) > 0;
	}
	for (unsigned i = 0; i < 50000 && (!e[0].value || e[1].value); i++, usleep(200))
		writes += read(fake_node[FAKE_KEYBOARD].peer, e, sizeof(e)) > 0;
	assert_int_equal(e[0].value, 1);
	assert_int_equal(e[1].value, 0);
	assert_in_range(writes, 1, (evloop_now_ns() - began) / 20000000 + 2);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_reaches_guest),
		T(test_toggle),
		T(test_key_is_down_at_start),
		T(test_two_keyboards),
		T(test_comes_back),
		T(test_another_comes),
		T(test_leds),
		T(test_grabbed_by_another),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
