/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm usb: the host's USB devices and what passes each, for people or as JSON. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "devices/usb/usb_scan.h"
#include "devices/usb/usb_use.h"
#include "vmm/cli/command.h"
#include "vmm/cli/output.h"
#include "vmm/core/log.h"

/* What a user should know before the device is passed; "": nothing. */
static bool device_warning(const struct usb_info *d, struct error *why)
{
	*why = (struct error){ 0 };
	if (usb_info_is_taken(d))
		error_set(why, -EBUSY, "%s: a machine or another program uses it", d->name);
	else if (usb_use_permission("", d, why) == 0 && usb_use_host("", d, why) == 0 &&
		 usb_use_only_keyboard("", d))
		error_set(why, -EBUSY, "%s is the only keyboard of this host", d->name);
	return why->code != 0;
}

/* ---- for people ---- */

static void speed_text(unsigned mbits, char buf[16])
{
	if (mbits >= 1000)
		snprintf(buf, 16, "%u Gbit/s", mbits / 1000);
	else if (mbits == 1)
		snprintf(buf, 16, "1.5 Mbit/s");
	else
		snprintf(buf, 16, "%u Mbit/s", mbits);
}

/* The drivers of its interfaces, each one once. */
static void driver_text(const struct usb_info *d, char *buf, size_t size)
{
	size_t n = 0;
	unsigned i, k;

	snprintf(buf, size, "-");
	for (i = 0; i < d->n_ifaces && n < size; i++) {
		for (k = 0; k < i && strcmp(d->iface[k].driver, d->iface[i].driver) != 0; k++)
			;
		if (k == i && d->iface[i].driver[0])
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " " : "",
					      d->iface[i].driver);
	}
}

static void add_row(struct output_table *t, const struct usb_list *l, size_t i)
{
	const struct usb_info *d = &l->dev[i];
	char pass[USB_NAME_SIZE], addr[16], speed[16], driver[64], title[140];

	usb_list_pass(l, i, pass);
	snprintf(addr, sizeof(addr), "%u.%u", d->bus, d->addr);
	speed_text(d->mbits, speed);
	driver_text(d, driver, sizeof(driver));
	usb_info_title(d, title, sizeof(title));
	output_row(t, 6, (const char *[]){ pass, d->name, addr, speed, driver, title });
}

static int print_text(const struct usb_list *l)
{
	struct output o = output_to(stdout);
	struct output_table t = { 0 };
	struct error why;
	size_t i;
	int ret;

	output_row(&t, 6,
		   (const char *[]){ "--usb", "PORT", "ADDRESS", "SPEED", "DRIVER", "DEVICE" });
	for (i = 0; i < l->n; i++)
		add_row(&t, l, i);
	ret = output_table(&o, &t);
	for (i = 0; ret == 0 && i < l->n; i++)
		if (device_warning(&l->dev[i], &why))
			output_wrapped(&o, OUTPUT_YELLOW, 0, why.text);
	return ret;
}

/* ---- for programs: the man page lists the keys ---- */

static json_t *ifaces_json(const struct usb_info *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->n_ifaces; i++) {
		const struct usb_iface *f = &d->iface[i];

		json_array_append_new(
			list,
			json_pack("{s:i, s:o, s:o}", "number", f->number, "class",
				  json_sprintf("%02x%02x%02x", f->class, f->subclass, f->protocol),
				  "driver", output_text_or_null(f->driver)));
	}
	return list;
}

static json_t *device_json(const struct usb_list *l, size_t i)
{
	const struct usb_info *d = &l->dev[i];
	char pass[USB_NAME_SIZE], node[32];
	struct error why;

	usb_list_pass(l, i, pass);
	usb_info_node(d, node, sizeof(node));
	device_warning(d, &why);
	return json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "usb",
			 pass, "port", d->name, "vendor", json_sprintf("0x%04x", d->vendor),
			 "product", json_sprintf("0x%04x", d->product), "bus", (int)d->bus,
			 "address", (int)d->addr, "node", node, "mbits", (int)d->mbits,
			 "vendor_name", output_text_or_null(d->maker), "product_name",
			 output_text_or_null(d->model), "serial", output_text_or_null(d->serial),
			 "interfaces", ifaces_json(d), "warning", output_text_or_null(why.text));
}

static int print_json(const struct usb_list *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(list, device_json(l, i));
	return output_json(json_pack("{s:o}", "devices", list));
}

int command_usb(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct usb_list l;
	int ret;

	if (argc > 1 && !json) {
		log_error("usb: unknown argument %s: usage: " USAGE_USB, argv[1]);
		return COMMAND_USAGE;
	}
	ret = usb_scan("", &l);
	if (ret == -ENOENT) {
		log_error("this host has no USB: /sys/bus/usb/devices does not exist");
	} else {
		if (ret == 0)
			ret = json ? print_json(&l) : print_text(&l);
		if (ret < 0)
			log_error("usb: %s", strerror(-ret));
	}
	usb_list_free(&l);
	return ret < 0;
}
