/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes of input devices: what is refused, and why; keys, motion and LEDs; events that the kernel
 * has thrown away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/fake_evdev.h"

static struct error err;
static char seen[512];

static void on_key(void *arg, unsigned code, bool down)
{
	size_t n = strlen(seen);

	(void)arg;
	snprintf(seen + n, sizeof(seen) - n, "%c%u ", down ? '+' : '-', code);
}

static void on_move(void *arg, int dx, int dy, int wheel)
{
	size_t n = strlen(seen);

	(void)arg;
	snprintf(seen + n, sizeof(seen) - n, "(%d %d %d) ", dx, dy, wheel);
}

static const struct evdev_sink sink = { on_key, on_move, NULL };

static int setup(void **state)
{
	(void)state;
	fake_reset();
	err = (struct error){ 0 };
	seen[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_close();
	return 0;
}

static struct evdev *open_node(const char *path)
{
	struct evdev *e = evdev_open(&fake_os, "/nonexistent", path, &err);

	if (!e)
		print_error("%s\n", err.text);
	assert_non_null(e);
	return e;
}

/* All keys of a keyboard have a usage, and no two the same one. */
static void test_map(void **state)
{
	unsigned of[256] = { 0 };

	(void)state;
	for (unsigned code = 0; code < KEY_CNT; code++) {
		unsigned usage = evdev_usage(code);

		assert_true(!usage || (usage >= 4 && usage <= 0xe7 && !of[usage]));
		of[usage] = code;
	}
	for (unsigned code = KEY_ESC; code <= KEY_KPDOT; code++)
		assert_int_not_equal(evdev_usage(code), 0);
	for (unsigned code = KEY_KPENTER; code <= KEY_DELETE; code++)
		assert_true(evdev_usage(code) || code == KEY_LINEFEED || code == KEY_MACRO);
	for (unsigned usage = 4; usage <= 0x65; usage++)
		assert_true(of[usage] || usage == 0x32); /* Non-US #: Linux says KEY_BACKSLASH */
	for (unsigned usage = 0xe0; usage <= 0xe7; usage++)
		assert_int_not_equal(of[usage], 0);
	assert_int_equal(evdev_usage(KEY_102ND), 0x64);
	assert_int_equal(evdev_usage(KEY_VOLUMEUP), 0x80);
	assert_int_equal(evdev_usage(BTN_LEFT), 0);
	assert_int_equal(evdev_button(BTN_MIDDLE), 4);
	assert_int_equal(evdev_button(KEY_A), 0);
}

static void refused(const char *path, const char *text)
{
	assert_null(evdev_open(&fake_os, "/nonexistent", path, &err));
	if (!strstr(err.text, text))
		print_error("%s\n", err.text);
	assert_non_null(strstr(err.text, text));
	assert_null(strchr(err.text, '\n'));
}

static void test_refused(void **state)
{
	(void)state;
	refused("/none", "/none does not exist: ls /dev/input/by-id");
	refused("/pad", "/pad (A Touchpad) is neither a keyboard nor a mouse: touchpads");
	fake_node[FAKE_KEYBOARD].open_ret = -EACCES;
	refused("/keyboard", "no permission to open it: run as root, or put this line");
	assert_non_null(strstr(err.text, "may read every key of every session"));
	fake_node[FAKE_KEYBOARD].open_ret = -ENOTTY;
	refused("/keyboard", "/keyboard is no input device");
	fake_node[FAKE_SECOND].other = true;
	refused("/second", "/second (Second?Keyboard): another program has grabbed it");
	/* The real kernel's side of it. */
	assert_int_equal(evdev_here.open("/dev/null"), -ENOTTY);
	assert_int_equal(evdev_here.open("/"), -ENOTTY);
	assert_int_equal(evdev_here.open("/nonexistent"), -ENOENT);
}

static void test_events(void **state)
{
	struct evdev *k = open_node("/keyboard"), *m = open_node("/mouse");

	(void)state;
	assert_true(evdev_has_keys(k) && !evdev_has_mouse(k));
	assert_true(!evdev_has_keys(m) && evdev_has_mouse(m));
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
	assert_int_equal(fake_node[FAKE_KEYBOARD].grabs, 1); /* it was tried */
	fake_key(FAKE_KEYBOARD, KEY_A, true);
	fake_event(FAKE_KEYBOARD, EV_KEY, KEY_A, 2);
	fake_event(FAKE_KEYBOARD, EV_MSC, MSC_SCAN, 4);
	fake_event(FAKE_KEYBOARD, EV_KEY, 0xffff, 1);
	assert_int_equal(evdev_read(k, &sink), 0);
	assert_true(evdev_is_down(k, KEY_A));
	fake_key(FAKE_KEYBOARD, KEY_A, false);
	assert_int_equal(evdev_read(k, &sink), 0);
	assert_string_equal(seen, "+30 -30 ");
	assert_false(evdev_any_down(k));
	seen[0] = '\0';
	/* A click stands between what was moved before and after it. */
	fake_event(FAKE_MOUSE, EV_REL, REL_X, 3);
	fake_event(FAKE_MOUSE, EV_REL, REL_Y, -4);
	fake_event(FAKE_MOUSE, EV_KEY, BTN_LEFT, 1);
	fake_event(FAKE_MOUSE, EV_REL, REL_WHEEL, 1);
	fake_event(FAKE_MOUSE, EV_REL, REL_X, 1);
	fake_event(FAKE_MOUSE, EV_SYN, SYN_REPORT, 0);
	assert_int_equal(evdev_read(m, &sink), 0);
	assert_string_equal(seen, "(3 -4 0) +272 (1 0 1) ");
	fake_event(FAKE_MOUSE, EV_REL, REL_X, INT32_MAX);
	fake_event(FAKE_MOUSE, EV_REL, REL_X, INT32_MAX);
	assert_int_equal(evdev_read(m, &sink), 0);
	fake_unplug(FAKE_MOUSE);
	assert_int_equal(evdev_read(m, &sink), -ENODEV);
	evdev_free(k);
	evdev_free(m);
}

/* A release among the events that were thrown away is found. */
static void test_dropped(void **state)
{
	struct evdev *k = open_node("/keyboard");

	(void)state;
	fake_key(FAKE_KEYBOARD, KEY_A, true);
	assert_int_equal(evdev_read(k, &sink), 0);
	fake_bit(fake_node[FAKE_KEYBOARD].down, KEY_A, false);
	fake_bit(fake_node[FAKE_KEYBOARD].down, KEY_B, true);
	fake_event(FAKE_KEYBOARD, EV_SYN, SYN_DROPPED, 0);
	fake_event(FAKE_KEYBOARD, EV_KEY, KEY_C, 2);
	assert_int_equal(evdev_read(k, &sink), 0);
	assert_string_equal(seen, "+30 ");
	fake_event(FAKE_KEYBOARD, EV_SYN, SYN_REPORT, 0);
	assert_int_equal(evdev_read(k, &sink), 0);
	assert_string_equal(seen, "+30 -30 +48 ");
	evdev_free(k);
}

static void test_grab(void **state)
{
	struct evdev *k;

	(void)state;
	fake_bit(fake_node[FAKE_KEYBOARD].down, KEY_ENTER, true); /* that started us */
	k = open_node("/keyboard");
	assert_int_equal(evdev_grab(k, true), -EAGAIN);
	fake_key(FAKE_KEYBOARD, KEY_ENTER, false);
	assert_int_equal(evdev_read(k, &sink), 0);
	/* Pressed, and not read yet. */
	fake_key(FAKE_KEYBOARD, KEY_B, true);
	assert_int_equal(evdev_grab(k, true), -EAGAIN);
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
	fake_key(FAKE_KEYBOARD, KEY_B, false);
	assert_int_equal(evdev_read(k, &sink), 0);
	assert_int_equal(evdev_grab(k, true), 0);
	assert_int_equal(evdev_grab(k, true), 0);
	assert_true(fake_is_grabbed(FAKE_KEYBOARD));
	evdev_free(k);
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
}

static void leds_are(unsigned num, unsigned caps)
{
	struct input_event e[4];

	assert_int_equal(read(fake_node[FAKE_KEYBOARD].peer, e, sizeof(e)), sizeof(e));
	assert_int_equal(e[0].code, LED_NUML);
	assert_int_equal(e[0].value, num);
	assert_int_equal(e[1].code, LED_CAPSL);
	assert_int_equal(e[1].value, caps);
	assert_int_equal(e[3].type, EV_SYN);
}

static void test_leds(void **state)
{
	struct evdev *k = open_node("/keyboard");
	struct input_event e;

	(void)state;
	evdev_set_leds(k, 2); /* it is the host's */
	assert_int_equal(read(fake_node[FAKE_KEYBOARD].peer, &e, sizeof(e)), -1);
	fake_bit(fake_node[FAKE_KEYBOARD].lit, LED_NUML, true);
	assert_int_equal(evdev_grab(k, true), 0);
	evdev_set_leds(k, 2);
	leds_are(0, 1);
	assert_int_equal(evdev_grab(k, false), 0);
	leds_are(1, 0);
	evdev_free(k);
}

static void test_back(void **state)
{
	struct evdev *k = open_node("/keyboard");

	(void)state;
	fake_unplug(FAKE_KEYBOARD);
	evdev_lose(k);
	fake_node[FAKE_KEYBOARD].open_ret = -ENOENT;
	assert_int_equal(evdev_reopen(k, &err), -ENOENT);
	fake_node[FAKE_KEYBOARD].open_ret = 0;
	fake_node[FAKE_KEYBOARD].product = 7;
	assert_int_equal(evdev_reopen(k, &err), -ENXIO);
	assert_int_equal(evdev_fd(k), -1);
	assert_int_equal(evdev_grab(k, true), -ENODEV);
	fake_unplug(FAKE_KEYBOARD);
	fake_node[FAKE_KEYBOARD].product = 0;
	assert_int_equal(evdev_reopen(k, &err), 0);
	assert_true(evdev_fd(k) >= 0);
	evdev_free(k);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_map),  T(test_refused), T(test_events), T(test_dropped),
		T(test_grab), T(test_leds),    T(test_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
