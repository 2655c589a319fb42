/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record of 1-4.2 is /run/minivmm/usb-1-4.2 with the text "device=046d:c52b\n". It has no
 * drivers: the kernel finds them by the ids of the interfaces, as when the device is plugged in.
 */
#include "devices/usb/usb_record.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vfio/host/bind_record.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/hostfs.h"

#define PREFIX "usb-"

static void record_path(const char *root, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s" BIND_RECORD_DIR "/" PREFIX "%s", root, name);
}

int usb_record_parse(struct usb_record *r, const char *text, size_t size)
{
	char copy[32], again[32];
	unsigned vendor, product;

	if (size >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (sscanf(copy, "device=%4x:%4x\n", &vendor, &product) != 2)
		return -EINVAL;
	snprintf(again, sizeof(again), "device=%04x:%04x\n", vendor, product);
	if (strlen(again) != size || memcmp(again, text, size) != 0)
		return -EINVAL;
	r->vendor = (uint16_t)vendor;
	r->product = (uint16_t)product;
	return 0;
}

int usb_record_write(const char *root, const struct usb_info *d, struct error *err)
{
	scoped_fd lock = bind_record_lock(root, err);
	char file[sizeof(PREFIX) + USB_NAME_SIZE], text[32];

	if (lock < 0)
		return lock;
	snprintf(file, sizeof(file), PREFIX "%s", d->name);
	snprintf(text, sizeof(text), "device=%04x:%04x\n", d->vendor, d->product);
	return bind_record_put(root, file, text, err);
}

void usb_record_remove(const char *root, const char *name)
{
	char path[PATH_MAX];

	record_path(root, name, path);
	unlink(path);
}

struct each {
	int (*fn)(void *, const char *name);
	void *arg;
};

static int is_record(void *arg, const char *file)
{
	const struct each *e = arg;
	struct usb_spec spec;

	if (strncmp(file, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	file += strlen(PREFIX);
	if (usb_spec_parse(file, &spec, NULL) < 0 || spec.kind != USB_SPEC_PORT ||
	    strcmp(spec.name, file) != 0)
		return 0;
	return e->fn(e->arg, file);
}

int usb_record_each(const char *root, int (*fn)(void *, const char *name), void *arg)
{
	struct each e = { fn, arg };

	return hostfs_each(root, is_record, &e, BIND_RECORD_DIR);
}

/* ---- back ---- */

/* True if there is a record, and it is about this device. *there: there is any. */
static bool record_fits(const char *root, const char *name, const struct usb_info *d, bool *there)
{
	char text[USB_RECORD_SIZE];
	struct usb_record r;
	long n = hostfs_bytes(root, text, sizeof(text), BIND_RECORD_DIR "/" PREFIX "%s", name);

	*there = n >= 0;
	return n >= 0 && usb_record_parse(&r, text, (size_t)n) == 0 && r.vendor == d->vendor &&
	       r.product == d->product;
}

static int connect_all(const char *root, const struct usbfs *fs, const struct usb_info *d,
		       struct error *err)
{
	char node[64], path[PATH_MAX];
	uint32_t ifaces = 0;
	unsigned i;
	int fd;

	for (i = 0; i < d->n_ifaces; i++)
		if (!d->iface[i].driver[0] && d->iface[i].number < 32)
			ifaces |= 1u << d->iface[i].number;
	if (!ifaces)
		return 0;
	usb_info_node(d, node, sizeof(node));
	snprintf(path, sizeof(path), "%s%s", root, node);
	fd = fs->open(fs, path);
	if (fd < 0)
		return error_set(err, fd, "%s: %s: %s%s", d->name, node, strerror(-fd),
				 fd == -EACCES ? ": run as root" : "");
	usbfs_connect(fs, fd, ifaces);
	fs->close(fs, fd);
	return 0;
}

int usb_restore(const char *root, const struct usbfs *fs, const char *name, struct error *err)
{
	struct usb_info d;
	bool there = usb_info_read(root, name, &d) == 0, recorded, fits;
	int ret = 0;

	fits = record_fits(root, name, &d, &recorded);
	if (!there && !recorded)
		return error_set(err, -ENODEV, "%s: there is no such USB device", name);
	if (there && (fits || !recorded)) {
		if (usb_info_is_taken(&d))
			return error_set(err, -EBUSY,
					 "%s: a machine or another program uses this USB device: "
					 "end it first",
					 name);
		ret = connect_all(root, fs, &d, err);
	}
	if (ret < 0)
		return ret;
	usb_record_remove(root, name);
	return there && (fits || !recorded) ? 0 : 1;
}
