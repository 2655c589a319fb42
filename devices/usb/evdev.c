/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See evdev.h. A node says each change of a key as an event, and ends what belongs together with
 * SYN_REPORT. When this process has read too slowly, the kernel throws events away and says
 * SYN_DROPPED; then the state of all keys is asked for, so that no release is missed.
 */
#include "devices/usb/evdev.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/input.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vfio/host/sysfs.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/hostfs.h"

#define EVENTS	    64u /* that are read at once */
#define READS	    16u /* in one call, so that a storm of events does not hold the thread */
#define LEDS	    3u
#define KEY_BYTES   (KEY_CNT / 8)
#define INPUT_MAJOR 13
#define RULES_FILE  "/etc/udev/rules.d/70-minivmm-input.rules"

struct key_set {
	uint8_t bits[KEY_BYTES];
};

struct evdev {
	const struct evdev_os *os;
	const char *root, *path;
	int fd;
	char name[EVDEV_NAME_SIZE];
	struct input_id id;
	dev_t rdev; /* 0: not known */
	struct key_set has, down;
	bool mouse, leds, grabbed;
	uint8_t host_leds;
	bool dropped; /* events were, up to the next SYN_REPORT */
	int dx, dy, wheel;
};

static bool bit(const uint8_t *bits, unsigned n)
{
	return bits[n / 8] >> n % 8 & 1;
}

/* ---- the kernel ---- */

static int here_open(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != INPUT_MAJOR)
		return -ENOTTY;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static int here_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

const struct evdev_os evdev_here = { here_open, here_ioctl };

static int node_ioctl(const struct evdev *e, unsigned long request, void *arg)
{
	return e->os->ioctl(e->fd, request, arg);
}

static int node_grab(struct evdev *e, bool grab)
{
	return node_ioctl(e, EVIOCGRAB, grab ? (void *)1 : NULL);
}

static int node_keys(struct evdev *e, struct key_set *down)
{
	memset(down, 0, sizeof(*down));
	return node_ioctl(e, EVIOCGKEY(sizeof(down->bits)), down->bits);
}

/* ---- messages ---- */

/* "event3" of /dev/input/by-id/...; "" if there is no such file. */
static void node_name(const char *path, char *buf, size_t size)
{
	char real[PATH_MAX];
	const char *slash;

	snprintf(buf, size, "%s", "");
	if (realpath(path, real) && (slash = strrchr(real, '/')))
		snprintf(buf, size, "%s", slash + 1);
}

void evdev_remedy(const char *root, const char *path, char buf[EVDEV_REMEDY_SIZE])
{
	char node[32], vendor[8], product[8];

	node_name(path, node, sizeof(node));
	hostfs_line(root, vendor, sizeof(vendor), "/sys/class/input/%s/device/id/vendor", node);
	hostfs_line(root, product, sizeof(product), "/sys/class/input/%s/device/id/product", node);
	snprintf(buf, EVDEV_REMEDY_SIZE,
		 "run as root, or put this line into " RULES_FILE " and plug the device in again: "
		 "SUBSYSTEM==\"input\", ATTRS{id/vendor}==\"%s\", ATTRS{id/product}==\"%s\", "
		 "MODE=\"0660\", GROUP=\"kvm\"; the group input would do, too, but may read every "
		 "key of every session",
		 vendor, product);
}

static int say_open(const struct evdev *e, int ret, struct error *err)
{
	char remedy[EVDEV_REMEDY_SIZE];

	if (ret == -EACCES || ret == -EPERM) {
		evdev_remedy(e->root, e->path, remedy);
		return error_set(err, ret, "%s: there is no permission to open it: %s", e->path,
				 remedy);
	}
	if (ret == -ENOENT)
		return error_set(err, ret,
				 "%s does not exist: ls /dev/input/by-id shows what is there; "
				 "keyboards end in -event-kbd, mice in -event-mouse",
				 e->path);
	if (ret == -ENOTTY)
		return error_set(err, ret,
				 "%s is no input device: take one of /dev/input/by-id that has "
				 "-event- in its name",
				 e->path);
	return error_set(err, ret, "%s: %s", e->path, strerror(-ret));
}

struct holder_list {
	char text[160];
	unsigned n;
};

static int add_holder(void *arg, const char *pid, const char *comm, const char *path)
{
	struct holder_list *h = arg;
	size_t len = strlen(h->text);

	(void)path;
	if (strtoul(pid, NULL, 10) != (unsigned long)getpid())
		snprintf(h->text + len, sizeof(h->text) - len, "%s%s (process %s)",
			 h->n++ ? ", " : "", comm, pid);
	return 0;
}

int evdev_busy(const struct evdev *e, struct error *err)
{
	struct holder_list h = { 0 };
	struct sysfs_files f = { 0 };
	char node[32];

	node_name(e->path, node, sizeof(node));
	sysfs_add_file(&f, "/dev/input", node);
	sysfs_holders(e->root, &f, add_holder, &h);
	error_visible(h.text);
	return error_set(err, -EBUSY,
			 "%s (%s): another program has grabbed it%s%s: end that program, or "
			 "another machine with the same --input",
			 e->path, e->name, h.n ? "; it is open in " : "", h.text);
}

/* ---- what it is ---- */

static void read_mouse(struct evdev *e)
{
	uint8_t rel[(REL_CNT + 7) / 8] = { 0 };

	node_ioctl(e, EVIOCGBIT(EV_REL, sizeof(rel)), rel);
	e->mouse = bit(rel, REL_X) && bit(rel, REL_Y) && bit(e->has.bits, BTN_LEFT);
}

static void read_leds(struct evdev *e)
{
	uint8_t led[(LED_CNT + 7) / 8] = { 0 };

	node_ioctl(e, EVIOCGBIT(EV_LED, sizeof(led)), led);
	e->leds = bit(led, LED_CAPSL) || bit(led, LED_NUML);
}

static int read_abilities(struct evdev *e, struct error *err)
{
	int ret = node_ioctl(e, EVIOCGID, &e->id);
	struct stat st;

	if (ret < 0)
		return say_open(e, ret == -EINVAL ? -ENOTTY : ret, err);
	memset(e->name, 0, sizeof(e->name));
	node_ioctl(e, EVIOCGNAME(sizeof(e->name) - 1), e->name);
	error_visible(e->name);
	memset(&e->has, 0, sizeof(e->has));
	node_ioctl(e, EVIOCGBIT(EV_KEY, sizeof(e->has.bits)), e->has.bits);
	read_mouse(e);
	read_leds(e);
	node_keys(e, &e->down);
	e->rdev = fstat(e->fd, &st) == 0 && S_ISCHR(st.st_mode) ? st.st_rdev : 0;
	if (evdev_has_keys(e) || e->mouse)
		return 0;
	return error_set(err, -EINVAL, "%s (%s) is neither a keyboard nor a mouse%s", e->path,
			 e->name,
			 bit(e->has.bits, BTN_TOUCH) || bit(e->has.bits, BTN_LEFT)
				 ? ": touchpads, touchscreens and tablets are not supported"
				 : "");
}

/* The other events of this moment are lost to the host, so it is short. */
static int try_grab(struct evdev *e, struct error *err)
{
	int ret = node_grab(e, true);

	if (ret == -EBUSY)
		return evdev_busy(e, err);
	if (ret < 0)
		return error_set(err, ret, "%s: it cannot be grabbed: %s", e->path, strerror(-ret));
	node_grab(e, false);
	return 0;
}

static int node_open(struct evdev *e, struct error *err)
{
	int ret = e->os->open(e->path);

	if (ret < 0)
		return say_open(e, ret, err);
	e->fd = ret;
	ret = read_abilities(e, err);
	if (ret < 0)
		evdev_lose(e);
	return ret;
}

struct evdev *evdev_open(const struct evdev_os *os, const char *root, const char *path,
			 struct error *err)
{
	struct evdev *e = calloc(1, sizeof(*e));

	if (!e) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	*e = (struct evdev){ .os = os, .root = root, .path = path, .fd = -1 };
	if (node_open(e, err) == 0 && try_grab(e, err) == 0)
		return e;
	evdev_free(e);
	return NULL;
}

void evdev_free(struct evdev *e)
{
	if (!e)
		return;
	evdev_grab(e, false);
	evdev_lose(e);
	free(e);
}

int evdev_reopen(struct evdev *e, struct error *err)
{
	const struct evdev before = *e;
	int ret = node_open(e, err);

	if (ret < 0)
		return ret;
	if (memcmp(&before.id, &e->id, sizeof(e->id)) == 0 && strcmp(before.name, e->name) == 0)
		return 0;
	error_set(err, -ENXIO, "%s is another device now: %s, not %s", e->path, e->name,
		  before.name);
	evdev_lose(e);
	/* It is still the one before that is waited for. */
	e->id = before.id;
	memcpy(e->name, before.name, sizeof(e->name));
	return -ENXIO;
}

void evdev_lose(struct evdev *e)
{
	cleanup_close(&e->fd);
	e->fd = -1;
	e->grabbed = e->dropped = false;
	e->dx = e->dy = e->wheel = 0;
	memset(&e->down, 0, sizeof(e->down));
}

int evdev_fd(const struct evdev *e)
{
	return e->fd;
}

const char *evdev_path(const struct evdev *e)
{
	return e->path;
}

const char *evdev_name(const struct evdev *e)
{
	return e->name;
}

bool evdev_same(const struct evdev *a, const struct evdev *b)
{
	return a->rdev && a->rdev == b->rdev;
}

bool evdev_has_keys(const struct evdev *e)
{
	for (unsigned i = 0; i < KEY_CNT; i++)
		if (evdev_usage(i) && bit(e->has.bits, i))
			return true;
	return false;
}

bool evdev_has_mouse(const struct evdev *e)
{
	return e->mouse;
}

unsigned evdev_ctrl_keys(const struct evdev *e)
{
	return (bit(e->has.bits, KEY_LEFTCTRL) ? EVDEV_CTRL_LEFT : 0) |
	       (bit(e->has.bits, KEY_RIGHTCTRL) ? EVDEV_CTRL_RIGHT : 0);
}

bool evdev_is_down(const struct evdev *e, unsigned code)
{
	return code < KEY_CNT && bit(e->down.bits, code);
}

bool evdev_any_down(const struct evdev *e)
{
	static const struct key_set none;

	return memcmp(&e->down, &none, sizeof(none)) != 0;
}

bool evdev_is_grabbed(const struct evdev *e)
{
	return e->grabbed;
}

/* ---- LEDs ---- */

static const uint16_t led_codes[LEDS] = { LED_NUML, LED_CAPSL, LED_SCROLLL };

static uint8_t leds_now(const struct evdev *e)
{
	uint8_t on[(LED_CNT + 7) / 8] = { 0 }, leds = 0;

	node_ioctl(e, EVIOCGLED(sizeof(on)), on);
	for (unsigned i = 0; i < LEDS; i++)
		leds |= (uint8_t)(bit(on, led_codes[i]) << i);
	return leds;
}

static void leds_write(struct evdev *e, uint8_t leds)
{
	struct input_event ev[LEDS + 1] = { [LEDS] = { .type = EV_SYN, .code = SYN_REPORT } };

	for (unsigned i = 0; i < LEDS; i++)
		ev[i] = (struct input_event){
			.type = EV_LED,
			.code = led_codes[i],
			.value = leds >> i & 1,
		};
	if (write(e->fd, ev, sizeof(ev)) < 0)
		return; /* a keyboard that is just leaving */
}

void evdev_set_leds(struct evdev *e, uint8_t leds)
{
	if (e->leds && e->grabbed)
		leds_write(e, leds);
}

/* ---- the grab ---- */

int evdev_grab(struct evdev *e, bool grab)
{
	struct key_set now;
	int ret;

	if (e->fd < 0)
		return -ENODEV;
	if (grab == e->grabbed)
		return 0;
	if (grab && evdev_any_down(e))
		return -EAGAIN;
	ret = node_grab(e, grab);
	if (ret < 0)
		return ret;
	e->grabbed = grab;
	if (!grab && e->leds)
		leds_write(e, e->host_leds);
	if (!grab)
		return 0;
	/* Was a key pressed just before? The host has seen it. */
	if (node_keys(e, &now) < 0 || memcmp(&now, &e->down, sizeof(now)) != 0) {
		node_grab(e, false);
		e->grabbed = false;
		e->down = now;
		return -EAGAIN;
	}
	e->host_leds = leds_now(e);
	return 0;
}

/* ---- events ---- */

static void flush_motion(struct evdev *e, const struct evdev_sink *to)
{
	if (e->dx || e->dy || e->wheel)
		to->move(to->arg, e->dx, e->dy, e->wheel);
	e->dx = e->dy = e->wheel = 0;
}

static void set_key(struct evdev *e, const struct evdev_sink *to, unsigned code, bool down)
{
	if (code >= KEY_CNT || bit(e->down.bits, code) == down)
		return;
	flush_motion(e, to);
	e->down.bits[code / 8] ^= (uint8_t)(1u << code % 8);
	to->key(to->arg, code, down);
}

/* After events were dropped. */
static void read_keys(struct evdev *e, const struct evdev_sink *to)
{
	struct key_set now;

	if (node_keys(e, &now) < 0)
		return;
	for (unsigned i = 0; i < KEY_CNT; i++)
		set_key(e, to, i, bit(now.bits, i));
}

static void axis_add(int *axis, int v)
{
	if (__builtin_add_overflow(*axis, v, axis))
		*axis = 0;
}

static void event_relative(struct evdev *e, const struct input_event *ev)
{
	if (ev->code == REL_X)
		axis_add(&e->dx, ev->value);
	else if (ev->code == REL_Y)
		axis_add(&e->dy, ev->value);
	else if (ev->code == REL_WHEEL)
		axis_add(&e->wheel, ev->value);
}

static void event_sync(struct evdev *e, const struct evdev_sink *to, unsigned code)
{
	if (code == SYN_DROPPED) {
		e->dropped = true;
		e->dx = e->dy = e->wheel = 0;
	} else if (code == SYN_REPORT && e->dropped) {
		e->dropped = false;
		read_keys(e, to);
	} else if (code == SYN_REPORT) {
		flush_motion(e, to);
	}
}

static void event_take(struct evdev *e, const struct evdev_sink *to, const struct input_event *ev)
{
	if (ev->type == EV_SYN)
		event_sync(e, to, ev->code);
	else if (e->dropped)
		return;
	else if (ev->type == EV_KEY && ev->value != 2) /* 2: the host repeats it */
		set_key(e, to, ev->code, ev->value != 0);
	else if (ev->type == EV_REL)
		event_relative(e, ev);
}

int evdev_read(struct evdev *e, const struct evdev_sink *to)
{
	struct input_event ev[EVENTS];
	ssize_t n;

	for (unsigned i = 0; i < READS; i++) {
		n = read(e->fd, ev, sizeof(ev));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -ENODEV;
		for (size_t k = 0; k < (size_t)n / sizeof(*ev); k++)
			event_take(e, to, &ev[k]);
		if ((size_t)n < sizeof(ev))
			return 0;
	}
	return 0;
}
