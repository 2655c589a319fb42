/* SPDX-License-Identifier: BSD-2-Clause */
/* The record of a bound device. Whatever is accepted is what would be written for it, and names no
 * other folder of sysfs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/host/bind_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bind_record r = { .bdf = "kept" };
	char text[BIND_RECORD_SIZE];
	int n;

	if (bind_record_parse(&r, (const char *)data, size) < 0)
		return 0;
	n = snprintf(text, sizeof(text), "driver=%s\noverride=%s\n", r.driver, r.override);
	if ((size_t)n != size || memcmp(text, data, size) != 0 || strcmp(r.bdf, "kept") != 0 ||
	    strchr(r.driver, '/') || strcmp(r.driver, "..") == 0)
		abort();
	return 0;
}
