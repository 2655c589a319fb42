/* SPDX-License-Identifier: BSD-2-Clause */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "firmware/e820.h"
#include "devices/chipset/fw_cfg.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hold.h"
#include "vmm/core/bus.h"
#include "vmm/core/mem.h"

#define RAM_SIZE (1 * MiB)

struct fixture {
	struct bus *pio;
	struct guest_mem *mem;
	uint8_t *ram;
	struct fw_cfg *fw;
	struct evloop *loop;
	struct ev_timer *timer;
	unsigned calls;
	uint8_t blob[8];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mem_range r = { .size = RAM_SIZE };

	f->pio = bus_new(0x10000);
	f->mem = guest_mem_new();
	f->ram = r.host = aligned_alloc(4096, RAM_SIZE);
	memset(f->ram, 0xaa, RAM_SIZE);
	f->fw = fw_cfg_new(f->pio, f->mem);
	*state = f;
	return guest_mem_add(f->mem, &r) || !f->fw;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fw_cfg_free(f->fw);
	guest_mem_free(f->mem);
	bus_free(f->pio);
	free(f->ram);
	free(f);
	return 0;
}

static void sel(struct fixture *f, unsigned key)
{
	bus_write(f->pio, 0x510, 2, key);
}

static uint64_t next(struct fixture *f, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= bus_read(f->pio, 0x511, 1) << 8 * i;
	return v;
}

/* Runs one DMA command with the descriptor at 0x100; returns the control word afterwards. */
static uint32_t dma(struct fixture *f, uint32_t control, uint32_t len, uint64_t addr)
{
	uint32_t c = htobe32(control), l = htobe32(len);
	uint64_t a = htobe64(addr);

	memcpy(f->ram + 0x100, &c, 4);
	memcpy(f->ram + 0x104, &l, 4);
	memcpy(f->ram + 0x108, &a, 8);
	bus_write(f->pio, 0x514, 4, 0);
	bus_write(f->pio, 0x518, 4, htobe32(0x100));
	memcpy(&c, f->ram + 0x100, 4);
	return be32toh(c);
}

static void test_basics(void **state)
{
	struct fixture *f = *state;

	sel(f, 0);
	assert_int_equal(next(f, 4), 0x554d4551); /* QEMU */
	assert_int_equal(next(f, 4), 0);	  /* past the end */
	sel(f, 1);
	assert_int_equal(next(f, 4), 3);
	sel(f, 0x1234);
	assert_int_equal(next(f, 4), 0); /* unknown */
	sel(f, 0xffff);
	assert_int_equal(next(f, 4), 0);
	assert_int_equal(bus_read(f->pio, 0x514, 4), htobe32(0x51454d55));
	assert_int_equal(bus_read(f->pio, 0x518, 4), htobe32(0x20434647));
	assert_int_equal(bus_read(f->pio, 0x510, 2), 0xffff);
}

static void test_directory(void **state)
{
	struct fixture *f = *state;
	char name[57] = { 0 };
	char too_long[FW_CFG_NAME_LEN + 1];

	assert_int_equal(fw_cfg_add_file(f->fw, "bootorder", "x", 2), 0);
	assert_int_equal(fw_cfg_add_mmio64_size(f->fw, 262144), 0);
	assert_int_equal(fw_cfg_add_file(f->fw, "bootorder", "y", 2), -EEXIST);
	memset(too_long, 'a', sizeof(too_long));
	too_long[FW_CFG_NAME_LEN] = 0;
	assert_int_equal(fw_cfg_add_file(f->fw, too_long, "y", 2), -EINVAL);
	sel(f, FW_CFG_FILE_DIR);
	assert_int_equal(be32toh((uint32_t)next(f, 4)), 2);
	assert_int_equal(be32toh((uint32_t)next(f, 4)), 2);
	assert_int_equal(be16toh((uint16_t)next(f, 2)), FW_CFG_FILE_FIRST);
	next(f, 2);
	for (unsigned i = 0; i < 56; i++)
		name[i] = (char)next(f, 1);
	assert_string_equal(name, "bootorder");
	/* the digits, without a terminating zero */
	assert_int_equal(be32toh((uint32_t)next(f, 4)), 6);
	sel(f, FW_CFG_FILE_FIRST + 1);
	assert_int_equal(next(f, 6), 0x343431323632); /* 262144 */
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	char name[16];
	unsigned i;

	for (i = 0; i < FW_CFG_MAX_FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(fw_cfg_add_file(f->fw, name, "", 1), 0);
	}
	assert_int_equal(fw_cfg_add_file(f->fw, "one more", "", 1), -ENOSPC);
	assert_int_equal(fw_cfg_add_u16(f->fw, 5, 4), 0);
	assert_int_equal(fw_cfg_add_u16(f->fw, 5, 4), -EEXIST);
	assert_int_equal(fw_cfg_add_u16(f->fw, 0x1000, 4), -EINVAL);
}

static void test_dma_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fw_cfg_add(f->fw, 5, "abcdef", 6), 0);
	assert_int_equal(dma(f, 5u << 16 | 0x0a, 4, 0x2000), 0); /* select and read */
	assert_memory_equal(f->ram + 0x2000, "abcd\xaa", 5);
	assert_int_equal(dma(f, 0x02, 4, 0x2000), 0); /* continues, then zeros behind the end */
	assert_memory_equal(f->ram + 0x2000, "ef\0\0\xaa", 5);
	assert_int_equal(dma(f, 5u << 16 | 0x0c, 5, 0), 0); /* select and skip */
	assert_int_equal(dma(f, 0x02, 1, 0x2000), 0);
	assert_int_equal(f->ram[0x2000], 'f');
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, 0x3000, 0x2000), 0);
	assert_int_equal(f->ram[0x4fff], 0);
	assert_int_equal(f->ram[0x5000], 0xaa);
}

/* A vCPU that must stop does not finish a long transfer first; the guest sees an error. */
static void test_dma_breaks_off(void **state)
{
	struct fixture *f = *state;
	int wanted = 1;

	hold_allow(&wanted, SIGUSR1);
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE - 0x2000, 0x2000), 1);
	assert_int_equal(f->ram[0x2000 + 256 * KiB - 1], 0);
	assert_int_equal(f->ram[0x2000 + 256 * KiB], 0xaa);
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, 256 * KiB, 0x2000), 0);
	wanted = 0;
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE - 0x2000, 0x2000), 0);
	assert_int_equal(f->ram[RAM_SIZE - 1], 0);
	hold_allow(NULL, 0);
}

static void look_done(void *arg)
{
	struct fixture *f = arg;

	if (f->ram[0x103] > 1) /* the control word, which is more than an error */
		ev_timer_set(f->timer, evloop_now_ns() + 1000000);
	else
		evloop_stop(f->loop, 0);
}

/* With a main loop, the transfer goes on there, and the guest sees nothing of it. */
static void test_dma_goes_on(void **state)
{
	struct fixture *f = *state;
	int wanted = 1;

	f->loop = evloop_new();
	f->timer = evloop_add_timer(f->loop, look_done, f);
	fw_cfg_use_loop(f->fw, f->loop);
	hold_allow(&wanted, SIGUSR1);
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE - 0x2000, 0x2000), 0x77u << 16 | 0x0a);
	assert_int_equal(f->ram[0x2000 + 256 * KiB - 1], 0);
	assert_int_equal(f->ram[0x2000 + 256 * KiB], 0xaa);
	ev_timer_set(f->timer, evloop_now_ns() + 1);
	evloop_run(f->loop);
	assert_int_equal(f->ram[0x103], 0);
	assert_int_equal(f->ram[RAM_SIZE - 1], 0);
	/* The driver does not wait for it. */
	memset(f->ram + 0x2000, 0xaa, RAM_SIZE - 0x2000);
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE - 0x2000, 0x2000), 0x77u << 16 | 0x0a);
	sel(f, 5);
	assert_int_equal(f->ram[0x103], 1);
	/* It goes out of memory on the way. */
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE, 0x2000), 0x77u << 16 | 0x0a);
	ev_timer_set(f->timer, evloop_now_ns() + 1);
	evloop_run(f->loop);
	assert_int_equal(f->ram[0x103], 1);
	/* A reset, and the end, in the middle of it. */
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE - 0x2000, 0x2000), 0x77u << 16 | 0x0a);
	fw_cfg_reset(f->fw);
	assert_int_equal(f->ram[0x103], 0x0a);
	assert_int_equal(dma(f, 0x77u << 16 | 0x0a, RAM_SIZE - 0x2000, 0x2000), 0x77u << 16 | 0x0a);
	hold_allow(NULL, 0);
	fw_cfg_free(f->fw);
	f->fw = NULL;
	evloop_free(f->loop);
}

static void test_dma_errors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fw_cfg_add(f->fw, 5, "abcdef", 6), 0);
	assert_int_equal(dma(f, 5u << 16 | 0x0a, 4, RAM_SIZE - 2), 1);
	assert_int_equal(dma(f, 5u << 16 | 0x0a, 4, UINT64_MAX - 1), 1);
	assert_int_equal(dma(f, 5u << 16 | 0x0a, UINT32_MAX, 0x2000), 1);
	assert_int_equal(dma(f, 5u << 16 | 0x18, 4, 0x2000), 1); /* read-only */
	/* With descriptors that are not in RAM, nothing happens. */
	bus_write(f->pio, 0x514, 4, htobe32(0xffffffff));
	bus_write(f->pio, 0x518, 4, htobe32(0xfffffff8));
	bus_write(f->pio, 0x518, 4, htobe32(RAM_SIZE - 8));
}

static void on_call(void *arg)
{
	struct fixture *f = arg;

	f->calls++;
}

static void on_select(void *arg)
{
	struct fixture *f = arg;

	f->calls++;
	memset(f->blob, 'a' + (int)f->calls, sizeof(f->blob));
}

static void test_callbacks(void **state)
{
	struct fixture *f = *state;
	struct fw_cfg_ref built = { f->blob, sizeof(f->blob), on_select, NULL, f, NULL };
	struct fw_cfg_ref writable = { f->blob, sizeof(f->blob), NULL, on_call, f, NULL };

	assert_int_equal(fw_cfg_add_file_ref(f->fw, "built", &built), 0);
	assert_int_equal(fw_cfg_add_ref(f->fw, 6, &writable), 0);
	sel(f, FW_CFG_FILE_FIRST);
	assert_int_equal(f->calls, 1);
	assert_int_equal(next(f, 1), 'b');
	assert_int_equal(dma(f, FW_CFG_FILE_FIRST << 16 | 0x0a, 1, 0x2000), 0);
	assert_int_equal(f->ram[0x2000], 'c');
	memcpy(f->ram + 0x2000, "12345678", 8);
	assert_int_equal(dma(f, 6u << 16 | 0x18, 8, 0x2000), 0);
	assert_memory_equal(f->blob, "12345678", 8);
	assert_int_equal(f->calls, 3);
	assert_int_equal(dma(f, 6u << 16 | 0x18, 9, 0x2000), 1); /* longer than the item */
	assert_int_equal(dma(f, 0x10, UINT32_MAX, 0x2000), 1);
	assert_int_equal(f->calls, 3);
}

static int memfile(const void *data, size_t len)
{
	int fd = memfd_create("file", 0);

	assert_int_equal(write(fd, data, len), len);
	return fd;
}

static void test_linux(void **state)
{
	struct fixture *f = *state;
	static uint8_t image[8192];
	struct fw_cfg_linux l = { memfile(image, sizeof(image)), -1, "K", "I", "" };

	assert_int_equal(fw_cfg_add_linux(f->fw, &l), -EINVAL);
	assert_int_equal(pwrite(l.kernel_fd, "HdrS", 4, 0x202), 4);
	assert_int_equal(pwrite(l.kernel_fd, "\003", 1, 0x1f1), 1);
	assert_int_equal(pwrite(l.kernel_fd, "\x5a", 1, 2048), 1);
	assert_int_equal(ftruncate(l.kernel_fd, 1024), 0);
	assert_int_equal(fw_cfg_add_linux(f->fw, &l), -EINVAL);
	assert_int_equal(ftruncate(l.kernel_fd, sizeof(image)), 0);
	assert_int_equal(pwrite(l.kernel_fd, "\x5a", 1, 2048), 1);
	l.initrd_fd = memfile("rd", 2);
	l.cmdline = "quiet";
	assert_int_equal(fw_cfg_add_linux(f->fw, &l), 0);
	sel(f, FW_CFG_SETUP_SIZE);
	assert_int_equal(next(f, 4), 2048);
	sel(f, FW_CFG_KERNEL_SIZE);
	assert_int_equal(next(f, 4), 6144);
	sel(f, FW_CFG_KERNEL_DATA);
	assert_int_equal(next(f, 1), 0x5a);
	assert_int_equal(next(f, 1), 0);
	sel(f, FW_CFG_INITRD_SIZE);
	assert_int_equal(next(f, 4), 2);
	sel(f, FW_CFG_INITRD_DATA);
	assert_int_equal(next(f, 4), 'r' | 'd' << 8);
	sel(f, FW_CFG_CMDLINE_SIZE);
	assert_int_equal(next(f, 4), 6);
	sel(f, FW_CFG_CMDLINE_DATA);
	assert_int_equal(next(f, 6), 0x7465697571);
	close(l.kernel_fd);
	close(l.initrd_fd);
}

/* Reads by DMA, in pieces and beyond the end. Then somebody shortens the files. */
static void test_linux_files(void **state)
{
	struct fixture *f = *state;
	uint8_t image[4096] = { [0x1f1] = 1, [0x202] = 'H', 'd', 'r', 'S' }, ones[16];
	struct fw_cfg_linux l = { -1, memfile("initrd", 6), "K", "I", "" };

	memset(ones, 1, sizeof(ones));
	memcpy(image + 1024, "kernel", 6);
	l.kernel_fd = memfile(image, sizeof(image));
	assert_int_equal(fw_cfg_add_linux(f->fw, &l), 0);
	assert_int_equal(dma(f, FW_CFG_KERNEL_DATA << 16 | 0x0a, 3, 0x2000), 0);
	assert_memory_equal(f->ram + 0x2000, "ker", 3);
	assert_int_equal(dma(f, 0x02, 3, 0x2000), 0);
	assert_memory_equal(f->ram + 0x2000, "nel", 3);
	memcpy(f->ram + 0x2000, ones, sizeof(ones));
	assert_int_equal(dma(f, FW_CFG_INITRD_DATA << 16 | 0x0a, 8, 0x2000), 0);
	assert_memory_equal(f->ram + 0x2000, "initrd\0\0\1", 9);
	assert_int_equal(dma(f, FW_CFG_INITRD_DATA << 16 | 0x0a, UINT32_MAX, 0x2000), 1);
	assert_int_equal(dma(f, FW_CFG_INITRD_DATA << 16 | 0x18, 1, 0x2000), 1); /* no writing */
	assert_int_equal(ftruncate(l.initrd_fd, 3), 0);
	assert_int_equal(ftruncate(l.kernel_fd, 0), 0);
	assert_int_equal(dma(f, FW_CFG_INITRD_DATA << 16 | 0x0a, 3, 0x2000), 0);
	assert_int_equal(dma(f, FW_CFG_INITRD_DATA << 16 | 0x0a, 6, 0x2000), 1);
	assert_int_equal(dma(f, FW_CFG_KERNEL_DATA << 16 | 0x0a, 1, 0x2000), 1);
	assert_int_equal(dma(f, FW_CFG_SETUP_DATA << 16 | 0x0a, 1, 0x2000), 1);
	sel(f, FW_CFG_KERNEL_DATA);
	assert_int_equal(next(f, 1), 0);
	close(l.kernel_fd);
	close(l.initrd_fd);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_basics),	    T(test_directory),	    T(test_limits),	 T(test_dma_read),
		T(test_dma_errors), T(test_dma_breaks_off), T(test_dma_goes_on), T(test_callbacks),
		T(test_linux),	    T(test_linux_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
