/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the descriptors of a device (USB 3.2, 9.6), as a usbfs node gives them: the device
 * descriptor, then each configuration with everything that belongs to it. They come from the
 * device, so they may be wrong in every way.
 *
 * Threads: any; no state.
 */
#ifndef DEVICES_USB_USB_DESC_H
#define DEVICES_USB_USB_DESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USB_DESC_DEVICE_SIZE 18
#define USB_EP_SLOTS	     32 /* index: usb_ep_slot() */

enum usb_ep_type { USB_EP_CONTROL, USB_EP_ISO, USB_EP_BULK, USB_EP_INTERRUPT, USB_EP_NONE };

struct usb_ep_info {
	uint8_t type; /* enum usb_ep_type */
	uint8_t iface;
	uint16_t streams; /* how many streams it supports; 0: none */
};

/* Address 0x81 (IN) has slot 17, address 0x01 slot 1. */
static inline unsigned usb_ep_slot(uint8_t address)
{
	return (address & 0xf) | (address & 0x80) >> 3;
}

/* The number of configurations; 0: the device descriptor is damaged. */
unsigned usb_desc_configs(const uint8_t *desc, size_t len);
/* The interfaces of a configuration, a bit for each number below 32. -ENOENT: there is no such
 * configuration. -ERANGE: an interface has a higher number. */
int usb_desc_ifaces(const uint8_t *desc, size_t len, uint8_t config, uint32_t *ifaces);
/* Fills the table of endpoints for a configuration, in which interface i has the alternate setting
 * alt[i]. Entries that do not exist are USB_EP_NONE. Endpoint 0 is always there. */
void usb_desc_endpoints(const uint8_t *desc, size_t len, uint8_t config, const uint8_t alt[32],
			struct usb_ep_info ep[USB_EP_SLOTS]);
/* Says in a configuration descriptor, or in its first bytes, that the device cannot wake up the
 * host: we could not tell the guest, and a guest would put keyboards and mice to sleep. */
void usb_desc_clear_wakeup(uint8_t *desc, size_t len);

#endif
