/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every descriptor begins with its length and its type. Configurations come one after the other,
 * each as long as its wTotalLength says, or as the rest if that is less. A descriptor of length 0
 * or 1, or one that is longer than what is left, ends its configuration.
 */
#include "devices/usb/usb_desc.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/addr.h"

enum { DESC_DEVICE = 1, DESC_CONFIG, DESC_INTERFACE = 4, DESC_ENDPOINT, DESC_SS_EP = 0x30 };
enum { SIZE_CONFIG = 9, SIZE_INTERFACE = 9, SIZE_ENDPOINT = 7, SIZE_SS_EP = 6 };

#define CONFIG_ATTRIBUTES 7
#define CONFIG_WAKEUP	  0x20
#define STREAMS_MAX_EXP	  16 /* bmAttributes of the companion: 2 to this power */

/* A cursor over descriptors. */
struct walk {
	const uint8_t *at;
	size_t left;
};

/* The next descriptor; NULL: there are no more. */
static const uint8_t *desc_next(struct walk *w)
{
	const uint8_t *d = w->at;

	if (w->left < 2 || d[0] < 2 || d[0] > w->left)
		return NULL;
	w->at += d[0];
	w->left -= d[0];
	return d;
}

static bool desc_is(const uint8_t *d, uint8_t type, uint8_t size)
{
	return d[1] == type && d[0] >= size;
}

unsigned usb_desc_configs(const uint8_t *desc, size_t len)
{
	return len >= USB_DESC_DEVICE_SIZE && desc_is(desc, DESC_DEVICE, USB_DESC_DEVICE_SIZE)
		       ? desc[17]
		       : 0;
}

/* What belongs to a configuration. False: there is no such configuration. */
static bool config_find(const uint8_t *desc, size_t len, uint8_t config, struct walk *w)
{
	struct walk rest;
	size_t total;

	if (!usb_desc_configs(desc, len))
		return false;
	rest = (struct walk){ desc + USB_DESC_DEVICE_SIZE, len - USB_DESC_DEVICE_SIZE };
	while (rest.left >= SIZE_CONFIG && desc_is(rest.at, DESC_CONFIG, SIZE_CONFIG)) {
		total = (size_t)(rest.at[2] | rest.at[3] << 8);
		if (total > rest.left)
			total = rest.left;
		*w = (struct walk){ rest.at, total };
		if (rest.at[5] == config)
			return true;
		if (total < SIZE_CONFIG)
			return false;
		rest.at += total;
		rest.left -= total;
	}
	return false;
}

int usb_desc_ifaces(const uint8_t *desc, size_t len, uint8_t config, uint32_t *ifaces)
{
	const uint8_t *d;
	struct walk w;

	*ifaces = 0;
	if (!config_find(desc, len, config, &w))
		return -ENOENT;
	while ((d = desc_next(&w))) {
		if (!desc_is(d, DESC_INTERFACE, SIZE_INTERFACE))
			continue;
		if (d[2] >= 32)
			return -ERANGE;
		*ifaces |= 1u << d[2];
	}
	return 0;
}

static struct usb_ep_info *add_endpoint(const uint8_t *d, uint8_t iface, struct usb_ep_info *ep)
{
	unsigned slot = usb_ep_slot(d[2]);

	if ((slot & 0xf) == 0) /* endpoint 0 has no descriptor */
		return NULL;
	ep[slot] = (struct usb_ep_info){ .type = d[3] & 3, .iface = iface };
	/* More control endpoints than endpoint 0: nobody has them, and usbfs is not asked. */
	if (ep[slot].type == USB_EP_CONTROL)
		ep[slot].type = USB_EP_NONE;
	return &ep[slot];
}

static void add_companion(const uint8_t *d, struct usb_ep_info *ep)
{
	unsigned exp = d[3] & 0x1f;

	if (ep && ep->type == USB_EP_BULK && exp > 0)
		ep->streams = (uint16_t)(exp >= STREAMS_MAX_EXP ? UINT16_MAX : 1u << exp);
}

void usb_desc_endpoints(const uint8_t *desc, size_t len, uint8_t config, const uint8_t alt[32],
			struct usb_ep_info ep[USB_EP_SLOTS])
{
	struct usb_ep_info *last = NULL;
	bool chosen = false;
	uint8_t iface = 0;
	const uint8_t *d;
	struct walk w;

	for (unsigned i = 0; i < USB_EP_SLOTS; i++)
		ep[i] = (struct usb_ep_info){ .type = USB_EP_NONE };
	ep[0].type = ep[16].type = USB_EP_CONTROL;
	if (!config_find(desc, len, config, &w))
		return;
	while ((d = desc_next(&w))) {
		if (desc_is(d, DESC_INTERFACE, SIZE_INTERFACE)) {
			iface = d[2];
			chosen = iface < 32 && alt[iface] == d[3];
			last = NULL;
		} else if (chosen && desc_is(d, DESC_ENDPOINT, SIZE_ENDPOINT)) {
			last = add_endpoint(d, iface, ep);
		} else if (chosen && desc_is(d, DESC_SS_EP, SIZE_SS_EP)) {
			add_companion(d, last);
		}
	}
}

void usb_desc_clear_wakeup(uint8_t *desc, size_t len)
{
	if (len > CONFIG_ATTRIBUTES && desc[1] == DESC_CONFIG)
		desc[CONFIG_ATTRIBUTES] &= (uint8_t)~CONFIG_WAKEUP;
}
