/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "firmware/e820.h"
#include "firmware/linux_boot.h"
#include "tests/unit/files_fixture.h"
#include "vmm/core/mem.h"

#define RAM (64 * MiB)

static struct guest_mem *mem;
static uint8_t *ram;
static struct e820_map map;
static struct linux_boot b;
static struct linux_boot_entry e;
static struct error err;

static int setup(void **state)
{
	struct platform p = { 0 };

	(void)state;
	mem = guest_mem_new();
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guest_mem_add(mem, &(struct mem_range){ 0, RAM, ram, MEM_RAM, true });
	map.n = 0;
	p.map = (struct memmap){ .low_ram = RAM, .high_base = 4 * GiB, .high_ram = GiB };
	assert_int_equal(e820_linux(&map, &p, RAM - 128 * KiB, 128 * KiB), 0);
	b = (struct linux_boot){ .mem = mem,
				 .kernel_path = "K",
				 .initrd_path = "I",
				 .map = &map,
				 .initrd_fd = -1,
				 .rsdp = 0xf0000 };
	b.kernel_fd = memfd_create("kernel", 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(b.kernel_fd);
	if (b.initrd_fd >= 0)
		close(b.initrd_fd);
	guest_mem_free(mem);
	munmap(ram, RAM);
	return 0;
}

static void put(uint64_t off, uint64_t v, unsigned size)
{
	file_poke(b.kernel_fd, off, v, size);
}

static uint64_t peek(uint64_t at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, ram + at, size);
	return v;
}

static void make_bzimage(void)
{
	fake_bzimage(b.kernel_fd);
	put(3 * 512, 0x1122334455667788, 8);
}

static void good(void)
{
	err = (struct error){ 0 };
	if (linux_boot_load(&b, &e, &err) < 0)
		fail_msg("%s", err.text);
}

static void bad(const char *words)
{
	err = (struct error){ 0 };
	assert_true(linux_boot_load(&b, &e, &err) < 0);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

/* Checks that need no guest memory: files that are not kernels, or do not exist. */
static void test_check(void **state)
{
	int pipe_fds[2];

	(void)state;
	make_bzimage();
	assert_int_equal(linux_boot_check(b.kernel_fd, "K", -1, NULL, &err), 0);
	put(0x202, 0, 4);
	assert_true(linux_boot_check(b.kernel_fd, "K", -1, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "K is neither a bzImage nor an ELF"));
	make_bzimage();
	assert_int_equal(pipe(pipe_fds), 0);
	assert_true(linux_boot_check(b.kernel_fd, "K", pipe_fds[0], "I", &err) < 0);
	assert_non_null(strstr(err.text, "I is not a file"));
	assert_true(linux_boot_check(pipe_fds[0], "K", -1, NULL, &err) < 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Half a kernel; an initrd that is empty, or that has become shorter. */
static void test_cut_off(void **state)
{
	(void)state;
	make_bzimage();
	put(0x1f4, 4096 / 16, 4);
	good();
	assert_int_equal(ftruncate(b.kernel_fd, 3 * 512 + 4096 + 100), 0); /* signed */
	good();
	assert_int_equal(ftruncate(b.kernel_fd, 3 * 512 + 4096 - 15), 0);
	good();
	assert_int_equal(ftruncate(b.kernel_fd, 3 * 512 + 4096 - 16), 0);
	bad("K is cut off: 5616 of 5632 bytes");
	assert_true(linux_boot_check(b.kernel_fd, "K", -1, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "K is cut off: 5616 of 5632 bytes"));
	put(0x1f4, UINT32_MAX, 4);
	bad("K is cut off: 5616 of 68719478256 bytes");
	assert_int_equal(ftruncate(b.kernel_fd, 1000), 0);
	put(0x1f4, 0, 4);
	bad("K is cut off: 1000 of 1537 bytes");

	make_bzimage();
	b.initrd_fd = memfd_create("initrd", 0);
	bad("I is empty");
	assert_true(linux_boot_check(b.kernel_fd, "K", b.initrd_fd, "I", &err) < 0);
	assert_non_null(strstr(err.text, "I is empty"));
	assert_int_equal(ftruncate(b.initrd_fd, 1), 0);
	good();
}

static void test_bzimage(void **state)
{
	char dtb[100] = "tree";

	(void)state;
	make_bzimage();
	b.cmdline = "console=ttyS0";
	b.dtb = dtb;
	b.dtb_size = sizeof(dtb);
	b.initrd_fd = memfd_create("initrd", 0);
	assert_int_equal(write(b.initrd_fd, "initrd!", 7), 7);
	good();
	assert_true(e.long_mode);
	assert_int_equal(e.rip, 0x1000200);
	assert_int_equal(e.rsi, 0x8000);
	assert_int_equal(peek(0x1000000, 8), 0x1122334455667788);
	assert_int_equal(peek(0x8000 + 0x210, 1), 0xff);
	assert_string_equal((char *)ram + peek(0x8000 + 0x228, 4), "console=ttyS0");
	assert_int_equal(peek(0x8000 + 0x21c, 4), 7);
	assert_memory_equal(ram + peek(0x8000 + 0x218, 4), "initrd!", 7);
	assert_true(peek(0x8000 + 0x218, 4) < RAM - 128 * KiB);
	assert_int_equal(peek(0x8000 + 0x70, 8), 0xf0000);
	assert_int_equal(peek(0x8000 + 0x1e8, 1), map.n);
	assert_memory_equal(ram + 0x8000 + 0x2d0, map.e, 20 * map.n);
	assert_int_equal(peek(peek(0x8000 + 0x250, 8) + 8, 4), 2);
	assert_memory_equal(ram + peek(0x8000 + 0x250, 8) + 16, "tree", 5);
	/* The page tables map the last 2 MiB below 4 GiB to themselves. */
	assert_int_equal(e.cr3, 0x2000);
	assert_int_equal(peek(0x7ff8, 8), 0xffe00083);
	assert_int_equal(peek(0x1010, 8), 0x00af9b000000ffff);
}

static void test_bzimage_32(void **state)
{
	(void)state;
	make_bzimage();
	put(0x236, 0, 2);
	good();
	assert_false(e.long_mode);
	assert_int_equal(e.rip, 0x1000000);
	/* There is too little memory at the preferred address, so the kernel is loaded elsewhere.
	 */
	put(0x258, 0x10000000, 8);
	good();
	assert_int_equal(e.rip, 0x200000);
	put(0x234, 0, 1);
	bad("--memory");
}

static void test_bzimage_bad(void **state)
{
	char cmdline[300];

	(void)state;
	make_bzimage();
	put(0x206, 0x200, 2);
	bad("too old");
	make_bzimage();
	put(0x1f1, 255, 1);
	bad("cut off");
	make_bzimage();
	put(0x201, 0x10, 1);
	bad("header");
	put(0x201, 0xff, 1);
	bad("header");
	make_bzimage();
	put(0x260, 0xffffffff, 4);
	bad("--memory");
	make_bzimage();
	put(0x258, 0xfffffffffffff000, 8);
	good(); /* relocated */
	memset(cmdline, 'a', 299);
	cmdline[299] = '\0';
	b.cmdline = cmdline;
	bad("--append");
	b.cmdline = NULL;
	b.initrd_fd = memfd_create("initrd", 0);
	assert_int_equal(ftruncate(b.initrd_fd, RAM), 0);
	bad("does not fit");
	assert_int_equal(ftruncate(b.initrd_fd, RAM - 17 * MiB), 0);
	make_bzimage();
	bad("together");
	assert_int_equal(ftruncate(b.kernel_fd, 0), 0);
	bad("neither");
}

static void make_elf(void)
{
	Elf32_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
			 .e_phoff = 64,
			 .e_phnum = 2 };
	Elf32_Phdr p[2] = {
		{ .p_type = PT_LOAD,
		  .p_offset = 256,
		  .p_paddr = 0x100000,
		  .p_filesz = 8,
		  .p_memsz = 4096 },
		{ .p_type = PT_NOTE, .p_offset = 512, .p_filesz = 20, .p_align = 4 },
	};
	const uint32_t note[] = { 4, 4, 18, 0x006e6558, 0x100004 };

	assert_int_equal(ftruncate(b.kernel_fd, 0), 0);
	assert_int_equal(ftruncate(b.kernel_fd, 1024), 0);
	assert_int_equal(pwrite(b.kernel_fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(pwrite(b.kernel_fd, p, sizeof(p), 64), sizeof(p));
	assert_int_equal(pwrite(b.kernel_fd, "codecode", 8, 256), 8);
	assert_int_equal(pwrite(b.kernel_fd, note, sizeof(note), 512), sizeof(note));
}

static void test_pvh(void **state)
{
	(void)state;
	make_elf();
	memset(ram + 0x100000, 0xff, 4096);
	b.cmdline = "hello";
	good();
	assert_false(e.long_mode);
	assert_int_equal(e.rip, 0x100004);
	assert_memory_equal(ram + 0x100000, "codecode\0\0\0", 11);
	assert_int_equal(peek(e.rbx, 4), 0x336ec578);
	assert_string_equal((char *)ram + peek(e.rbx + 24, 8), "hello");
	assert_int_equal(peek(e.rbx + 32, 8), 0xf0000);
	assert_int_equal(peek(e.rbx + 48, 4), map.n);
	assert_int_equal(peek(peek(e.rbx + 40, 8) + 8, 8), map.e[0].size);
}

static void test_pvh_bad(void **state)
{
	(void)state;
	make_elf();
	put(512 + 8, 17, 4);
	bad("PVH");
	make_elf();
	put(512, 0xffffffff, 4); /* the name's size */
	bad("PVH");
	make_elf();
	put(64 + 12, RAM - 4, 4); /* paddr */
	bad("does not fit");
	make_elf();
	put(64 + 16, 4097, 4); /* filesz above memsz */
	bad("does not fit");
	make_elf();
	put(28, 0xfffffff0, 4); /* e_phoff */
	bad("program header");
	make_elf();
	put(44, 0xffff, 2); /* e_phnum: past the end of the file */
	bad("program header");
	make_elf();
	put(64 + 4, 0x7fffffff, 4);
	bad("reading");
}

/* Notes in front of the one that is looked for; the file ends with it. */
static void put_notes(unsigned n)
{
	const uint32_t note[] = { 4, 4, 18, 0x006e6558, 0x100004 };

	make_elf();
	put(512, 0, 4);
	put(512 + 8, 0, 4);
	put(64 + 32 + 16, n * 12 + 20, 4); /* filesz */
	put(64 + 32 + 4, 1024, 4);
	assert_int_equal(ftruncate(b.kernel_fd, 1024 + n * 12), 0);
	assert_int_equal(pwrite(b.kernel_fd, note, sizeof(note), 1024 + n * 12), sizeof(note));
}

/* It takes no long time to refuse a file. */
static void test_pvh_many(void **state)
{
	(void)state;
	put_notes(1023);
	good();
	put_notes(1024);
	bad("PVH");
	make_elf();
	put(44, 129, 2); /* e_phnum */
	bad("129 program headers");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_check, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bzimage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bzimage_32, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bzimage_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pvh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pvh_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pvh_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
