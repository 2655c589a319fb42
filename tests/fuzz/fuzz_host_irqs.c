/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of /proc/interrupts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/host_irqs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct host_irq q;

	memcpy(line, data, size);
	line[size] = '\0';
	if (host_irq_parse(line, "0000:01:00.0", &q) && !strstr(line, "(0000:01:00.0)"))
		abort();
	free(line);
	return 0;
}
