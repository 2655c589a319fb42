/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/usb/input_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/usb_input.h"
#include "vmm/core/log.h"

struct input_options {
	const char *path;
};

struct input_state {
	struct evdev *dev;
	struct usb_input *plugged; /* NULL: it is only opened */
};

static const char *path_of(const struct device *d)
{
	return ((const struct input_options *)d->opts)->path;
}

static const struct evdev *dev_of(const struct device *d)
{
	const struct input_state *s = d->state;

	return s ? s->dev : NULL;
}

static int input_check(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct device *other = NULL;

	while ((other = device_next(l, &input_class, other)))
		if (strcmp(path_of(d), path_of(other)) == 0)
			return error_set(err, -EINVAL, "%s is given twice", path_of(d));
	return 0;
}

/* ---- opening ---- */

static int check_same(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct device *other = NULL;

	while ((other = device_next(l, &input_class, other)))
		if (other != d && dev_of(other) && evdev_same(dev_of(other), dev_of(d)))
			return error_set(err, -EINVAL, "%s is the same device as %s", path_of(d),
					 path_of(other));
	return 0;
}

/* The devices are opened in the order of the list. */
static void warn_toggle(const struct device *d, const struct device_list *l)
{
	unsigned keys = 0;

	if (device_next(l, &input_class, d))
		return;
	for (d = NULL; (d = device_next(l, &input_class, d));)
		keys |= dev_of(d) ? evdev_ctrl_keys(dev_of(d)) : 0;
	if (keys != EVDEV_CTRL_BOTH)
		log_warn("no --input device has both Ctrl keys, which give the devices back to the "
			 "host: you can end the machine only from elsewhere, as by ssh");
}

static int input_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct input_state *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	d->state = s;
	s->dev = evdev_open(&evdev_here, "", path_of(d), err);
	if (!s->dev || check_same(d, env->devices, err) < 0)
		return err->code;
	warn_toggle(d, env->devices);
	return 0;
}

static int input_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct input_state *s = d->state;

	if (usb_input_add(env->input, s->dev, err) < 0)
		return error_prefix(err, "%s", path_of(d));
	s->plugged = env->input;
	return 0;
}

static bool input_close(struct device *d)
{
	struct input_state *s = d->state;

	if (!s)
		return true;
	if (s->plugged)
		usb_input_remove(s->plugged, s->dev);
	evdev_free(s->dev);
	free(s);
	d->state = NULL;
	return true;
}

const struct device_class input_class = {
	.name = "input device",
	.option = "input",
	.arg = "EVDEV",
	.help = "  --input EVDEV  keys, mouse\n",
	/* The host loses its keyboard, so this comes after what may fail. */
	.stage = DEVICE_WRITES,
	.most = 16,
	.opts_size = sizeof(struct input_options),
	.check = input_check,
	.open = input_open,
	.plug = input_plug,
	.close = input_close,
};
