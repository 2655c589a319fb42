/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A passed-through graphics card with x-vga=on: what the guest does at the legacy VGA ranges, at
 * the ROM, and in the windows of BAR 0 that show configuration space. Nothing of it writes a BAR of
 * the hardware.
 *
 * Input: a byte that chooses the chip and where the ROM comes from, then records of 8 bytes: what,
 * size, offset (2), value (4). The ROM is the input itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/fake_vfio.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define DEVFN	    PCI_DEVFN(3, 0)
#define BAR0	    0xe0000000u
#define BAR0_SIZE   0x100000u
#define VGA_SIZE    0xc0000u
#define ROM	    0xe2000000u
#define ROM_SIZE    0x2000u
#define ROM_BY_FILE 0x10
#define MAX_RECORDS 200u

struct run {
	struct fake_machine m;
	struct fake_vfio f;
	struct vfio_pci *v;
};

static void build(struct fake_vfio *f, uint8_t choice, const uint8_t *rom, size_t len)
{
	/* One with the window at 0x1800, too, one without, and one of another maker. */
	static const uint16_t ids[] = { 0x0040, 0x1b80, 0x2684, 0x01a0 };

	pci_set16(f->config, PCI_VENDOR_ID, choice & 8 ? 0x1002 : 0x10de);
	pci_set16(f->config, PCI_DEVICE_ID, ids[choice & 3]);
	pci_set32(f->config, PCI_CLASS_REVISION, 0x03000000);
	f->config[fake_vfio_cap(f, 0x60, PCI_CAP_ID_MSI) + PCI_MSI_FLAGS] = 0x80;
	f->irq[VFIO_PCI_MSI_IRQ_INDEX].count = 1;
	fake_vfio_bar(f, 0, BAR0_SIZE, 0);
	fake_vfio_bar(f, VFIO_PCI_VGA_REGION_INDEX, VGA_SIZE, 0);
	fake_vfio_bar(f, VFIO_PCI_ROM_REGION_INDEX, ROM_SIZE, 0);
	memcpy(f->region[VFIO_PCI_ROM_REGION_INDEX].store, rom, len < ROM_SIZE ? len : ROM_SIZE);
	pci_set32(f->config, PCI_CARDBUS_CIS, 0);
	pci_set32(f->config, PCI_BASE_ADDRESS_0 + 4 * VFIO_PCI_VGA_REGION_INDEX, 0);
}

/* The same as a file, at path. */
static int romfile(char path[32], const uint8_t *rom, size_t len)
{
	int fd = memfd_create("rom", 0);

	if (fd < 0 || write(fd, rom, len) != (ssize_t)len)
		abort();
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void touch(struct bus *bus, const uint8_t *s, uint64_t at, uint32_t val)
{
	if (s[1] & 4)
		bus_write(bus, at, 1u << (s[1] & 3), val * 0x100000001ull);
	else
		bus_read(bus, at, 1u << (s[1] & 3));
}

static void step(struct run *r, const uint8_t *s)
{
	struct pci_root *root = &r->m.root;
	uint16_t off;
	uint32_t val;

	memcpy(&off, s + 2, 2);
	memcpy(&val, s + 4, 4);
	switch (s[0] & 7) {
	case 0:
		touch(root->pio, s, 0x3b0 + off % 0x38, val);
		break;
	case 1:
		touch(root->mmio, s, 0x9fff8 + (off << 1), val);
		break;
	case 2:
		touch(root->mmio, s, BAR0 + 0x88000 + off % 0x1008, val);
		break;
	case 3:
		touch(root->mmio, s, BAR0 + 0x17f8 + off % 0x110, val);
		break;
	case 4:
		pci_cfg_write(root, 0, DEVFN, off & 0xffc, 4, val);
		break;
	case 5:
		r->f.cfg_dead = s[1] & 1;
		break;
	case 6:
		touch(root->mmio, s, ROM + off % (ROM_SIZE + 8), val);
		break;
	default: /* back to where it is looked for */
		pci_cfg_write(root, 0, DEVFN, PCI_BASE_ADDRESS_0, 4, BAR0);
		pci_cfg_write(root, 0, DEVFN, PCI_ROM_ADDRESS, 4, ROM | PCI_ROM_ADDRESS_ENABLE);
		pci_cfg_write(root, 0, DEVFN, PCI_COMMAND, 2, 7);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct run r; /* large; every field is set anew */
	struct error err = { 0 };
	struct vfio_pci_config opt = {
		.x_vga = true, .mmap = true, .rombar = true, .clique = VFIO_NO_CLIQUE
	};
	const struct vfio_pci_env env = { 0 };
	uint32_t before;
	char path[32];
	int fd = -1;

	if (!len)
		return 0;
	log_set_level(LOG_ERROR);
	fake_machine_init(&r.m);
	fake_vfio_init(&r.f, &r.m.log);
	build(&r.f, data[0], data + 1, len - 1);
	if (data[0] & ROM_BY_FILE) {
		fd = romfile(path, data + 1, len - 1);
		opt.romfile = path;
	}
	before = pci_get32(r.f.config, PCI_BASE_ADDRESS_0);
	r.v = vfio_pci_new(&r.f.k, &opt, &env, &err);
	if (fd >= 0)
		close(fd);
	/* A file that is no ROM is refused. */
	if (!r.v && fd < 0)
		abort();
	if (!r.v)
		goto out;
	if (vfio_pci_plug(r.v, &r.m.root, &r.m.root.bus, DEVFN, NULL))
		abort();
	step(&r, (const uint8_t[8]){ 7 });
	for (size_t i = 1, n = 0; i + 8 <= len && n < MAX_RECORDS; i += 8, n++)
		step(&r, data + i);
	if (pci_get32(r.f.config, PCI_BASE_ADDRESS_0) != before)
		abort();
	vfio_pci_free(r.v);
out:
	fake_vfio_free(&r.f);
	fake_machine_free(&r.m);
	return 0;
}
