/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A keyboard or mouse of the host, by its node in /dev/input (linux/input.h).
 *
 * While a node is grabbed, its events come to nobody else. A grab ends with the file descriptor, so
 * the host has its devices again however this process ends.
 *
 * Threads: an evdev belongs to one thread at a time.
 */
#ifndef DEVICES_USB_EVDEV_H
#define DEVICES_USB_EVDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/error.h"

#define EVDEV_NAME_SIZE 80

#define EVDEV_CTRL_LEFT	 1u
#define EVDEV_CTRL_RIGHT 2u
#define EVDEV_CTRL_BOTH	 3u

/* The kernel, or that of a test. Both return -errno. */
struct evdev_os {
	int (*open)(const char *path); /* also refuses what is no input device, with -ENOTTY */
	int (*ioctl)(int fd, unsigned long request, void *arg);
};
extern const struct evdev_os evdev_here;

/* The HID usage of a key of Linux, and the bit of a mouse's button; 0: it has none. */
uint8_t evdev_usage(unsigned code);
uint8_t evdev_button(unsigned code);

struct evdev;

/* What a node says, in its order. */
struct evdev_sink {
	/* A key or button is pressed or released; evdev_is_down() knows of it already. */
	void (*key)(void *, unsigned code, bool down);
	void (*move)(void *, int dx, int dy, int wheel);
	void *arg;
};

#define EVDEV_REMEDY_SIZE 400
/* What gives this process the permission to open the node: a sentence with the udev rule. */
void evdev_remedy(const char *root, const char *path, char buf[EVDEV_REMEDY_SIZE]);
/* Opens the node, and looks whether it is a keyboard or mouse, and whether it can be grabbed; it is
 * not grabbed afterwards. root: of /sys and /proc, which are read for messages. The path must stay
 * valid. NULL with *err set. */
struct evdev *evdev_open(const struct evdev_os *, const char *root, const char *path,
			 struct error *);
void evdev_free(struct evdev *); /* NULL is allowed */
/* Opens the same device again after it was lost. -errno with *err set; -ENXIO: another device has
 * its path now. */
int evdev_reopen(struct evdev *, struct error *);
/* The device is gone; evdev_reopen() may bring it back. */
void evdev_lose(struct evdev *);

int evdev_fd(const struct evdev *); /* -1: it is lost */
const char *evdev_path(const struct evdev *);
const char *evdev_name(const struct evdev *); /* what the device says; no control characters */
bool evdev_same(const struct evdev *, const struct evdev *); /* one device by two paths */
bool evdev_has_keys(const struct evdev *);
bool evdev_has_mouse(const struct evdev *);
/* Those that it has, of the keys that switch devices: EVDEV_CTRL_LEFT, EVDEV_CTRL_RIGHT. */
unsigned evdev_ctrl_keys(const struct evdev *);
bool evdev_is_down(const struct evdev *, unsigned code);
bool evdev_any_down(const struct evdev *);
bool evdev_is_grabbed(const struct evdev *);

/* Takes the device from the host, or gives it back. -EAGAIN: a key is down. Whoever has seen a key
 * go down must also see that it goes up; try again when the next event was read. -EBUSY: another
 * program has grabbed it. -ENODEV. */
int evdev_grab(struct evdev *, bool grab);
/* Reads what is there, but not for ever. -ENODEV: the device is gone. */
int evdev_read(struct evdev *, const struct evdev_sink *);
/* Switches LEDs: Num Lock, Caps Lock, Scroll Lock, from bit 0 on; only while it is grabbed. The
 * host's own LEDs return with the device. */
void evdev_set_leds(struct evdev *, uint8_t leds);
/* Sets *err: another program has grabbed it; names those that have it open. Returns -EBUSY. */
int evdev_busy(const struct evdev *, struct error *);

#endif
