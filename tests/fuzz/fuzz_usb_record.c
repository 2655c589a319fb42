/* SPDX-License-Identifier: BSD-2-Clause */
/* The record of a USB device, and the names of devices. Whatever is accepted is what would be
 * written for it. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/usb_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[64], again[USB_NAME_SIZE];
	struct usb_spec s, t;
	struct usb_record r;
	int n;

	if (usb_record_parse(&r, (const char *)data, size) == 0) {
		n = snprintf(text, sizeof(text), "device=%04x:%04x\n", r.vendor, r.product);
		if ((size_t)n != size || memcmp(text, data, size) != 0)
			abort();
	}
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (usb_spec_parse(text, &s, NULL) < 0)
		return 0;
	usb_spec_text(&s, again);
	if (usb_spec_parse(again, &t, NULL) < 0 || memcmp(&s, &t, sizeof(s)) != 0)
		abort();
	return 0;
}
