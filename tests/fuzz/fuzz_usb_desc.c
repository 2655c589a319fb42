/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of a USB device: a byte for the configuration, one for the alternate settings, then
 * what the device says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/usb_desc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct usb_ep_info ep[USB_EP_SLOTS];
	uint8_t alt[32], head[16] = { 0 };
	uint32_t ifaces;

	if (size < 2)
		return 0;
	memset(alt, data[1], sizeof(alt));
	if (usb_desc_ifaces(data + 2, size - 2, data[0], &ifaces) == 0 &&
	    !usb_desc_configs(data + 2, size - 2) && data[0])
		abort();
	usb_desc_endpoints(data + 2, size - 2, data[0], alt, ep);
	if (ep[0].type != USB_EP_CONTROL || ep[16].type != USB_EP_CONTROL)
		abort();
	for (unsigned i = 0; i < USB_EP_SLOTS; i++)
		if (ep[i].type > USB_EP_NONE || (ep[i].streams && ep[i].type != USB_EP_BULK))
			abort();
	memcpy(head, data + 2, size - 2 < sizeof(head) ? size - 2 : sizeof(head));
	usb_desc_clear_wakeup(head, sizeof(head));
	return 0;
}
