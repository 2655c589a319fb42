/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of a keyboard and a mouse, as a strange device sends them, on their way to the guest;
 * devices leave and come back meanwhile. At the end no key and no button may be down for the guest.
 * A step has 6 bytes: what it does, type, code, value. */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/iothread.h"
#include "devices/usb/usb_device.h"
#include "devices/usb/usb_input.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

#define require(x)	       ((x) ? (void)0 : abort())
#define assert_int_equal(a, b) ((void)((a) == (b))) /* nobody may read what is written */
#include "tests/unit/fake_evdev.h"

#define STEP	  6u
#define STEPS_MAX 256u

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* ---- the thread: it runs when it is asked to ---- */

struct iothread {
	const struct iothread_ops *ops;
	void *arg;
	int wake_fd;
};

static struct iothread thread;

struct iothread *__wrap_iothread_new(const char *name, int wake_fd, const struct iothread_ops *ops,
				     void *arg, struct error *err);
void __wrap_iothread_resume(struct iothread *);
void __wrap_iothread_pause(struct iothread *);
void __wrap_iothread_free(struct iothread *);
bool __wrap_iothread_wanted(const struct iothread *);

struct iothread *__wrap_iothread_new(const char *name, int wake_fd, const struct iothread_ops *ops,
				     void *arg, struct error *err)
{
	(void)name;
	(void)err;
	thread = (struct iothread){ ops, arg, wake_fd };
	return &thread;
}

void __wrap_iothread_resume(struct iothread *t)
{
	(void)t;
}

void __wrap_iothread_pause(struct iothread *t)
{
	(void)t;
}

void __wrap_iothread_free(struct iothread *t)
{
	(void)t;
}

bool __wrap_iothread_wanted(const struct iothread *t)
{
	(void)t;
	return false;
}

static void turn(void)
{
	eventfd_signal(thread.wake_fd);
	thread.ops->run(thread.arg);
}

/* ---- the guest ---- */

static struct usb_device *dev[2];
static uint8_t last[2][8];
static unsigned n_devs;
static struct evloop *loop;

static void complete(struct usb_device *d, struct usb_xfer *t)
{
	(void)d;
	t->n_packets = 1;
}

static void control(struct usb_device *d, uint8_t request, uint8_t value)
{
	struct usb_xfer t = { .setup = { 0, request, value } };

	d->ops->submit(d, &t);
}

static int attach(void *controller, unsigned port, struct usb_device *d, struct error *e)
{
	(void)controller;
	(void)port;
	(void)e;
	d->complete = complete;
	require(d->ops->attached(d, loop) == 0);
	control(d, 9, 1);
	dev[n_devs] = d;
	return (int)++n_devs;
}

static bool poll_one(unsigned i)
{
	struct iovec v = { last[i], 8 };
	struct usb_xfer t = { .endpoint = 0x81, .iov = &v, .niov = 1, .len = 8 };

	dev[i]->ops->submit(dev[i], &t);
	if (t.n_packets)
		return true;
	dev[i]->ops->cancel(dev[i], &t);
	return false;
}

/* More reports than the queue has places for, each with all the motion that may wait, are a fault.
 */
static void poll_all(unsigned i)
{
	unsigned n = 0;

	while (poll_one(i))
		require(n++ < 32 * 260);
}

/* ---- */

static void step(const uint8_t *p)
{
	unsigned node = p[0] & 1 ? FAKE_MOUSE : FAKE_KEYBOARD;
	int16_t value = (int16_t)(p[4] | p[5] << 8);

	switch (p[0] >> 1) {
	case 0x40:
		poll_one(p[0] & 1);
		break;
	case 0x41:
		turn();
		if (fake_node[node].peer >= 0)
			fake_unplug(node);
		turn();
		break;
	case 0x42:
		fake_node[node].open_ret = p[1] & 1 ? -ENOENT : 0;
		fake_node[node].product = p[1] >> 1 & 1;
		require(write(fake_events[1], "e", 1) == 1);
		turn();
		break;
	case 0x43:
		fake_node[node].other = p[1] & 1;
		break;
	case 0x44:
		turn();
		break;
	default:
		if (fake_node[node].peer >= 0)
			fake_event(node, p[1] & 0x1f, (uint16_t)(p[2] | p[3] << 8), value);
	}
}

static struct usb_input *setup(void)
{
	const struct usb_input_env env = { fake_events_open, fake_events_next, attach, NULL };
	struct usb_input *in;

	log_set_level(LOG_ERROR);
	signal(SIGPIPE, SIG_IGN); /* a node that is gone is a socket here */
	loop = evloop_new();
	require(pipe2(fake_events, O_NONBLOCK | O_CLOEXEC) == 0);
	in = usb_input_new(&env, NULL);
	require(in != NULL);
	return in;
}

static bool is_empty(unsigned i)
{
	static const uint8_t none[8];

	/* Of a mouse only the buttons. */
	return i == 0 ? memcmp(last[i], none, 8) == 0 : last[i][0] == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct usb_input *in;
	static const unsigned nodes[2] = { FAKE_KEYBOARD, FAKE_MOUSE };
	struct evdev *e[2];

	fake_reset();
	if (!in)
		in = setup();
	for (unsigned i = 0; i < 2; i++) {
		e[i] = evdev_open(&fake_os, "/nonexistent", fake_node[nodes[i]].path, NULL);
		require(e[i] && usb_input_add(in, e[i], NULL) == 0);
	}
	turn();
	for (unsigned i = 0; i < STEPS_MAX && size >= STEP; i++, data += STEP, size -= STEP)
		step(data);
	turn();
	for (unsigned i = 0; i < 2; i++)
		usb_input_remove(in, e[i]);
	for (unsigned i = 0; i < 2; i++) {
		poll_all(i);
		require(is_empty(i));
		evdev_free(e[i]);
	}
	fake_close();
	return 0;
}
