/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See check_usb.h. USB devices are judged by sysfs alone. An input device is opened, and grabbed
 * for a moment, because the kernel does not say otherwise whether another program has grabbed it.
 */
#include "vmm/cli/check_usb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/usb/evdev.h"
#include "devices/usb/input_options.h"
#include "devices/usb/usb_options.h"
#include "devices/usb/usb_ports.h"
#include "devices/usb/usb_use.h"
#include "vfio/host/preflight/preflight.h"

/* ---- USB devices ---- */

static void say_not_found(struct preflight *p, const struct error *err)
{
	switch (err->code) {
	case -EINVAL:
		preflight_say(p, PREFLIGHT_USB_HUB);
		return;
	case -EEXIST:
		preflight_say(p, PREFLIGHT_USB_SEVERAL, err->text);
		return;
	case -EBUSY:
		preflight_say(p, PREFLIGHT_USB_TAKEN, err->text);
		return;
	case -ENOMEM:
		p->failed = true;
		return;
	}
	preflight_say(p, PREFLIGHT_USB_MISSING);
}

static void say_drivers(struct preflight *p, const struct usb_info *d)
{
	char text[200] = "";
	size_t n = 0;

	for (unsigned i = 0; i < d->n_ifaces && n < sizeof(text); i++) {
		const char *driver = d->iface[i].driver;

		if (driver[0] && !strstr(text, driver))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "",
					      driver);
	}
	if (text[0])
		preflight_say(p, PREFLIGHT_USB_DRIVERS, text);
}

static void say_access(struct preflight *p, const struct usb_info *d)
{
	char node[32], remedy[USB_REMEDY_SIZE];
	struct error err;
	int ret = usb_use_permission(p->root, d, &err);

	usb_info_node(d, node, sizeof(node));
	usb_use_remedy(d, remedy);
	if (ret == -EACCES || ret == -EPERM)
		preflight_say(p, PREFLIGHT_USB_ACCESS, node, remedy);
	else if (ret < 0)
		preflight_say(p, PREFLIGHT_USB_NODE, err.text);
}

static void check_usb_device(struct preflight *p, const struct usb_wish *w)
{
	struct usb_info d;
	struct error err = { 0 };
	char title[140];

	usb_spec_text(&w->spec, p->bdf);
	if (usb_find(p->root, &w->spec, &d, &err) < 0) {
		say_not_found(p, &err);
		return;
	}
	usb_info_title(&d, title, sizeof(title));
	preflight_say(p, PREFLIGHT_USB_OK, title, d.name);
	say_drivers(p, &d);
	say_access(p, &d);
	if (usb_use_host(p->root, &d, &err) < 0)
		preflight_say(p, w->force ? PREFLIGHT_USB_FORCED : PREFLIGHT_USB_USE, err.text);
	if (usb_use_only_keyboard(p->root, &d))
		preflight_say(p, PREFLIGHT_USB_KEYBOARD);
}

/* ---- input devices ---- */

static void say_not_opened(struct preflight *p, const char *path, const struct error *err)
{
	char remedy[EVDEV_REMEDY_SIZE];

	switch (err->code) {
	case -ENOENT:
		preflight_say(p, PREFLIGHT_INPUT_MISSING);
		return;
	case -ENOTTY:
		preflight_say(p, PREFLIGHT_INPUT_NONE);
		return;
	case -EACCES:
	case -EPERM:
		evdev_remedy(p->root, path, remedy);
		preflight_say(p, PREFLIGHT_INPUT_ACCESS, remedy);
		return;
	case -EBUSY:
		preflight_say(p, PREFLIGHT_INPUT_BUSY, err->text);
		return;
	}
	preflight_say(p, PREFLIGHT_INPUT_OTHER, err->text);
}

/* Returns the Ctrl keys that it has. */
static unsigned check_input_device(struct preflight *p, const struct evdev_os *os, const char *path)
{
	struct error err = { 0 };
	struct evdev *e = evdev_open(os, p->root, path, &err);
	unsigned keys;

	snprintf(p->bdf, sizeof(p->bdf), "%s", path);
	if (!e) {
		say_not_opened(p, path, &err);
		return 0;
	}
	preflight_say(p, PREFLIGHT_INPUT_OK, evdev_name(e),
		      !evdev_has_mouse(e) ? "a keyboard"
		      : evdev_has_keys(e) ? "a mouse with keys"
					  : "a mouse");
	keys = evdev_ctrl_keys(e);
	evdev_free(e);
	return keys;
}

void check_usb(struct preflight *p, const struct device_list *l, const struct evdev_os *os)
{
	const struct device *d = NULL;
	unsigned keys = 0;
	struct usb_wish wish;
	bool input = false;

	while ((d = device_next(l, &usb_class, d)))
		if (usb_options_wish(d, &wish))
			check_usb_device(p, &wish);
	while ((d = device_next(l, &input_class, d))) {
		keys |= check_input_device(p, os, device_arg(d));
		input = true;
	}
	if (input && keys != EVDEV_CTRL_BOTH)
		preflight_say(p, PREFLIGHT_INPUT_TOGGLE);
	p->bdf[0] = '\0';
}
