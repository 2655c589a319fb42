/* SPDX-License-Identifier: BSD-2-Clause */
/* A device is described by its class alone. A toy device goes from its argument into a machine and
 * out again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/core/device.h"

static char said[256]; /* the calls, in their order */

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

/* ---- the toy ---- */

struct toy_opts {
	const char *name;
	uint64_t speed;
};

static const struct key toy_keys[] = {
	{ "NAME", KEY_STRING, offsetof(struct toy_opts, name), 0, 0, { 0 } },
	{ "speed", KEY_NUMBER, offsetof(struct toy_opts, speed), 1, 9, { 0 } },
	{ 0 },
};

static const struct toy_opts *toy_opts(const struct device *d)
{
	return d->opts;
}

static int toy_check(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct device *other = NULL;

	while ((other = device_next(l, d->class, other)))
		if (strcmp(toy_opts(other)->name, toy_opts(d)->name) == 0)
			return error_set(err, -EINVAL, "%s is given twice", toy_opts(d)->name);
	return 0;
}

static int toy_open(struct device *d, const struct device_env *env, struct error *err)
{
	if (strcmp(toy_opts(d)->name, "broken") == 0)
		return error_set(err, -ENOENT, "broken: cannot be wound up");
	say("open %s of %u; ", toy_opts(d)->name, device_count(env->devices, d->class));
	d->state = d;
	return 0;
}

static int toy_plug(struct device *d, const struct device_env *env, struct error *err)
{
	(void)err;
	say("plug %s at %u; ", toy_opts(d)->name, env->devfn);
	return 0;
}

static void toy_reset(struct device *d)
{
	say("reset %s; ", toy_opts(d)->name);
}

static bool toy_close(struct device *d)
{
	say("close %s%s; ", toy_opts(d)->name, d->state ? "" : ", unopened");
	return strcmp(toy_opts(d)->name, "duck") != 0;
}

static const struct device_class toy_class = {
	.name = "toy",
	.option = "toy",
	.arg = "NAME[,speed=N]",
	.help = "  --toy NAME[,speed=N]\n",
	.keys = toy_keys,
	.positional = true,
	.most = 3,
	.opts_size = sizeof(struct toy_opts),
	.check = toy_check,
	.open = toy_open,
	.plug = toy_plug,
	.reset = toy_reset,
	.close = toy_close,
};

/* The smallest possible class. */
static const struct device_class plain_class = { .option = "plain", .most = 1 };
static const struct device_class raw_class = {
	.option = "raw", .arg = "TEXT", .most = 1, .opts_size = sizeof(char *)
};

/* ---- */

static struct device_list list;
static struct error err;

static int create(const struct device_class *class, const char *arg)
{
	err = (struct error){ 0 };
	return device_create(&list, class, arg, &err);
}

static void whole_life(void **state)
{
	struct device_env env = { .devices = &list };
	struct device *d = NULL;

	(void)state;
	said[0] = '\0';
	assert_int_equal(create(&toy_class, "bear,speed=3"), 0);
	assert_int_equal(create(&plain_class, NULL), 0);
	assert_int_equal(create(&toy_class, "duck"), 0);
	assert_int_equal(toy_opts(device_next(&list, &toy_class, NULL))->speed, 3);
	assert_int_equal(devices_open(&list, &toy_class, &env, &err), 0);
	assert_int_equal(devices_open(&list, &plain_class, &env, &err), 0);
	while ((d = device_next(&list, &toy_class, d))) {
		env.devfn++;
		assert_int_equal(device_plug(d, &env, &err), 0);
	}
	assert_int_equal(device_plug(device_next(&list, &plain_class, NULL), &env, &err), 0);
	devices_reset(&list, &toy_class);
	devices_reset(&list, &plain_class);
	assert_false(devices_close(&list, &toy_class)); /* a duck does not answer */
	assert_true(devices_close(&list, &plain_class));
	device_list_free(&list);
	assert_string_equal(said, "open bear of 2; open duck of 2; plug bear at 1; plug duck at 2; "
				  "reset bear; reset duck; close bear; close duck; ");
	assert_null(list.first);
}

static void refused(void **state)
{
	(void)state;
	assert_int_equal(create(&toy_class, "bear"), 0);
	assert_int_equal(create(&toy_class, "bear,speed=2"), -EINVAL);
	assert_string_equal(err.text, "bear is given twice");
	assert_int_equal(create(&toy_class, "duck,speed=0"), -EINVAL);
	assert_string_equal(err.text, "speed takes a number from 1 to 9");
	assert_int_equal(create(&toy_class, "duck"), 0);
	assert_int_equal(create(&toy_class, "goat"), 0);
	assert_int_equal(create(&toy_class, "cow"), -EINVAL);
	assert_string_equal(err.text, "at most 3");
	/* Refused devices are not in the list, and the numbers have no gap. */
	assert_int_equal(device_count(&list, &toy_class), 3);
	device_list_free(&list);
}

/* If open() fails, the device is closed with the others. */
static void half_opened(void **state)
{
	struct device_env env = { .devices = &list };

	(void)state;
	said[0] = '\0';
	assert_int_equal(create(&toy_class, "bear"), 0);
	assert_int_equal(create(&toy_class, "broken"), 0);
	assert_int_equal(devices_open(&list, &toy_class, &env, &err), -ENOENT);
	assert_string_equal(err.text, "--toy: broken: cannot be wound up");
	assert_true(devices_close(&list, &toy_class));
	assert_string_equal(said, "open bear of 2; close bear; close broken, unopened; ");
	device_list_free(&list);
}

static void raw_argument(void **state)
{
	const struct device *d;

	(void)state;
	assert_int_equal(create(&raw_class, "a,,b,c=d"), 0);
	d = device_next(&list, &raw_class, NULL);
	assert_string_equal(device_arg(d), "a,,b,c=d");
	assert_int_equal(create(&toy_class, "bear"), 0);
	assert_null(device_arg(device_next(&list, &toy_class, NULL)));
	device_list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_life),
		cmocka_unit_test(refused),
		cmocka_unit_test(half_opened),
		cmocka_unit_test(raw_argument),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
