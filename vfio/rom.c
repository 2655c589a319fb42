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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfio/rom_image.h"
#include "vmm/core/infile.h"
#include "vmm/core/mem.h"

#define ROM_MIN 2048u

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

/* What a user may have overlooked, but a guest can live with. */
static void file_remarks(const struct vfio_pci *v, const char *path, const struct rom_image *r)
{
	const char *name = v->k->name;

	if (r->start)
		log_warn("%s: romfile %s: the first %zu bytes are skipped: they are not part of an "
			 "image (a flash tool's header)",
			 name, path, r->start);
	if (r->other_vendor || r->other_device)
		log_warn("%s: romfile %s: it is made for device %04x:%04x, but this device is "
			 "%04x:%04x: the guest gets it all the same",
			 name, path, r->other_vendor, r->other_device,
			 pci_get16(v->dev.cfg, PCI_VENDOR_ID),
			 pci_get16(v->dev.cfg, PCI_DEVICE_ID));
	if (r->bad_sum)
		log_warn("%s: romfile %s: its checksum is wrong (it was patched, or read from a "
			 "card in use); UEFI firmware does not check it",
			 name, path);
	if (!r->has_end)
		log_warn("%s: romfile %s: at %#zx another image should follow, but there is none",
			 name, path, r->end - r->start);
	log_info("%s: romfile %s: %u image%s, %s%s", name, path, r->n, r->n == 1 ? "" : "s",
		 r->efi ? "one for UEFI" : "none for UEFI: OVMF will show no picture",
		 r->any_device ? ", for any device of the vendor" : "");
}

/* The file's bytes are in rom.data; the guest's ROM begins with the first image. */
static int check_file(struct vfio_pci *v, const char *path, size_t size, struct error *err)
{
	struct vfio_rom *rom = &v->rom;
	struct rom_image r;
	int ret = rom_image_scan(rom->data, size, pci_get16(v->dev.cfg, PCI_VENDOR_ID),
				 pci_get16(v->dev.cfg, PCI_DEVICE_ID), &r, err);

	if (ret)
		return error_prefix(err, "%s: romfile %s", v->k->name, path);
	file_remarks(v, path, &r);
	memmove(rom->data, rom->data + r.start, size - r.start);
	memset(rom->data + (size - r.start), 0xff, r.start);
	rom->size = pow2_above(size - r.start);
	rom->loaded = true;
	return 0;
}

static int load_file(struct vfio_pci *v, const char *path, struct error *err)
{
	struct vfio_rom *rom = &v->rom;
	int fd = infile_open_alone(path, err), ret;
	struct stat st;

	if (fd < 0)
		return error_prefix(err, "%s: romfile %s", v->k->name, path);
	rom->file = fd; /* open, and locked, as long as the device is there */
	rom->from_file = true;
	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "%s: romfile %s: %s", v->k->name, path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || (uint64_t)st.st_size > ROM_MAX_SIZE)
		return error_set(err, -EINVAL,
				 "%s: romfile %s: it must be a regular file of at most 16 MiB",
				 v->k->name, path);
	rom->size = pow2_above((uint64_t)st.st_size);
	ret = allocate(rom);
	if (!ret)
		ret = read_all(fd, rom->data, (size_t)st.st_size);
	if (ret)
		return error_set(err, ret, "%s: romfile %s: %s", v->k->name, path, strerror(-ret));
	return check_file(v, path, (size_t)st.st_size, err);
}

static void find_device_rom(struct vfio_pci *v)
{
	struct vfio_region_info *info = NULL;

	if (v->k->ops->region_info(v->k, VFIO_PCI_ROM_REGION_INDEX, &info) == 0 && info->size &&
	    info->size <= ROM_MAX_SIZE) {
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
	if (!v->cfg->rombar)
		return 0;
	if (v->cfg->romfile)
		ret = load_file(v, v->cfg->romfile, err);
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
	if (v->rom.from_file)
		close(v->rom.file);
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
		log_warn("%s: its ROM cannot be read (%s), so the guest's firmware will not see "
			 "it: give a ROM with romfile=, or hide it with rombar=off",
			 v->k->name, strerror(n < 0 ? (int)-n : EIO));
}

static void rom_leave(struct vfio_pci *v)
{
	if (v->rom.live)
		guest_mem_del(v->dev.root->mem, GPA(v->rom.at));
	v->rom.live = false;
}

void vfio_rom_mapped(struct vfio_pci *v, bool mapped)
{
	struct vfio_rom *rom = &v->rom;
	struct mem_range r = { .gpa = v->dev.bar[PCI_ROM_BAR].addr,
			       .size = rom->size,
			       .kind = MEM_ROM };

	rom_leave(v);
	if (!mapped)
		return;
	if (!rom->loaded)
		load_device(v);
	r.host = rom->data;
	if (!rom->data || rom->size < VFIO_PAGE || !v->dev.root->mem ||
	    pci_fixed_overlaps(v->dev.root, r.gpa, r.size))
		return;
	rom->at = r.gpa;
	rom->live = guest_mem_add(v->dev.root->mem, &r) == 0; /* or the bus answers */
}

void vfio_rom_recheck(struct vfio_pci *v)
{
	if (v->rom.live && pci_fixed_overlaps(v->dev.root, v->rom.at, v->rom.size))
		rom_leave(v); /* the bus answers what is left of it */
}
