/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's messages about devices. What is accepted has a name, a bus and an address in
 * bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uevent e;

	if (uevent_is_input((const char *)data, size) && !memmem(data, size, "input/event", 11))
		abort();
	if (!uevent_parse((const char *)data, size, &e))
		return 0;
	if (!e.name[0] || !memchr(e.name, '\0', sizeof(e.name)) || strchr(e.name, '/') ||
	    e.bus > 999 || e.addr > 999)
		abort();
	return 0;
}
