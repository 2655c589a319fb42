/* SPDX-License-Identifier: BSD-2-Clause */
/* How a user names a USB device, and which device that is. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/usb_scan.h"
#include "vmm/core/hostfs.h"

#define NODE_FOLDER "/dev/bus/usb/"
#define TEXT_MAX    240 /* bytes of a list of devices in a message */

/* ---- reading ---- */

/* Reads up to `max` digits at *s and moves *s behind them. */
static bool take_number(const char **s, int base, unsigned max, unsigned *out)
{
	const char *from = *s;
	char *end;

	if (!(base == 16 ? isxdigit((unsigned char)*from) : isdigit((unsigned char)*from)))
		return false;
	*out = (unsigned)strtoul(from, &end, base);
	*s = end;
	return (unsigned)(end - from) <= max;
}

static bool take_char(const char **s, char c)
{
	bool there = **s == c;

	*s += there;
	return there;
}

/* Vendor and product have one to four hex digits each, with or without 0x. */
static bool take_id(const char **s, uint16_t *out)
{
	unsigned n;

	if ((*s)[0] == '0' && ((*s)[1] | 0x20) == 'x')
		*s += 2;
	if (!take_number(s, 16, 4, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool parse_id(const char *s, struct usb_spec *spec)
{
	spec->kind = USB_SPEC_ID;
	return take_id(&s, &spec->vendor) && take_char(&s, ':') && take_id(&s, &spec->product) &&
	       !*s;
}

static bool parse_addr(const char *s, char between, struct usb_spec *spec)
{
	spec->kind = USB_SPEC_ADDR;
	return take_number(&s, 10, 3, &spec->bus) && take_char(&s, between) &&
	       take_number(&s, 10, 3, &spec->addr) && !*s;
}

/* The name is built again, so that 01-4 is 1-4, as sysfs writes it. */
static bool parse_port(const char *s, struct usb_spec *spec)
{
	size_t n = 0;
	unsigned part;
	char sep = '-';

	spec->kind = USB_SPEC_PORT;
	if (!take_number(&s, 10, 3, &part))
		return false;
	n = (size_t)snprintf(spec->name, sizeof(spec->name), "%u", part);
	do {
		if (!take_char(&s, sep) || !take_number(&s, 10, 3, &part) || part == 0)
			return false;
		n += (size_t)snprintf(spec->name + n, sizeof(spec->name) - n, "%c%u", sep, part);
		sep = '.';
	} while (*s && n < sizeof(spec->name));
	return n < sizeof(spec->name);
}

int usb_spec_parse(const char *text, struct usb_spec *spec, struct error *err)
{
	bool ok;

	*spec = (struct usb_spec){ 0 };
	if (strncmp(text, NODE_FOLDER, strlen(NODE_FOLDER)) == 0)
		ok = parse_addr(text + strlen(NODE_FOLDER), '/', spec);
	else if (strchr(text, ':'))
		ok = parse_id(text, spec);
	else if (strchr(text, '-'))
		ok = parse_port(text, spec);
	else
		ok = parse_addr(text, '.', spec);
	if (ok)
		return 0;
	return error_set(err, -EINVAL,
			 "'%.80s' names no USB device: use VENDOR:PRODUCT like 046d:c52b, BUS-PORT "
			 "like 1-4.2, BUS.ADDRESS like 1.7, or /dev/bus/usb/001/007; `minivmm usb` "
			 "lists them",
			 text);
}

void usb_spec_text(const struct usb_spec *s, char buf[USB_NAME_SIZE])
{
	if (s->kind == USB_SPEC_ID)
		snprintf(buf, USB_NAME_SIZE, "%04x:%04x", s->vendor, s->product);
	else if (s->kind == USB_SPEC_ADDR)
		snprintf(buf, USB_NAME_SIZE, "%u.%u", s->bus, s->addr);
	else
		memcpy(buf, s->name, USB_NAME_SIZE);
}

/* ---- finding ---- */

bool usb_spec_matches(const struct usb_spec *s, const struct usb_info *d)
{
	if (s->kind == USB_SPEC_ID)
		return s->vendor == d->vendor && s->product == d->product;
	if (s->kind == USB_SPEC_ADDR)
		return s->bus == d->bus && s->addr == d->addr;
	return strcmp(s->name, d->name) == 0;
}

struct names {
	char text[TEXT_MAX];
	size_t n;
	unsigned left_out;
};

__attribute__((format(printf, 2, 3))) static void names_add(struct names *t, const char *fmt, ...)
{
	va_list ap;
	char one[120];

	va_start(ap, fmt);
	vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (t->n + strlen(one) + 3 > sizeof(t->text)) {
		t->left_out++;
		return;
	}
	t->n += (size_t)snprintf(t->text + t->n, sizeof(t->text) - t->n, "%s%s", t->n ? ", " : "",
				 one);
}

struct hub_search {
	const char *root;
	const struct usb_spec *spec;
};

static int is_wanted_hub(void *arg, const char *name)
{
	const struct hub_search *s = arg;
	struct usb_info d;

	return usb_info_read(s->root, name, &d) == 0 && usb_info_is_hub(&d) &&
	       usb_spec_matches(s->spec, &d);
}

static int explain_missing(const struct hub_search *s, const struct usb_list *list,
			   const char *text, struct error *err)
{
	struct names t = { .n = 0 };
	char title[140];
	size_t i;

	if (hostfs_each(s->root, is_wanted_hub, (void *)s, "/sys/bus/usb/devices"))
		return error_set(err, -EINVAL,
				 "%s is a USB hub: name the devices behind it, which "
				 "`minivmm usb` lists",
				 text);
	for (i = 0; i < list->n; i++) {
		usb_info_title(&list->dev[i], title, sizeof(title));
		names_add(&t, "%04x:%04x (%.24s)", list->dev[i].vendor, list->dev[i].product,
			  title);
	}
	if (!list->n)
		return error_set(err, -ENODEV,
				 "%s: there is no such USB device, and no other one: plug it in",
				 text);
	return error_set(err, -ENODEV,
			 "%s: there is no such USB device: plug it in, or choose one that is "
			 "there: %s%s; `minivmm usb` lists them",
			 text, t.text, t.left_out ? ", and others" : "");
}

static int explain_several(const struct usb_list *list, const struct usb_spec *s, const char *text,
			   struct error *err)
{
	struct names t = { .n = 0 };
	size_t i;

	for (i = 0; i < list->n; i++)
		if (usb_spec_matches(s, &list->dev[i]) && !usb_info_is_taken(&list->dev[i]))
			names_add(&t, "%s", list->dev[i].name);
	return error_set(err, -EEXIST,
			 "%s: there are several such USB devices: name one by the port that it is "
			 "in: %s",
			 text, t.text);
}

static int explain_taken(const struct usb_info *d, const char *text, struct error *err)
{
	char node[32];

	usb_info_node(d, node, sizeof(node));
	return error_set(err, -EBUSY,
			 "%s: another machine or program uses this USB device (as root, fuser -v "
			 "%s shows it): end it first",
			 text, node);
}

int usb_find(const char *root, const struct usb_spec *s, struct usb_info *found, struct error *err)
{
	const struct hub_search hubs = { root, s };
	const struct usb_info *one = NULL, *taken = NULL;
	char text[USB_NAME_SIZE];
	struct usb_list list;
	unsigned n = 0;
	size_t i;
	int ret;

	usb_spec_text(s, text);
	ret = usb_scan(root, &list);
	if (ret == -ENOMEM)
		error_set(err, ret, "out of memory");
	for (i = 0; i < list.n && ret != -ENOMEM; i++) {
		if (!usb_spec_matches(s, &list.dev[i]))
			continue;
		if (usb_info_is_taken(&list.dev[i]))
			taken = &list.dev[i];
		else if (n++ == 0)
			one = &list.dev[i];
	}
	if (ret != -ENOMEM)
		ret = n > 1   ? explain_several(&list, s, text, err)
		      : one   ? 0
		      : taken ? explain_taken(taken, text, err)
			      : explain_missing(&hubs, &list, text, err);
	if (ret == 0)
		*found = *one;
	usb_list_free(&list);
	return ret;
}
