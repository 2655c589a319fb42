/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flash's command sequences. Whatever they are, afterwards ff brings the array back, with the
 * slot in place and equal to what lies in memory, and to what was stored: a store that fails leaves
 * both as they were.
 *
 * Input: records of 4 bytes: size, direction, failure of the store, reset; offset (2), value.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/pflash.h"
#include "vmm/core/mem.h"

#define BASE 0xffc00000u
#define SIZE 0x4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct store {
	uint8_t kept[SIZE];
	bool fails;
};

static int on_store(void *arg, uint64_t off, const void *data, size_t len)
{
	struct store *s = arg;

	if (s->fails)
		return -ENOSPC;
	if (off > SIZE || len > SIZE - off)
		abort();
	memcpy(s->kept + off, data, len);
	return 0;
}

static void check(struct pflash *f, struct bus *mmio, struct guest_mem *mem)
{
	uint8_t b;

	bus_write(mmio, BASE, 1,
		  0xff); /* ends a program or erase that waits for its second cycle */
	bus_write(mmio, BASE, 1, 0xff);
	for (unsigned off = 0; off < SIZE; off += 1021)
		if (guest_mem_read(mem, GPA(BASE + off), &b, 1) || b != f->data[off])
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t array[SIZE] __attribute__((aligned(4096)));
	struct bus *mmio = bus_new(1ull << 52);
	struct guest_mem *mem = guest_mem_new();
	static struct store store;
	struct pflash f;

	log_set_level(LOG_ERROR);
	memset(array, 0x8d, sizeof(array));
	memset(store.kept, 0x8d, sizeof(store.kept));
	if (pflash_init(&f, "fuzz", mmio, mem, BASE, array, SIZE, len & 1))
		abort();
	pflash_set_store(&f, on_store, &store);
	for (size_t i = 0; len - i >= 4 && i < 4 * 1000; i += 4) {
		unsigned size = 1u << (data[i] & 3), off = data[i + 1] | data[i + 2] << 8;

		store.fails = data[i] & 8;
		if (data[i] & 16)
			pflash_reset(&f);
		if (data[i] & 4)
			bus_read(mmio, BASE + off % (SIZE + 8), size);
		else
			bus_write(mmio, BASE + off % (SIZE + 8), size,
				  data[i + 3] * 0x0101010101010101ull);
	}
	check(&f, mmio, mem);
	if (memcmp(array, store.kept, SIZE))
		abort();
	pflash_destroy(&f);
	guest_mem_free(mem);
	bus_free(mmio);
	return 0;
}
