/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The expansion ROM: the bytes of romfile=, or of the device's ROM region.
 *
 * Firmware copies the ROM once, a few bytes at a time; a read-only memslot makes that one fault a
 * page. The device's ROM is read when the guest first maps the BAR: the kernel wants memory
 * decoding on, and some devices answer only then or never (their BAR then reads all-ones; a display
 * that was the host's boot display often has lost its ROM: that is what romfile= is for).
 *
 * Threads: root lock held; trapped reads under dev.lock, of data that is there before the BAR is.
 */
#include "vfio/rom.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cleanup.h"
#include "vmm/mem.h"

#define ROM_MIN	      2048u
#define ROM_MAX	      (16 * MiB) /* PCI 3.0, 6.2.5.2 */
#define ROM_UNIT      512u
#define PCIR_POINTER  0x18u
#define PCIR_LEN      0x18u /* without a device list */
#define PCIR_LIST     0x08u /* revision 3: offset of the device list, ends in a 0 */
#define CODE_TYPE_X86 0

/* ---- checking an image ---- */

static bool in_device_list(const uint8_t *image, size_t len, size_t at, uint16_t device)
{
	for (; range_ok(at, 2, len); at += 2) {
		uint16_t id = pci_get16(image, (unsigned)at);

		if (!id)
			return false;
		if (id == device)
			return true;
	}
	return false;
}

static int check_ids(const uint8_t *image, size_t len, size_t pcir, uint16_t vendor,
		     uint16_t device, struct error *err)
{
	const uint8_t *p = image + pcir;
	uint16_t list = pci_get16(p, PCIR_LIST);

	if (pci_get16(p, 4) == vendor &&
	    (pci_get16(p, 6) == device ||
	     (p[0xc] >= 3 && list && in_device_list(image, len, pcir + list, device))))
		return 0;
	return error_set(err, -EINVAL, "it is for device %04x:%04x, not %04x:%04x", pci_get16(p, 4),
			 pci_get16(p, 6), vendor, device);
}

/* One image; returns its length. */
static int check_image(const uint8_t *image, size_t left, uint16_t vendor, uint16_t device,
		       bool *last, struct error *err)
{
	size_t pcir, len;
	uint8_t sum = 0;
	int ret;

	if (left < PCIR_POINTER + 2 || image[0] != 0x55 || image[1] != 0xaa)
		return error_set(err, -EINVAL, "no option ROM: it does not begin with 55 aa");
	pcir = pci_get16(image, PCIR_POINTER);
	if (!range_ok(pcir, PCIR_LEN, left) || memcmp(image + pcir, "PCIR", 4) != 0)
		return error_set(err, -EINVAL, "no PCI data structure (PCIR) in it");
	len = (size_t)pci_get16(image + pcir, 0x10) * ROM_UNIT;
	if (len == 0 || len > left || pcir + PCIR_LEN > len)
		return error_set(err, -EINVAL, "it says %zu bytes, but %zu are there", len, left);
	ret = check_ids(image, len, pcir, vendor, device, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + image[i]);
	if (image[pcir + 0x14] == CODE_TYPE_X86 && sum != 0)
		return error_set(err, -EINVAL, "its checksum is wrong (%#x, not 0)", sum);
	*last = image[pcir + 0x15] & 0x80;
	return (int)len; /* at most 32 MiB */
}

int vfio_rom_check(const uint8_t *rom, size_t size, uint16_t vendor, uint16_t device,
		   struct error *err)
{
	bool last = false;
	size_t at = 0;

	while (!last) {
		int len = check_image(rom + at, size - at, vendor, device, &last, err);

		if (len < 0)
			return len;
		at += (size_t)len;
	}
	return 0;
}

/* ---- start ---- */

static uint64_t pow2_above(uint64_t n)
{
	uint64_t p = ROM_MIN;

	while (p < n)
		p *= 2;
	return p;
}

/* Room for the ROM as the guest reads it; beyond its end, all-ones. */
static int allocate(struct vfio_rom *rom)
{
	rom->mapped = align_up(rom->size, VFIO_PAGE);
	rom->data = mmap(NULL, rom->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	if (rom->data == MAP_FAILED) {
		rom->data = NULL;
		return -ENOMEM;
	}
	memset(rom->data, 0xff, rom->mapped);
	return 0;
}

static int read_all(int fd, uint8_t *buf, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, buf + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return 0;
}

static int load_file(struct vfio_pci *v, const char *path, struct error *err)
{
	struct vfio_rom *rom = &v->rom;
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int ret;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, -errno, "%s: romfile %s: %s", v->k->name, path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || (uint64_t)st.st_size > ROM_MAX)
		return error_set(err, -EINVAL, "%s: romfile %s: not a file of up to 16 MiB",
				 v->k->name, path);
	rom->size = pow2_above((uint64_t)st.st_size);
	ret = allocate(rom);
	if (!ret)
		ret = read_all(fd, rom->data, (size_t)st.st_size);
	if (ret)
		return error_set(err, ret, "%s: romfile %s: %s", v->k->name, path, strerror(-ret));
	ret = vfio_rom_check(rom->data, (size_t)st.st_size, pci_get16(v->dev.cfg, PCI_VENDOR_ID),
			     pci_get16(v->dev.cfg, PCI_DEVICE_ID), err);
	if (ret)
		return error_prefix(err, "%s: romfile %s", v->k->name, path);
	rom->loaded = true;
	return 0;
}

static void find_device_rom(struct vfio_pci *v)
{
	struct vfio_region_info *info = NULL;

	if (v->k->ops->region_info(v->k, VFIO_PCI_ROM_REGION_INDEX, &info) == 0 && info->size &&
	    info->size <= ROM_MAX) {
		v->rom.region_off = info->offset;
		v->rom.region_size = info->size;
		v->rom.size = pow2_above(info->size);
	}
	free(info);
}

/* Without a memslot (a ROM below the size of a page). */
static uint64_t rom_read(void *opaque, uint64_t off, unsigned size)
{
	struct vfio_pci *v = opaque;
	uint64_t val = UINT64_MAX;

	if (v->rom.data && range_ok(off, size, v->rom.mapped))
		memcpy(&val, v->rom.data + off, size);
	return val;
}

static const struct io_region_ops rom_ops = { .read = rom_read };

int vfio_rom_init(struct vfio_pci *v, struct error *err)
{
	int ret = 0;

	pci_set32(v->dev.cfg, PCI_ROM_ADDRESS, 0);
	if (!v->opt.rombar)
		return 0;
	if (v->opt.romfile)
		ret = load_file(v, v->opt.romfile, err);
	else
		find_device_rom(v);
	if (ret || !v->rom.size)
		return ret;
	ret = pci_add_bar(&v->dev, PCI_ROM_BAR, PCI_BAR_MEM32, false, v->rom.size, &rom_ops, v);
	return ret ? error_set(err, ret, "%s: cannot add its ROM", v->k->name) : 0;
}

void vfio_rom_free(struct vfio_pci *v)
{
	if (v->rom.data)
		munmap(v->rom.data, v->rom.mapped);
	v->rom = (struct vfio_rom){ 0 };
}

/* ---- in the guest ---- */

static void load_device(struct vfio_pci *v)
{
	struct vfio_rom *rom = &v->rom;
	uint64_t at = 0;
	ssize_t n = 0;

	rom->loaded = true; /* one try: a ROM that cannot be read now takes as long again */
	if (allocate(rom)) {
		log_warn("%s: out of memory for its ROM", v->k->name);
		return;
	}
	for (; at < rom->region_size; at += (uint64_t)n) {
		n = v->k->ops->region_read(v->k, rom->region_off + at, rom->data + at,
					   rom->region_size - at);
		if (n <= 0)
			break;
	}
	if (at < rom->region_size)
		log_warn("%s: its ROM cannot be read (%s); the guest's firmware will not see it: "
			 "give it with romfile=, or say rombar=off",
			 v->k->name, strerror(n < 0 ? (int)-n : EIO));
}

void vfio_rom_mapped(struct vfio_pci *v, bool mapped)
{
	struct vfio_rom *rom = &v->rom;
	struct mem_range r = { .gpa = v->dev.bar[PCI_ROM_BAR].addr,
			       .size = rom->size,
			       .kind = MEM_ROM };

	if (rom->live)
		guest_mem_del(v->dev.root->mem, GPA(rom->at));
	rom->live = false;
	if (!mapped)
		return;
	if (!rom->loaded)
		load_device(v);
	r.host = rom->data;
	if (!rom->data || rom->size < VFIO_PAGE || !v->dev.root->mem)
		return;
	rom->at = r.gpa;
	rom->live = guest_mem_add(v->dev.root->mem, &r) == 0; /* or the bus answers */
}
