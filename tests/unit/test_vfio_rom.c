/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <unistd.h>

#include "vfio_fixture.h"
#include "vfio/rom.h"
#include "vfio/rom_image.h"

#define ROM PCI_ROM_ADDRESS

/* One image of `units` * 512 bytes at p, with a right checksum. */
static void image(uint8_t *p, unsigned units, uint8_t code_type, bool last)
{
	uint8_t sum = 0;

	memset(p, 0, units * 512);
	p[0] = 0x55, p[1] = 0xaa, p[2] = (uint8_t)units;
	pci_set16(p, 0x18, 0x40);
	memcpy(p + 0x40, "PCIR", 4);
	pci_set16(p, 0x44, 0x1234);
	pci_set16(p, 0x46, 0x5678);
	pci_set16(p, 0x4a, 0x18);
	pci_set16(p, 0x50, (uint16_t)units);
	p[0x54] = code_type;
	p[0x55] = last ? 0x80 : 0;
	for (unsigned i = 0; i < units * 512; i++)
		sum = (uint8_t)(sum + p[i]);
	p[units * 512 - 1] = (uint8_t)-sum;
}

static int scan(const uint8_t *p, size_t size, struct rom_image *r)
{
	struct error err = { 0 };
	uint8_t *copy = malloc(size ? size : 1); /* ASan finds reads behind the end */
	int ret;

	memcpy(copy, p, size);
	ret = rom_image_scan(copy, size, 0x1234, 0x5678, r, &err);
	free(copy);
	return ret;
}

static void test_chain(void **state)
{
	struct rom_image r;
	uint8_t p[4096] = { 0 };

	(void)state;
	image(p, 2, 0, false);
	image(p + 1024, 4, 3, true);
	assert_int_equal(scan(p, 3072, &r), 0);
	assert_true(r.n == 2 && r.efi && r.legacy && r.has_end && !r.bad_sum && !r.any_device);
	assert_true(r.start == 0 && r.end == 3072 && !r.other_vendor);
	assert_int_equal(scan(p, 4096, &r), 0); /* padding behind the last image */
	assert_int_equal(r.end, 3072);
	p[1024 + 100]++; /* an EFI image has no checksum */
	assert_int_equal(scan(p, 3072, &r), 0);
	assert_false(r.bad_sum);
	p[100]++;
	assert_int_equal(scan(p, 3072, &r), 0);
	assert_true(r.bad_sum);
	/* The file ends before the chain of images does. */
	p[1024] = 0;
	assert_int_equal(scan(p, 3072, &r), 0);
	assert_true(r.n == 1 && !r.efi && !r.has_end && r.end == 1024);
}

/* Chains that firmware could not follow; only these are errors. */
static void test_no_image(void **state)
{
	struct rom_image r;
	uint8_t p[4096];

	(void)state;
	image(p, 2, 0, false);
	image(p + 1024, 4, 3, true);
	for (size_t n = 0; n < 1024; n += 7)
		assert_int_equal(scan(p, n, &r), -EINVAL);
	for (size_t n = 1024 + 0x40 + 0x18; n < 3072; n += 7)
		assert_int_equal(scan(p, n, &r), -EINVAL);
	image(p, 2, 0, true);
	p[1] = 0;
	assert_int_equal(scan(p, 1024, &r), -EINVAL);
	image(p, 2, 3, true);
	pci_set16(p, 0x18, 0xfff0);
	assert_int_equal(scan(p, 1024, &r), -EINVAL);
	image(p, 2, 3, true);
	pci_set16(p, 0x50, 0);
	assert_int_equal(scan(p, 1024, &r), -EINVAL);
	image(p, 2, 3, true);
	pci_set16(p, 0x50, 0xffff);
	assert_int_equal(scan(p, 1024, &r), -EINVAL);
	memset(p, 0x55, sizeof(p));
	assert_int_equal(scan(p, sizeof(p), &r), -EINVAL);
}

static void test_ids(void **state)
{
	struct rom_image r;
	uint8_t p[1024];

	(void)state;
	image(p, 2, 3, true);
	pci_set16(p, 0x44, 0x8086);
	assert_int_equal(scan(p, 1024, &r), 0);
	assert_true(r.other_vendor == 0x8086 && r.other_device == 0x5678);
	/* EfiRom makes such a ROM for any device; it does not count as that of another device. */
	image(p, 2, 3, true);
	pci_set16(p, 0x46, ROM_ANY_ID);
	assert_int_equal(scan(p, 1024, &r), 0);
	assert_true(r.any_device && !r.other_vendor);
	image(p, 2, 3, true);
	pci_set16(p, 0x46, 0x9999);
	assert_int_equal(scan(p, 1024, &r), 0);
	assert_true(r.other_vendor == 0x1234 && r.other_device == 0x9999);
	p[0x4c] = 3;
	pci_set16(p, 0x48, 0x20);
	pci_set16(p, 0x60, 0x1111);
	pci_set16(p, 0x62, 0x5678);
	assert_int_equal(scan(p, 1024, &r), 0);
	assert_int_equal(r.other_vendor, 0);
	pci_set16(p, 0x60, 0); /* ends before it */
	assert_int_equal(scan(p, 1024, &r), 0);
	assert_int_equal(r.other_device, 0x9999);
	pci_set16(p, 0x48, 0xffff);
	assert_int_equal(scan(p, 1024, &r), 0);
	assert_int_equal(r.other_device, 0x9999);
}

/* The header of a flash tool has some length, and may contain bytes that look like an image. */
static void test_header(void **state)
{
	struct rom_image r;
	uint8_t p[4096] = "NVGI";

	(void)state;
	p[0x100] = 0x55, p[0x101] = 0xaa;
	p[0x200] = 0x55;
	image(p + 0x5f3, 2, 3, true);
	assert_int_equal(scan(p, 0x5f3 + 1024, &r), 0);
	assert_true(r.start == 0x5f3 && r.end == 0x5f3 + 1024 && r.efi);
	assert_int_equal(scan(p, 0x5f3 + 1023, &r), -EINVAL);
}

static void test_device_rom(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 6, 0x2000, 0);
	pci_set32(x->f.config, PCI_CARDBUS_CIS, 0); /* fake_vfio_bar() wrote there */
	image(x->f.region[6].store, 2, 0, true);
	plug(x);
	assert_int_equal(x->f.trapped, 0);
	wr(x, ROM, 4, 0xfffff800);
	assert_int_equal(rd(x, ROM, 4), 0xffffe000);
	wr(x, ROM, 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(x->f.trapped, 0); /* the ROM is read only when it is needed */
	wr(x, ROM, 4, 0xe0000001);
	assert_int_equal(x->f.trapped, 1);
	ORDER(x, "slot+e0000000:2000");
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000000, 2), 0xaa55);
	bus_write(x->m.root.mmio, 0xe0000000, 2, 0);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000000, 2), 0xaa55);
	wr(x, ROM, 4, 0xe0000000);
	ORDER(x, "slot+e0000000", "slot-e0000000");
	wr(x, ROM, 4, 0xe0000001);
	assert_int_equal(x->f.trapped, 1); /* once */
}

static void test_unreadable(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 6, 0x1000, 0);
	plug(x);
	x->f.region[6].size = 0; /* reads fail */
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(x, ROM, 4, 0xe0000001);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000000, 2), 0xffff);
}

static void test_off(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 6, 0x1000, 0);
	x->opt.rombar = false;
	plug(x);
	wr(x, ROM, 4, 0xffffffff);
	assert_int_equal(rd(x, ROM, 4), 0);
}

static void write_file(const char *path, const uint8_t *p, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void test_romfile(void **state)
{
	struct fixture *x = *state;
	struct error err = { 0 };
	char path[] = "/tmp/test_vfio_rom.XXXXXX";
	uint8_t p[3 * 512];

	close(mkstemp(path));
	image(p, 3, 0, true);
	write_file(path, p, sizeof(p));
	x->opt.romfile = path;
	plug(x);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(x, ROM, 4, 0xe0000001);
	assert_int_equal(rd(x, ROM, 4), 0xe0000001);
	/* Smaller than a page: no memslot, but it can be read. */
	assert_int_equal(COUNT(x, "slot+"), 0);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000040, 4), 0x52494350);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe00007f8, 8), UINT64_MAX);
	vfio_pci_free(x->v);
	x->v = NULL;
	p[9]++; /* the checksum shows that it was patched */
	write_file(path, p, sizeof(p));
	plug(x);
	vfio_pci_free(x->v);
	x->v = NULL;
	p[1] = 0;
	write_file(path, p, sizeof(p));
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_non_null(strstr(err.text, "no image"));
	write_file(path, p, 0);
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -EINVAL);
	unlink(path);
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -ENOENT);
	x->opt.romfile = "/";
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -EINVAL);
}

/* The guest sees the ROM from its first image on; its size does not grow. */
static void test_romfile_header(void **state)
{
	struct fixture *x = *state;
	char path[] = "/tmp/test_vfio_rom.XXXXXX";
	uint8_t p[0x600 + 4096] = "NVGI";

	close(mkstemp(path));
	image(p + 0x600, 8, 3, true);
	pci_set16(p, 0x600 + 0x46, ROM_ANY_ID);
	write_file(path, p, sizeof(p));
	x->opt.romfile = path;
	plug(x);
	unlink(path);
	wr(x, ROM, 4, 0xfffff800);
	assert_int_equal(rd(x, ROM, 4), 0xfffff000);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	wr(x, ROM, 4, 0xe0000001);
	assert_int_equal(COUNT(x, "slot+e0000000:1000"), 1);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000000, 2), 0xaa55);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000040, 4), 0x52494350);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_chain),	T(test_no_image),   T(test_ids),
		T(test_header), T(test_device_rom), T(test_unreadable),
		T(test_off),	T(test_romfile),    T(test_romfile_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
