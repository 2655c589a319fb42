/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/usb/usb_use.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/host/host_use.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/log.h"

#define RULES_FILE "/etc/udev/rules.d/70-minivmm-usb.rules"

void usb_use_remedy(const struct usb_info *d, char buf[USB_REMEDY_SIZE])
{
	snprintf(buf, USB_REMEDY_SIZE,
		 "run as root, or put this line into " RULES_FILE " and plug the device in again: "
		 "SUBSYSTEM==\"usb\", ATTR{idVendor}==\"%04x\", ATTR{idProduct}==\"%04x\", "
		 "MODE=\"0660\", GROUP=\"kvm\", TAG+=\"uaccess\"",
		 d->vendor, d->product);
}

int usb_use_permission(const char *root, const struct usb_info *d, struct error *err)
{
	char node[32], remedy[USB_REMEDY_SIZE];
	int ret;

	usb_info_node(d, node, sizeof(node));
	ret = hostfs_access(root, "%s", node);
	if (ret == 0)
		return 0;
	if (ret == -ENOENT)
		return error_set(err, ret,
				 "%s: %s does not exist: is a container without /dev/bus/usb "
				 "running this?",
				 d->name, node);
	if (ret != -EACCES && ret != -EPERM)
		return error_set(err, ret, "%s: %s: %s", d->name, node, strerror(-ret));
	usb_use_remedy(d, remedy);
	return error_set(err, ret, "%s: there is no permission to open %s: %s", d->name, node,
			 remedy);
}

int usb_use_host(const char *root, const struct usb_info *d, struct error *err)
{
	return host_use_check(root, d->name, err);
}

/* ---- keyboards ---- */

/* What a keyboard has and a power button or a mouse does not: the keys 1 to 31, which are Escape,
 * the digits, and the first two rows of letters. The file has the bits of all keys in words of 64
 * bits, the lowest word last. */
#define KEYS_OF_A_KEYBOARD 0xfffffffeull

static bool has_keys(const char *root, const char *input)
{
	char keys[256];
	const char *last;

	hostfs_line(root, keys, sizeof(keys), "/sys/class/input/%s/capabilities/key", input);
	last = strrchr(keys, ' ');
	return (strtoull(last ? last + 1 : keys, NULL, 16) & KEYS_OF_A_KEYBOARD) ==
	       KEYS_OF_A_KEYBOARD;
}

struct keyboards {
	const char *root, *name;
	unsigned own, others;
};

static int count_keyboard(void *arg, const char *input)
{
	struct keyboards *k = arg;

	if (strncmp(input, "input", 5) != 0 || !has_keys(k->root, input))
		return 0;
	if (sysfs_belongs(k->root, k->name, "input", input))
		k->own++;
	else
		k->others++;
	return 0;
}

bool usb_use_only_keyboard(const char *root, const struct usb_info *d)
{
	struct keyboards k = { root, d->name, 0, 0 };

	hostfs_each(root, count_keyboard, &k, "/sys/class/input");
	return k.own && !k.others;
}

int usb_use_check(const char *root, const struct usb_info *d, bool force, struct error *err)
{
	int ret = usb_use_permission(root, d, err);
	struct error why;

	if (ret == 0 && !force && usb_use_host(root, d, &why) < 0)
		return error_set(err, why.code,
				 "%s: end that first (umount), or pass it all the same with "
				 "force=on",
				 why.text);
	if (ret == 0 && usb_use_only_keyboard(root, d))
		log_warn("%s is the only keyboard of this host: while the guest has it, you can "
			 "end the machine only from elsewhere, as by ssh",
			 d->name);
	return ret;
}
