/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /sys/bus/usb/devices has a folder for each device (usb1, 1-4, 1-4.2) and for each interface of
 * its configuration (1-4.2:1.0: configuration 1, interface 0). Root hubs are called usbN.
 *
 * A device leaves at any time. What can no longer be read is then zero or "", and the device
 * counts as absent if its ids cannot be read.
 */
#include "devices/usb/usb_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/hostfs.h"

#define USB_DEVICES "/sys/bus/usb/devices"
#define CLASS_HUB   0x09

static void read_text(const char *root, const char *name, const char *file, char *buf, size_t size)
{
	size_t n;

	hostfs_line(root, buf, size, USB_DEVICES "/%s/%s", name, file);
	error_visible(buf);
	for (n = strlen(buf); n > 0 && buf[n - 1] == ' '; n--)
		buf[n - 1] = '\0';
}

/* -1: there is no such number. */
static long read_number(const char *root, const char *name, const char *file, int base)
{
	char buf[24], *end;
	long n;

	if (hostfs_line(root, buf, sizeof(buf), USB_DEVICES "/%s/%s", name, file) < 0)
		return -1;
	n = strtol(buf, &end, base);
	return end == buf || n < 0 ? -1 : n;
}

static uint8_t read_byte(const char *root, const char *name, const char *file)
{
	long n = read_number(root, name, file, 16);

	return n < 0 || n > 0xff ? 0 : (uint8_t)n;
}

struct iface_walk {
	const char *root;
	struct usb_info *dev;
};

/* Interfaces are folders of the device: "1-4:1.0". */
static int add_iface(void *arg, const char *entry)
{
	const struct iface_walk *w = arg;
	size_t n = strlen(w->dev->name);
	struct usb_iface *i;
	char path[64];

	if (strncmp(entry, w->dev->name, n) != 0 || entry[n] != ':' ||
	    w->dev->n_ifaces == USB_IFACES_MAX ||
	    snprintf(path, sizeof(path), "%s/%s", w->dev->name, entry) >= (int)sizeof(path))
		return 0;
	i = &w->dev->iface[w->dev->n_ifaces++];
	i->number = read_byte(w->root, path, "bInterfaceNumber");
	i->class = read_byte(w->root, path, "bInterfaceClass");
	i->subclass = read_byte(w->root, path, "bInterfaceSubClass");
	i->protocol = read_byte(w->root, path, "bInterfaceProtocol");
	hostfs_link(w->root, i->driver, sizeof(i->driver), USB_DEVICES "/%s/driver", path);
	return 0;
}

int usb_info_read(const char *root, const char *name, struct usb_info *d)
{
	struct iface_walk w = { root, d };
	long vendor, product, bus, addr, mbits;

	*d = (struct usb_info){ 0 };
	if (strlen(name) >= sizeof(d->name) || strchr(name, '/'))
		return -ENODEV;
	memcpy(d->name, name, strlen(name) + 1);
	vendor = read_number(root, name, "idVendor", 16);
	product = read_number(root, name, "idProduct", 16);
	bus = read_number(root, name, "busnum", 10);
	addr = read_number(root, name, "devnum", 10);
	mbits = read_number(root, name, "speed", 10);
	if (vendor < 0 || vendor > 0xffff || product < 0 || product > 0xffff || bus < 0 ||
	    bus > 999 || addr < 0 || addr > 999)
		return -ENODEV;
	d->vendor = (uint16_t)vendor;
	d->product = (uint16_t)product;
	d->bus = (unsigned)bus;
	d->addr = (unsigned)addr;
	d->mbits = mbits < 0 || mbits > 1000000 ? 0 : (unsigned)mbits;
	d->class = read_byte(root, name, "bDeviceClass");
	read_text(root, name, "manufacturer", d->maker, sizeof(d->maker));
	read_text(root, name, "product", d->model, sizeof(d->model));
	read_text(root, name, "serial", d->serial, sizeof(d->serial));
	hostfs_each(root, add_iface, &w, USB_DEVICES "/%s", name);
	return 0;
}

bool usb_info_is_hub(const struct usb_info *d)
{
	return d->class == CLASS_HUB || strncmp(d->name, "usb", 3) == 0;
}

bool usb_info_is_taken(const struct usb_info *d)
{
	for (unsigned i = 0; i < d->n_ifaces; i++)
		if (strcmp(d->iface[i].driver, "usbfs") == 0)
			return true;
	return false;
}

void usb_info_node(const struct usb_info *d, char *buf, size_t size)
{
	snprintf(buf, size, "/dev/bus/usb/%03u/%03u", d->bus, d->addr);
}

void usb_info_title(const struct usb_info *d, char *buf, size_t size)
{
	const char *maker = d->maker, *model = d->model;

	/* "Linux 6.12 xhci-hcd" and the like say less than the model. Many models repeat the
	 * maker's name. */
	if (*maker && strncasecmp(model, maker, strlen(maker)) == 0)
		maker = "";
	snprintf(buf, size, "%s%s%s", maker, *maker && *model ? " " : "", model);
	if (!*buf)
		snprintf(buf, size, "%04x:%04x", d->vendor, d->product);
}

/* ---- all devices ---- */

struct scan {
	const char *root;
	struct usb_list *list;
};

static int add_device(void *arg, const char *name)
{
	const struct scan *s = arg;
	struct usb_info *grown;

	if (strchr(name, ':') || strncmp(name, "usb", 3) == 0)
		return 0;
	grown = realloc(s->list->dev, (s->list->n + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->list->dev = grown;
	if (usb_info_read(s->root, name, &grown[s->list->n]) == 0 &&
	    !usb_info_is_hub(&grown[s->list->n]))
		s->list->n++;
	return 0;
}

int usb_scan(const char *root, struct usb_list *list)
{
	struct scan s = { root, list };

	*list = (struct usb_list){ 0 };
	if (!hostfs_exists(root, USB_DEVICES))
		return -ENOENT;
	return hostfs_each(root, add_device, &s, USB_DEVICES);
}

void usb_list_free(struct usb_list *list)
{
	free(list->dev);
	*list = (struct usb_list){ 0 };
}

void usb_list_pass(const struct usb_list *list, size_t at, char buf[USB_NAME_SIZE])
{
	const struct usb_info *d = &list->dev[at];
	size_t i;

	for (i = 0; i < list->n; i++)
		if (i != at && list->dev[i].vendor == d->vendor &&
		    list->dev[i].product == d->product)
			break;
	if (i == list->n)
		snprintf(buf, USB_NAME_SIZE, "%04x:%04x", d->vendor, d->product);
	else
		snprintf(buf, USB_NAME_SIZE, "%s", d->name);
}
