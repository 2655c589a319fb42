/* SPDX-License-Identifier: BSD-2-Clause */
/* A measuring guest's messages: its memory is the input, whose first words are the addresses that
 * it says in turn. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bench/port.h"
#include "vmm/core/mem.h"

#define SIZE	     0x4000u
#define MAX_MESSAGES 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct bench_results *r)
{
	size_t i;

	for (i = 0; i < BENCH_SERIES; i++)
		if (r->series[i].n > BENCH_MAX_SAMPLES || !r->series[i].n != !r->series[i].samples)
			abort();
	for (i = 0; r->failed[i]; i++)
		if (i + 1 == sizeof(r->failed) || r->failed[i] < ' ' || r->failed[i] > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *ram = aligned_alloc(4096, SIZE);
	struct mem_range range = { .size = SIZE, .kind = MEM_RAM, .host = ram };
	struct guest_mem *mem = guest_mem_new();
	struct bench_results r = { 0 };
	struct bench_exits now = { .known = true };
	uint32_t at;

	memset(ram, 0, SIZE);
	memcpy(ram, data, size < SIZE ? size : SIZE);
	if (guest_mem_add(mem, &range) < 0)
		abort();
	for (now.all = 0; now.all < MAX_MESSAGES; now.all++) {
		memcpy(&at, ram + now.all * 4, 4);
		now.user = at;
		bench_message(&r, mem, at, &now);
		check(&r);
	}
	bench_results_free(&r);
	guest_mem_free(mem);
	free(ram);
	return 0;
}
