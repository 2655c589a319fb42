/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's binary statistics: every value of whatever is accepted is read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/kvm/kvm_stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see(void *arg, const struct kvm_stat *s)
{
	uint64_t *sum = arg;
	unsigned i;

	*sum += strlen(s->name);
	for (i = 0; i < s->n; i++)
		*sum += kvm_stat_value(s, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;

	if (kvm_stats_parse(data, size, see, &sum) < 0 && sum)
		abort();
	return 0;
}
