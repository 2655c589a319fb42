/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel images of every shape. The first byte picks the amount of RAM and whether there is an
 * initrd and a device tree; the rest is the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "firmware/e820.h"
#include "firmware/linux_boot.h"
#include "vmm/core/mem.h"

#define RAM_MAX (4 * MiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void *ram;
	static int kernel = -1, initrd = -1;
	struct e820_map map = { .n = 0 };
	struct platform p = { 0 };
	struct linux_boot_entry entry;
	struct error err = { 0 };
	struct linux_boot b = { .kernel_path = "kernel", .initrd_path = "initrd", .map = &map };
	uint64_t low, base, length;

	if (size < 1)
		return 0;
	if (!ram) {
		ram = mmap(NULL, RAM_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
		kernel = memfd_create("kernel", 0);
		initrd = memfd_create("initrd", 0);
	}
	if (ftruncate(initrd, data[0] & 16 ? (off_t)size * 100 : 5000) < 0)
		return 0;
	low = data[0] & 1 ? RAM_MAX : 2 * MiB;
	if (ftruncate(kernel, 0) < 0 || pwrite(kernel, data + 1, size - 1, 0) < 0)
		return 0;
	b.mem = guest_mem_new();
	guest_mem_add(b.mem, &(struct mem_range){ 0, low, ram, MEM_RAM, true });
	p.map = (struct memmap){ .low_ram = low, .high_base = 4 * GiB };
	e820_linux(&map, &p, low - 128 * KiB, 128 * KiB);
	b.kernel_fd = kernel;
	b.initrd_fd = data[0] & 2 ? initrd : -1;
	b.cmdline = data[0] & 4 ? "console=ttyS0" : NULL;
	b.dtb = data[0] & 8 ? data : NULL;
	b.dtb_size = b.dtb ? size : 0;
	if (linux_boot_check(kernel, "kernel", b.initrd_fd, "initrd", &err) < 0 && !err.text[0])
		abort();
	err = (struct error){ 0 };
	if (linux_boot_initrd_range(&b, &base, &length, &err) < 0 && !err.text[0])
		abort();
	err = (struct error){ 0 };
	if (linux_boot_load(&b, &entry, &err) < 0 && !err.text[0])
		abort();
	guest_mem_free(b.mem);
	return 0;
}
