/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm bind, minivmm restore: devices to vfio-pci, and back to what they were; USB devices back
 * to their drivers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/usb/usb_record.h"
#include "vfio/host/bind.h"
#include "vmm/core/cleanup.h"
#include "vmm/cli/command.h"
#include "vmm/core/log.h"

static const char *or_none(const char *driver)
{
	return driver[0] ? driver : "no driver";
}

static int bad_word(const char *command, const char *word, const char *usage)
{
	bool usb = strcmp(command, "restore") == 0;
	struct error err;

	if (!usb && sysfs_is_ids(word)) {
		sysfs_bad_bdf(word, &err);
		log_error("%s: %s", command, err.text);
		return COMMAND_USAGE;
	}
	log_error("%s: %s is not a PCI address like 01:00.0%s: usage: %s", command, word,
		  usb ? ", or a USB device's port like 1-4.2" : "", usage);
	return COMMAND_USAGE;
}

/* ---- bind ---- */

struct bind_call {
	char (*bdf)[VFIO_BDF_SIZE];
	unsigned n, flags;
};

static int parse_bind(struct bind_call *c, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--group") == 0)
			c->flags |= BIND_GROUP;
		else if (strcmp(argv[i], "--force") == 0)
			c->flags |= BIND_FORCE;
		else if (sysfs_parse_bdf(argv[i], c->bdf[c->n]) == 0)
			c->n++;
		else
			return bad_word("bind", argv[i], USAGE_BIND);
	}
	if (c->n)
		return 0;
	log_error("bind: no device is given: usage: " USAGE_BIND);
	return COMMAND_USAGE;
}

static void print_bound(const struct bind_call *c, const struct bind_set *bound)
{
	unsigned i, k;

	for (k = 0; k < bound->n; k++)
		printf("%s: %s -> vfio-pci\n", bound->dev[k].bdf, or_none(bound->dev[k].driver));
	for (i = 0; i < c->n; i++) {
		for (k = 0; k < bound->n && strcmp(bound->dev[k].bdf, c->bdf[i]) != 0; k++)
			;
		if (k == bound->n)
			printf("%s: is with vfio-pci already\n", c->bdf[i]);
	}
}

int command_bind(int argc, char **argv)
{
	scoped_free void *list = calloc((size_t)argc, VFIO_BDF_SIZE);
	struct bind_call c = { .bdf = list };
	struct bind_set bound;
	struct error err = { 0 };
	int status;

	if (!list) {
		log_error("bind: out of memory");
		return 1;
	}
	status = parse_bind(&c, argc, argv);
	if (status)
		return status;
	if (bind_devices(&host_here, c.bdf, c.n, c.flags, &bound, &err) < 0) {
		log_error("%s", err.text);
		return 1;
	}
	print_bound(&c, &bound);
	return 0;
}

/* ---- restore ---- */

struct restore_call {
	unsigned n; /* tried */
	int status;
};

static int restore_one(void *arg, const char *bdf)
{
	struct restore_call *c = arg;
	struct error err = { 0 };
	struct bind_record was;
	struct sysfs_pci now;
	int ret = bind_restore(&host_here, bdf, &was, &err);

	c->n++;
	if (ret < 0) {
		log_error("%s", err.text);
		c->status = 1;
	} else if (ret == 1) {
		printf("%s: this host has it no more: its record is removed\n", bdf);
	} else {
		sysfs_pci_read("", bdf, &now);
		printf("%s: vfio-pci -> %s\n", bdf, or_none(now.driver));
	}
	return 0;
}

static int restore_usb(void *arg, const char *name)
{
	struct restore_call *c = arg;
	struct error err = { 0 };
	int ret = usb_restore("", &usbfs_here, name, &err);

	c->n++;
	if (ret < 0) {
		log_error("%s", err.text);
		c->status = 1;
	} else if (ret == 1) {
		printf("%s: this host has it no more: its record is removed\n", name);
	} else {
		printf("%s: it is with its drivers\n", name);
	}
	return 0;
}

static bool is_usb_port(const char *word, struct usb_spec *s)
{
	return usb_spec_parse(word, s, NULL) == 0 && s->kind == USB_SPEC_PORT;
}

static void restore_all(struct restore_call *c)
{
	if (access(BIND_RECORD_DIR, R_OK | X_OK) < 0 && errno == EACCES) {
		log_error(BIND_RECORD_DIR ": %s: run as root", strerror(errno));
		c->status = 1;
		return;
	}
	bind_record_each("", restore_one, c);
	usb_record_each("", restore_usb, c);
	if (c->n == 0)
		printf("nothing to restore\n");
}

int command_restore(int argc, char **argv)
{
	struct restore_call c = { 0 };
	char bdf[VFIO_BDF_SIZE];
	struct usb_spec usb;
	int i;

	for (i = 1; i < argc; i++)
		if (sysfs_parse_bdf(argv[i], bdf) < 0 && !is_usb_port(argv[i], &usb))
			return bad_word("restore", argv[i], USAGE_RESTORE);
	for (i = 1; i < argc; i++) {
		if (sysfs_parse_bdf(argv[i], bdf) == 0)
			restore_one(&c, bdf);
		else if (is_usb_port(argv[i], &usb))
			restore_usb(&c, usb.name);
	}
	if (argc == 1)
		restore_all(&c);
	return c.status;
}
