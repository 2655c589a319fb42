/* SPDX-License-Identifier: BSD-2-Clause */
/* Input devices of a kernel that is not there: an open node is one end of a pair of sockets, and
 * the test writes events into the other. Include it behind cmocka.h. */
#ifndef FAKE_EVDEV_H
#define FAKE_EVDEV_H

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/usb/evdev.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

struct fake_node {
	const char *path, *name;
	int open_ret; /* an error of open() */
	int fd, peer; /* -1: it is not open */
	uint16_t product;
	bool other;   /* another program has grabbed it */
	bool grabbed; /* by us */
	unsigned grabs;
	uint8_t keys[KEY_CNT / 8], rel[2], led[2], down[KEY_CNT / 8], lit[2];
};

enum { FAKE_KEYBOARD, FAKE_SECOND, FAKE_MOUSE, FAKE_PAD, FAKE_NODES };

static struct fake_node fake_node[FAKE_NODES];
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void fake_bit(uint8_t *bits, unsigned n, bool on)
{
	bits[n / 8] = (uint8_t)((bits[n / 8] & ~(1u << n % 8)) | (unsigned)on << n % 8);
}

static inline void fake_keyboard(struct fake_node *n)
{
	for (unsigned i = KEY_ESC; i <= KEY_COMPOSE; i++)
		fake_bit(n->keys, i, true);
	fake_bit(n->led, LED_NUML, true);
	fake_bit(n->led, LED_CAPSL, true);
}

static inline void fake_reset(void)
{
	memset(fake_node, 0, sizeof(fake_node));
	for (unsigned i = 0; i < FAKE_NODES; i++)
		fake_node[i].fd = fake_node[i].peer = -1;
	fake_node[FAKE_KEYBOARD].path = "/keyboard";
	fake_node[FAKE_KEYBOARD].name = "A Keyboard";
	fake_keyboard(&fake_node[FAKE_KEYBOARD]);
	fake_node[FAKE_SECOND].path = "/second";
	fake_node[FAKE_SECOND].name = "Second\nKeyboard";
	fake_keyboard(&fake_node[FAKE_SECOND]);
	fake_node[FAKE_MOUSE].path = "/mouse";
	fake_node[FAKE_MOUSE].name = "A Mouse";
	for (unsigned i = BTN_LEFT; i <= BTN_TASK; i++)
		fake_bit(fake_node[FAKE_MOUSE].keys, i, true);
	fake_bit(fake_node[FAKE_MOUSE].rel, REL_X, true);
	fake_bit(fake_node[FAKE_MOUSE].rel, REL_Y, true);
	fake_node[FAKE_PAD].path = "/pad";
	fake_node[FAKE_PAD].name = "A Touchpad";
	fake_bit(fake_node[FAKE_PAD].keys, BTN_LEFT, true);
	fake_bit(fake_node[FAKE_PAD].keys, BTN_TOUCH, true);
}

static inline int fake_open(const char *path)
{
	int pair[2];

	scoped_lock(&fake_lock);
	for (unsigned i = 0; i < FAKE_NODES; i++) {
		struct fake_node *n = &fake_node[i];

		if (strcmp(path, n->path) != 0)
			continue;
		if (n->open_ret)
			return n->open_ret;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		/* One that was closed had this number. */
		for (unsigned k = 0; k < FAKE_NODES; k++) {
			if (fake_node[k].fd != pair[0])
				continue;
			close(fake_node[k].peer);
			fake_node[k].fd = fake_node[k].peer = -1;
		}
		n->grabbed = false;
		n->fd = pair[0];
		n->peer = pair[1];
		return n->fd;
	}
	return -ENOENT;
}

static inline int fake_bytes(void *to, unsigned long request, const void *from, size_t size)
{
	memset(to, 0, _IOC_SIZE(request));
	memcpy(to, from, size < _IOC_SIZE(request) ? size : _IOC_SIZE(request));
	return 0;
}

static inline int fake_grab(struct fake_node *n, bool grab)
{
	if (n->other && grab)
		return -EBUSY;
	if (n->grabbed == grab)
		return grab ? -EBUSY : -EINVAL;
	n->grabbed = grab;
	n->grabs += grab;
	return 0;
}

static inline int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_node *n = fake_node;
	struct input_id id = { .bustype = 3, .vendor = 0x46d };

	scoped_lock(&fake_lock);
	while (n < &fake_node[FAKE_NODES] && n->fd != fd)
		n++;
	if (n == &fake_node[FAKE_NODES] || fd < 0)
		return -EBADF;
	id.product = n->product;
	switch (_IOC_NR(request)) {
	case 0x02:
		return fake_bytes(arg, request, &id, sizeof(id));
	case 0x06:
		return fake_bytes(arg, request, n->name, strlen(n->name));
	case 0x18:
		return fake_bytes(arg, request, n->down, sizeof(n->down));
	case 0x19:
		return fake_bytes(arg, request, n->lit, sizeof(n->lit));
	case 0x20 + EV_KEY:
		return fake_bytes(arg, request, n->keys, sizeof(n->keys));
	case 0x20 + EV_REL:
		return fake_bytes(arg, request, n->rel, sizeof(n->rel));
	case 0x20 + EV_LED:
		return fake_bytes(arg, request, n->led, sizeof(n->led));
	case 0x90:
		return fake_grab(n, arg != NULL);
	}
	return -EINVAL;
}

static const struct evdev_os fake_os = { fake_open, fake_ioctl };

static inline void fake_event(unsigned node, uint16_t type, uint16_t code, int value)
{
	const struct input_event e = { .type = type, .code = code, .value = value };

	scoped_lock(&fake_lock);
	if (type == EV_KEY && value != 2 && code < KEY_CNT)
		fake_bit(fake_node[node].down, code, value);
	assert_int_equal(write(fake_node[node].peer, &e, sizeof(e)), sizeof(e));
}

static inline void fake_key(unsigned node, uint16_t code, bool down)
{
	fake_event(node, EV_KEY, code, down);
	fake_event(node, EV_SYN, SYN_REPORT, 0);
}

static inline void fake_unplug(unsigned node)
{
	scoped_lock(&fake_lock);
	close(fake_node[node].peer);
	fake_node[node].peer = fake_node[node].fd = -1;
	fake_node[node].grabbed = false;
	memset(fake_node[node].down, 0, sizeof(fake_node[node].down));
}

static inline bool fake_is_grabbed(unsigned node)
{
	scoped_lock(&fake_lock);
	return fake_node[node].grabbed;
}

/* For struct usb_input_env: each byte in this pipe is a message that an input device has come. The
 * test makes it. */
static int fake_events[2];

static inline int fake_events_open(struct error *e)
{
	(void)e;
	return dup(fake_events[0]);
}

static inline int fake_events_next(int fd)
{
	char c;

	return read(fd, &c, 1) == 1;
}

static inline void fake_close(void)
{
	for (unsigned i = 0; i < FAKE_NODES; i++)
		if (fake_node[i].peer >= 0)
			close(fake_node[i].peer);
}

#endif
