/* SPDX-License-Identifier: BSD-2-Clause */
/* A file as romfile=, or a device's ROM as check reads it. */
#include <stdlib.h>

#include "vfio/rom_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rom_image r;

	if (rom_image_scan(data, len, 0x10de, 0x1b80, &r, NULL) == 0 &&
	    (r.start >= r.end || r.end > len || !r.n))
		abort();
	return 0;
}
