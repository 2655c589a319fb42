/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of numbers: every range that is taken is one below the limit, and the walk ends. What the
 * list of pinned CPUs and the list of nodes make of it agrees with the walk. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"
#include "vmm/placement/numa.h"
#include "vmm/placement/pin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long walk(const char *list, unsigned max)
{
	unsigned first, last;
	const char *end = list + strlen(list), *at = list;
	long n = 0;
	int ret;

	while ((ret = text_range(&list, max, &first, &last)) > 0) {
		if (first > last || last >= max || list <= at || list > end)
			abort();
		at = list;
		n += (long)(last - first) + 1;
	}
	return ret < 0 ? ret : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *list = strndup((const char *)data, size);
	unsigned cpu[16];
	uint64_t nodes;
	long n = walk(list, PIN_CPUS);

	if (pin_list_parse(list, cpu, 16) != (n > 0 ? n : -EINVAL))
		abort();
	n = walk(list, NUMA_MAX_NODES);
	if (node_list_parse(list, &nodes) != (n > 0   ? 0
					      : n < 0 ? n
						      : -EINVAL) ||
	    (n > 0 && __builtin_popcountll(nodes) > n))
		abort();
	free(list);
	return 0;
}
