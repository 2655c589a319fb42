/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw_cfg's ports and DMA descriptors. The input is a list of port accesses, and the descriptors lie
 * in guest memory that is filled from the input's tail.
 *
 * Input: records of 6 bytes: kind, port/offset, value (4).
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/fw_cfg.h"
#include "vmm/core/bus.h"
#include "vmm/core/mem.h"

#define RAM_SIZE 0x4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_event(void *arg)
{
	++*(unsigned *)arg;
}

static void step(struct bus *pio, const uint8_t *r)
{
	uint32_t val = (uint32_t)(r[2] | r[3] << 8 | r[4] << 16) | (uint32_t)r[5] << 24;

	switch (r[0] & 3) {
	case 0:
		bus_write(pio, 0x510, 2, val);
		break;
	case 1:
		bus_read(pio, 0x510 + r[1] % 12, 1u << (r[0] >> 2 & 3));
		break;
	case 2:
		bus_write(pio, 0x510 + r[1] % 12, 1u << (r[0] >> 2 & 3), val);
		break;
	case 3:
		bus_write(pio, 0x518, 4, htobe32(val % RAM_SIZE));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
	static uint8_t writable[64];
	static unsigned events;
	const struct mem_range r = { .size = RAM_SIZE, .host = ram };
	const struct fw_cfg_ref ref = { .data = writable,
					.len = sizeof(writable),
					.select = on_event,
					.written = on_event,
					.arg = &events };
	struct bus *pio = bus_new(0x10000);
	struct guest_mem *mem = guest_mem_new();
	struct fw_cfg *fw = fw_cfg_new(pio, mem);
	size_t copy = len < RAM_SIZE ? len : RAM_SIZE;

	for (size_t i = 0; i < copy; i++)
		ram[i] = data[len - 1 - i];
	if (!fw || guest_mem_add(mem, &r) || fw_cfg_add_string(fw, "etc/a", "something") ||
	    fw_cfg_add_file_ref(fw, "etc/w", &ref) || fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, 3))
		abort();
	for (size_t i = 0; len - i >= 6 && i < 6 * 200; i += 6)
		step(pio, data + i);
	fw_cfg_free(fw);
	guest_mem_free(mem);
	bus_free(pio);
	return 0;
}
