/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine answers device_add when the guest has been told, and device_del when it has been
 * asked. What the guest makes of it comes as an event, for which we wait.
 */
#include "vmm/cli/ctl_devices.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/usb_scan.h"
#include "vfio/host/sysfs.h"
#include "vmm/control/qmp_client.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/keys.h"
#include "vmm/core/log.h"

#define SECOND	 1000000000ull
#define ANSWER_S 120u /* opening a device may take long: it is reset, and memory is pinned */
#define TAKE_S	 20u
#define LET_GO_S 40u /* the machine itself gives up after 30 s */
#define FORCED_S 60u

static uint64_t deadline_of(uint64_t seconds)
{
	return seconds > UINT32_MAX ? UINT64_MAX : evloop_now_ns() + seconds * SECOND;
}

static uint64_t seconds_of(uint64_t asked, uint64_t usual)
{
	return asked == UINT64_MAX ? usual : asked;
}

/* ---- what a user calls a device ---- */

/* The machine's working directory is not ours. */
static int set_file(json_t *args, const char *path, struct error *err)
{
	scoped_free char *full = realpath(path, NULL);

	if (!full)
		return error_set(err, -errno,
				 "%.200s: %s (a device is a PCI address, the path of a disk image, "
				 "tap, rng, or usb:046d:c52b)",
				 path, strerror(errno));
	return json_object_set_new(args, "file", json_string(full)) < 0
		       ? error_set(err, -EINVAL, "%.200s is not UTF-8", path)
		       : 0;
}

static int set_usb(json_t *args, const char *name, struct error *err)
{
	struct usb_spec s;

	if (usb_spec_parse(name, &s, err) < 0)
		return err->code;
	if (s.kind == USB_SPEC_ID) {
		json_object_set_new(args, "vendorid", json_integer(s.vendor));
		json_object_set_new(args, "productid", json_integer(s.product));
		return 0;
	}
	json_object_set_new(args, "hostbus",
			    json_integer(s.kind == USB_SPEC_ADDR ? (json_int_t)s.bus
								 : atoi(s.name)));
	if (s.kind == USB_SPEC_ADDR)
		json_object_set_new(args, "hostaddr", json_integer(s.addr));
	else
		json_object_set_new(args, "hostport", json_string(strchr(s.name, '-') + 1));
	return 0;
}

static int set_driver(json_t *args, const char *first, struct error *err)
{
	const char *driver = "virtio-blk-pci";
	char bdf[VFIO_BDF_SIZE];
	int ret = 0;

	if (sysfs_parse_bdf(first, bdf) == 0) {
		driver = "vfio-pci";
		json_object_set_new(args, "host", json_string(first));
	} else if (strncmp(first, "usb:", 4) == 0) {
		driver = "usb-host";
		ret = set_usb(args, first + 4, err);
	} else if (strcmp(first, "rng") == 0) {
		driver = "virtio-rng-pci";
	} else if (strcmp(first, "tap") == 0) {
		driver = "virtio-net-pci";
	} else {
		ret = set_file(args, first, err);
	}
	json_object_set_new(args, "driver", json_string(driver));
	return ret;
}

/* One KEY=VALUE; a key alone is switched on. */
static int set_property(json_t *args, const char *item, struct error *err)
{
	const char *eq = strchr(item, '=');
	scoped_free char *key = eq ? strndup(item, (size_t)(eq - item)) : strdup(item);

	if (!key || !*key || json_object_set_new(args, key, json_string(eq ? eq + 1 : "on")) < 0)
		return error_set(err, -EINVAL, "%.80s: use KEY=VALUE", item);
	return 0;
}

static json_t *device_args(const char *what, struct error *err)
{
	scoped_free char *copy = strdup(what);
	char *rest = copy, *item = copy ? keys_next_item(&rest) : NULL;
	json_t *args = json_object();
	int ret = item ? set_driver(args, item, err) : error_set(err, -ENOMEM, "out of memory");

	while (ret == 0 && (item = keys_next_item(&rest)))
		ret = set_property(args, item, err);
	if (ret == 0)
		return args;
	json_decref(args);
	return NULL;
}

/* ---- waiting ---- */

enum outcome { OUT_TAKEN, OUT_DELETED, OUT_REFUSED };

static const char *const outcomes[] = {
	[OUT_TAKEN] = "X_MINIVMM_DEVICE_TAKEN",
	[OUT_DELETED] = "DEVICE_DELETED",
	[OUT_REFUSED] = "DEVICE_UNPLUG_GUEST_ERROR",
};

/* The outcome that this event tells of that device; -1: it is about something else. */
static int outcome_of(const json_t *o, const char *id)
{
	const json_t *data = json_object_get(o, "data");
	const char *device = json_string_value(json_object_get(data, "device"));
	const char *event = json_string_value(json_object_get(o, "event"));
	unsigned i;

	for (i = 0; device && event && i < ARRAY_SIZE(outcomes); i++)
		if (strcmp(device, id) == 0 && strcmp(event, outcomes[i]) == 0)
			return (int)i;
	return -1;
}

/* -ETIMEDOUT, or another error. */
static int await(struct qmp_peer *p, const char *id, uint64_t deadline, struct error *err)
{
	json_t *o;

	while ((o = qmp_peer_event(p, deadline, err))) {
		int out = outcome_of(o, id);

		json_decref(o);
		if (out >= 0)
			return out;
	}
	return err->code;
}

/* ---- the commands ---- */

static int await_taken(struct qmp_peer *p, const char *id, uint64_t seconds, struct error *err)
{
	int ret = await(p, id, deadline_of(seconds), err);

	if (ret == OUT_TAKEN)
		return 0;
	if (ret == OUT_DELETED)
		return error_set(
			err, -EIO,
			"the guest has switched %s off again: its kernel's messages say why", id);
	if (ret != -ETIMEDOUT)
		return ret < 0 ? ret : 0;
	return error_set(err, ret,
			 "%s is in its slot, but the guest has not switched it on in %" PRIu64
			 " s: does it support native PCI Express hotplug (pciehp)? It also finds "
			 "the device when it starts again",
			 id, seconds);
}

/* addr=0.3 is function 3. The machine has accepted the address. */
static bool is_function_0(const char *addr)
{
	const char *dot = addr ? strchr(addr, '.') : NULL;

	return !dot || strtoul(dot + 1, NULL, 16) == 0;
}

int ctl_device_add(struct qmp_peer *p, const char *what, uint64_t timeout_s, struct error *err)
{
	json_t *args = device_args(what, err), *o;
	const char *id;
	bool shown, usb;
	char name[80];

	if (!args)
		return err->code;
	usb = strcmp(json_string_value(json_object_get(args, "driver")), "usb-host") == 0;
	shown = is_function_0(json_string_value(json_object_get(args, "addr")));
	id = json_string_value(json_object_get(args, "id"));
	snprintf(name, sizeof(name), "%s", id ? id : "");
	o = qmp_peer_ask(p, "device_add", args, deadline_of(ANSWER_S), err);
	if (!o)
		return err->code;
	id = json_string_value(json_object_get(o, "id"));
	if (id)
		snprintf(name, sizeof(name), "%s", id);
	json_decref(o);
	printf("%s\n", name);
	fflush(stdout);
	if (usb) /* it is in its port when it is answered */
		return 0;
	if (!shown) {
		log_warn("ctl: the guest finds %s when function 0 of its slot is added", name);
		return 0;
	}
	return await_taken(p, name, seconds_of(timeout_s, TAKE_S), err);
}

static int device_del(struct qmp_peer *p, const char *id, bool force, struct error *err)
{
	json_t *args = json_pack("{s: s}", "id", id), *o;

	if (args && force)
		json_object_set_new(args, "x-minivmm-force", json_true());
	o = qmp_peer_ask(p, "device_del", args, deadline_of(ANSWER_S), err);
	json_decref(o);
	return o ? 0 : err->code;
}

static int del_by_force(struct qmp_peer *p, const char *id, struct error *err)
{
	int ret = device_del(p, id, true, err);

	while (ret == 0 && (ret = await(p, id, deadline_of(FORCED_S), err)) >= 0 &&
	       ret != OUT_DELETED)
		ret = 0;
	return ret == OUT_DELETED ? 0 : ret;
}

int ctl_device_del(struct qmp_peer *p, const char *id, uint64_t timeout_s, bool force,
		   struct error *err)
{
	uint64_t seconds = seconds_of(timeout_s, LET_GO_S), end = deadline_of(seconds);
	int ret;

	if (force && timeout_s == UINT64_MAX)
		return del_by_force(p, id, err);
	ret = device_del(p, id, false, err);
	while (ret == 0 && (ret = await(p, id, end, err)) == OUT_TAKEN)
		ret = 0;
	if (ret == OUT_DELETED)
		return 0;
	if (force && (ret == OUT_REFUSED || ret == -ETIMEDOUT))
		return del_by_force(p, id, err);
	if (ret == OUT_REFUSED)
		return error_set(err, -EBUSY,
				 "the guest does not let go of %s: --force removes it nevertheless",
				 id);
	if (ret == -ETIMEDOUT)
		return error_set(err, ret,
				 "the guest has not let go of %s in %" PRIu64
				 " s: --force removes it nevertheless",
				 id, seconds);
	return ret;
}
