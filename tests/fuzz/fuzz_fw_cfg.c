/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw_cfg's ports and DMA descriptors. The input is a list of port accesses, and the descriptors lie
 * in guest memory that is filled from the input's tail. A kernel and an initrd are items as well,
 * whose files change their length meanwhile.
 *
 * Input: records of 6 bytes: kind, port/offset, value (4).
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/chipset/fw_cfg.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"

#define RAM_SIZE 0x4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_event(void *arg)
{
	++*(unsigned *)arg;
}

/* A kernel and an initrd with a little in them. */
struct files {
	int kernel, initrd;
};

static struct files files_make(void)
{
	static struct files f = { -1, -1 };
	uint8_t head[0x268] = { [0x1f1] = 1, [0x202] = 'H', 'd', 'r', 'S' };

	if (f.kernel < 0) {
		f.kernel = memfd_create("kernel", 0);
		f.initrd = memfd_create("initrd", 0);
	}
	if (pwrite(f.kernel, head, sizeof(head), 0) < 0 || ftruncate(f.kernel, 5000) < 0 ||
	    ftruncate(f.initrd, 3000) < 0)
		abort();
	return f;
}

static void step(struct bus *pio, const struct files *f, const uint8_t *r)
{
	uint32_t val = (uint32_t)(r[2] | r[3] << 8 | r[4] << 16) | (uint32_t)r[5] << 24;

	if (r[0] & 128)
		(void)!ftruncate(r[0] & 64 ? f->kernel : f->initrd, val % 6000);
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
	struct files files = files_make();
	const struct fw_cfg_linux l = { files.kernel, len & 1 ? -1 : files.initrd, "kernel",
					"initrd", "quiet" };
	size_t copy = len < RAM_SIZE ? len : RAM_SIZE;

	for (size_t i = 0; i < copy; i++)
		ram[i] = data[len - 1 - i];
	if (!fw || guest_mem_add(mem, &r) || fw_cfg_add_file(fw, "etc/a", "something", 10) ||
	    fw_cfg_add_file_ref(fw, "etc/w", &ref) || fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, 3) ||
	    fw_cfg_add_mmio64_size(fw, len) || fw_cfg_add_linux(fw, &l))
		abort();
	log_set_level(LOG_ERROR);
	for (size_t i = 0; len - i >= 6 && i < 6 * 200; i += 6)
		step(pio, &files, data + i);
	fw_cfg_reset(fw);
	fw_cfg_free(fw);
	guest_mem_free(mem);
	bus_free(pio);
	return 0;
}
