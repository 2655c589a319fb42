/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/device.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device *device_next(const struct device_list *l, const struct device_class *class,
			   const struct device *after)
{
	struct device *d = after ? after->next : l->first;

	while (d && (d->class != class || d->away))
		d = d->next;
	return d;
}

unsigned device_count(const struct device_list *l, const struct device_class *class)
{
	const struct device *d = NULL;
	unsigned n = 0;

	while ((d = device_next(l, class, d)))
		n++;
	return n;
}

static bool id_is_given(const struct device_list *l, const char *id)
{
	const struct device *d = l->first;

	while (d && (!d->id || strcmp(d->id, id) != 0))
		d = d->next;
	return d != NULL;
}

/* As QEMU has it: a letter, then letters, digits, '-', '.', '_'. */
static bool id_is_ok(const char *id)
{
	const char *p = id;

	if (!isalpha((unsigned char)*p) || strlen(id) >= DEVICE_ID_MAX)
		return false;
	while (isalnum((unsigned char)*p) || (*p && strchr("-._", *p)))
		p++;
	return !*p;
}

int device_set_id(const struct device_list *l, struct device *d, const char *id, struct error *err)
{
	char made[DEVICE_ID_MAX];
	unsigned n = d->index;

	if (!id)
		do
			snprintf(made, sizeof(made), "%.40s%u", d->class->option, n++);
		while (id_is_given(l, made));
	else if (!id_is_ok(id))
		return error_set(err, -EINVAL, "Parameter 'id' expects an identifier");
	else if (id_is_given(l, id))
		return error_set(err, -EEXIST, "Duplicate device ID '%s'", id);
	d->id = key_pool_keep(&d->strings, strdup(id ? id : made));
	return d->id ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int read_opts(struct device *d, const char *arg, struct error *err)
{
	const struct device_class *c = d->class;
	struct key_reader r = {
		.keys = c->keys, .positional = c->positional, .pool = &d->strings, .base = d->opts
	};
	const char *s;

	if (!c->arg)
		return 0;
	if (c->keys)
		return keys_read(&r, arg, err);
	s = key_pool_keep(&d->strings, strdup(arg));
	memcpy(d->opts, &s, sizeof(s));
	return s ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static void device_free(struct device *d)
{
	if (d) {
		free(d->opts);
		key_pool_free(&d->strings);
	}
	free(d);
}

static bool index_is_taken(const struct device_list *l, const struct device_class *class,
			   unsigned index)
{
	const struct device *d = l->first;

	while (d && (d->class != class || d->index != index))
		d = d->next;
	return d;
}

static int create(struct device_list *l, const struct device_class *class, const char *arg,
		  struct device **new, struct error *err)
{
	struct device *d = calloc(1, sizeof(*d)), **end = &l->first;
	int ret;

	if (d)
		d->opts = calloc(1, class->opts_size ? class->opts_size : 1);
	if (!d || !d->opts) {
		device_free(d);
		return error_set(err, -ENOMEM, "out of memory");
	}
	if (class->defaults)
		memcpy(d->opts, class->defaults, class->opts_size);
	d->class = class;
	while (index_is_taken(l, class, d->index))
		d->index++;
	ret = d->index < class->most ? read_opts(d, arg, err)
				     : error_set(err, -EINVAL, "at most %u", class->most);
	if (ret == 0 && class->check)
		ret = class->check(d, l, err);
	if (ret < 0) {
		device_free(d);
		return ret;
	}
	while (*end)
		end = &(*end)->next;
	*end = *new = d;
	return 0;
}

int device_create(struct device_list *l, const struct device_class *class, const char *arg,
		  struct error *err)
{
	struct device *d;

	return create(l, class, arg, &d, err);
}

struct device *device_create_away(struct device_list *l, const struct device_class *class,
				  const char *arg, struct error *err)
{
	struct device *d;

	if (create(l, class, arg, &d, err) < 0)
		return NULL;
	d->away = true;
	return d;
}

void device_delete(struct device_list *l, struct device *d)
{
	struct device **at = &l->first;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	device_free(d);
}

const char *device_arg(const struct device *d)
{
	const char *arg = NULL;

	if (d->class->arg && !d->class->keys)
		memcpy(&arg, d->opts, sizeof(arg));
	return arg;
}

/* If the argument is one string, the message contains it, to tell which device failed. */
static int prefix_option(const struct device *d, struct error *err)
{
	const char *arg = device_arg(d);

	return error_prefix(err, "--%s%s%s", d->class->option, arg ? " " : "", arg ? arg : "");
}

int devices_open(struct device_list *l, const struct device_class *class,
		 const struct device_env *env, struct error *err)
{
	struct device *d = NULL;

	while (class->open && (d = device_next(l, class, d)))
		if (class->open(d, env, err) < 0)
			return prefix_option(d, err);
	return 0;
}

int device_plug(struct device *d, const struct device_env *env, struct error *err)
{
	return d->class->plug && d->class->plug(d, env, err) < 0 ? prefix_option(d, err) : 0;
}

void devices_reset(struct device_list *l, const struct device_class *class)
{
	struct device *d = NULL;

	while (class->reset && (d = device_next(l, class, d)))
		class->reset(d);
}

bool devices_close(struct device_list *l, const struct device_class *class)
{
	struct device *d = NULL;
	bool all = true;

	while (class->close && (d = device_next(l, class, d))) {
		all &= class->close(d);
		d->state = NULL;
	}
	return all;
}

void device_list_free(struct device_list *l)
{
	struct device *d;

	while ((d = l->first)) {
		l->first = d->next;
		device_free(d);
	}
}
