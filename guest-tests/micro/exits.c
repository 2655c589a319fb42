/* SPDX-License-Identifier: BSD-2-Clause */
/* Measures the cost of an exit to the process, in ticks of the TSC, by writes to an unused port. */
#include "lib.h"

#define ROUNDS 200u
#define WRITES 64u

static uint32_t round_of_writes(void)
{
	uint64_t start = __builtin_ia32_rdtsc();
	uint32_t i;

	for (i = 0; i < WRITES; i++)
		outb(0x80, 0);
	return (uint32_t)(__builtin_ia32_rdtsc() - start) / WRITES;
}

void guest_main(void)
{
	static uint32_t ticks[ROUNDS];
	uint32_t i, k, below;

	for (i = 0; i < ROUNDS; i++)
		ticks[i] = round_of_writes();
	/* Find the median: half of the values are smaller. */
	for (i = 0; i < ROUNDS; i++) {
		for (k = 0, below = 0; k < ROUNDS; k++)
			below += ticks[k] < ticks[i] || (ticks[k] == ticks[i] && k < i);
		if (below == ROUNDS / 2)
			break;
	}
	print_dec(ticks[i]);
	print(" ticks an exit\n");
}
