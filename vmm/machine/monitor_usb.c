/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device is named by hostdevice=PATH, by hostbus= with hostport= or hostaddr=, or by vendorid=
 * and productid=. Numbers may be strings, as "0x0781".
 */
#include "vmm/machine/monitor_usb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"

/* Properties that mean nothing here. */
static const char ignored[] = "driver id bus bootindex pipeline isobufs isobsize loglevel "
			      "suppress-remote-wake guest-resets-all serial attached msos-desc ";
static const char known[] = "vendorid productid hostbus hostaddr hostport hostdevice port "
			    "guest-reset force ";

static int wrong(const char *name, const char *want, struct error *err)
{
	return error_set(err, -EINVAL, "Parameter '%.40s' expects %s", name, want);
}

/* *there: the property is given. */
static int number(const json_t *args, const char *name, unsigned max, unsigned *out, bool *there,
		  struct error *err)
{
	const json_t *o = json_object_get(args, name);
	const char *text = json_string_value(o);
	long long n = json_integer_value(o);
	char *end = NULL;

	*there = o != NULL;
	if (!o)
		return 0;
	if (text)
		n = strtoll(text, &end, 0);
	if ((!text && !json_is_integer(o)) || (text && (end == text || *end)) || n < 0 || n > max)
		return wrong(name, "a number", err);
	*out = (unsigned)n;
	return 0;
}

static int check_names(const json_t *args, struct error *err)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)args, name, member)
	{
		if (!text_lists(ignored, name) && !text_lists(known, name))
			return error_set(err, -EINVAL, "Property '%.40s' not found", name);
	}
	return 0;
}

static int by_bus(const json_t *args, unsigned bus, char *buf, size_t size, struct error *err)
{
	const json_t *port = json_object_get(args, "hostport");
	unsigned addr = 0;
	bool there;

	if (number(args, "hostaddr", 127, &addr, &there, err) < 0)
		return err->code;
	if (json_is_string(port))
		snprintf(buf, size, "%u-%.40s", bus, json_string_value(port));
	else if (json_is_integer(port))
		snprintf(buf, size, "%u-%" JSON_INTEGER_FORMAT, bus, json_integer_value(port));
	else if (there)
		snprintf(buf, size, "%u.%u", bus, addr);
	else
		return error_set(err, -EINVAL,
				 "hostbus needs hostport (better, as it stays) or hostaddr");
	return 0;
}

static int name_device(const json_t *args, char *buf, size_t size, struct error *err)
{
	const json_t *node = json_object_get(args, "hostdevice");
	unsigned bus = 0, vendor = 0, product = 0;
	bool has_bus, has_vendor, has_product;

	if (number(args, "hostbus", 999, &bus, &has_bus, err) < 0 ||
	    number(args, "vendorid", 0xffff, &vendor, &has_vendor, err) < 0 ||
	    number(args, "productid", 0xffff, &product, &has_product, err) < 0)
		return err->code;
	if (node) {
		if (!json_is_string(node))
			return wrong("hostdevice", "a path", err);
		snprintf(buf, size, "%.60s", json_string_value(node));
		return strchr(buf, ',') ? wrong("hostdevice", "a path", err) : 0;
	}
	if (has_bus)
		return by_bus(args, bus, buf, size, err);
	if (!has_vendor || !has_product)
		return error_set(err, -EINVAL,
				 "usb-host needs vendorid and productid, hostbus with hostport or "
				 "hostaddr, or hostdevice");
	snprintf(buf, size, "%04x:%04x", vendor, product);
	return 0;
}

/* *text NULL: it is not given. */
static int flag(const json_t *args, const char *name, const char **text, struct error *err)
{
	const json_t *o = json_object_get(args, name);
	const char *s = json_string_value(o);

	*text = NULL;
	if (!o)
		return 0;
	if (json_is_true(o) || (s && text_lists("on true yes ", s)))
		*text = "on";
	else if (json_is_false(o) || (s && text_lists("off false no ", s)))
		*text = "off";
	else
		return wrong(name, "on or off", err);
	return 0;
}

int monitor_usb_arg(const json_t *args, char *buf, size_t size, struct error *err)
{
	const char *reset, *force;
	unsigned port = 0;
	char device[80];
	bool has_port;

	if (check_names(args, err) < 0 || name_device(args, device, sizeof(device), err) < 0 ||
	    strchr(device, ',') || number(args, "port", 15, &port, &has_port, err) < 0 ||
	    flag(args, "guest-reset", &reset, err) < 0 || flag(args, "force", &force, err) < 0)
		return err->code ? err->code : wrong("hostport", "a port like 2.1.4", err);
	snprintf(buf, size, "%s,reset=%s,force=%s", device, reset ? reset : "on",
		 force ? force : "off");
	if (has_port)
		snprintf(buf + strlen(buf), size - strlen(buf), ",port=%u", port);
	return 0;
}
