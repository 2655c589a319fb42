/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Legacy VGA (x-vga=on): 0xa0000-0xbffff and ports 0x3b0-0x3bb, 0x3c0-0x3df go to the device
 * through VFIO's VGA region, whose offsets are those addresses; the kernel arbitrates with the
 * host's other VGA devices and has the region only for a VGA-class device on a bus that routes VGA
 * (CONFIG_VFIO_PCI_VGA). The region cannot be mapped: every access is an exit, which is why only
 * old firmware and text modes should need it.
 *
 * Threads: set up by the main loop; accesses need no lock of ours, the kernel has its own.
 */
#include "vfio/vga.h"

#include <errno.h>
#include <stdlib.h>

#include "vfio/stats.h"

#define VGA_MEM	       0xa0000u
#define VGA_MEM_SIZE   0x20000u
#define VGA_MONO       0x3b0u
#define VGA_MONO_SIZE  0xcu
#define VGA_COLOR      0x3c0u
#define VGA_COLOR_SIZE 0x20u
#define VGA_END	       0xc0000u

static uint64_t vga_read(struct vfio_pci *v, uint64_t addr, unsigned size)
{
	uint64_t val = 0;

	if (v->k->ops->region_read(v->k, v->vga_off + addr, &val, size) != (ssize_t)size)
		return UINT64_MAX;
	return val;
}

static void vga_write(struct vfio_pci *v, uint64_t addr, unsigned size, uint64_t val)
{
	if (v->k->ops->region_write(v->k, v->vga_off + addr, &val, size) != (ssize_t)size)
		log_guest(&v->dev.limit, "%s: the host refused a VGA write at %#llx", v->k->name,
			  (unsigned long long)addr);
}

static uint64_t mem_read(void *v, uint64_t off, unsigned size)
{
	return vga_read(v, VGA_MEM + off, size);
}

static void mem_write(void *v, uint64_t off, unsigned size, uint64_t val)
{
	vga_write(v, VGA_MEM + off, size, val);
}

static uint64_t mono_read(void *v, uint64_t off, unsigned size)
{
	return vga_read(v, VGA_MONO + off, size);
}

static void mono_write(void *v, uint64_t off, unsigned size, uint64_t val)
{
	vga_write(v, VGA_MONO + off, size, val);
}

static uint64_t color_read(void *v, uint64_t off, unsigned size)
{
	return vga_read(v, VGA_COLOR + off, size);
}

static void color_write(void *v, uint64_t off, unsigned size, uint64_t val)
{
	vga_write(v, VGA_COLOR + off, size, val);
}

static const struct io_region_ops mem_ops = { .read = mem_read, .write = mem_write };
static const struct io_region_ops mono_ops = { .read = mono_read, .write = mono_write };
static const struct io_region_ops color_ops = { .read = color_read, .write = color_write };

int vfio_vga_init(struct vfio_pci *v, struct error *err)
{
	struct vfio_region_info *info = NULL;
	uint64_t size = 0;

	if (!v->cfg->x_vga)
		return 0;
	if (v->info.num_regions > VFIO_PCI_VGA_REGION_INDEX &&
	    v->k->ops->region_info(v->k, VFIO_PCI_VGA_REGION_INDEX, &info) == 0) {
		size = info->size;
		v->vga_off = info->offset;
	}
	free(info);
	if (size >= VGA_END)
		return 0;
	v->vga_off = 0;
	return error_set(err, -ENODEV,
			 "%s: x-vga=on, but VFIO has no VGA region for this device: it is not a "
			 "VGA device, or the host's kernel lacks CONFIG_VFIO_PCI_VGA; remove "
			 "x-vga=on (UEFI guests do not need it)",
			 v->k->name);
}

int vfio_vga_plug(struct vfio_pci *v, struct error *err)
{
	struct pci_root *root = v->dev.root;
	int ret;

	if (!v->vga_off)
		return 0;
	v->vga_mem = (struct io_region){
		.name = "vga",
		.base = VGA_MEM,
		.size = VGA_MEM_SIZE,
		.ops = &mem_ops,
		.opaque = v,
		.explain = vfio_explain_vga,
	};
	v->vga_io[0] = (struct io_region){ .name = "vga",
					   .base = VGA_MONO,
					   .size = VGA_MONO_SIZE,
					   .ops = &mono_ops,
					   .opaque = v,
					   .explain = vfio_explain_vga };
	v->vga_io[1] = (struct io_region){ .name = "vga",
					   .base = VGA_COLOR,
					   .size = VGA_COLOR_SIZE,
					   .ops = &color_ops,
					   .opaque = v,
					   .explain = vfio_explain_vga };
	ret = bus_add(root->mmio, &v->vga_mem);
	if (!ret)
		ret = bus_add(root->pio, &v->vga_io[0]);
	if (!ret)
		ret = bus_add(root->pio, &v->vga_io[1]);
	if (!ret)
		return 0;
	vfio_vga_unplug(v);
	return error_set(err, ret,
			 "%s: x-vga=on: another device already has the VGA ranges: give x-vga=on "
			 "to one device only",
			 v->k->name);
}

void vfio_vga_unplug(struct vfio_pci *v)
{
	if (v->vga_mem.mapped)
		bus_del(v->dev.root->mmio, &v->vga_mem);
	for (unsigned i = 0; i < ARRAY_SIZE(v->vga_io); i++)
		if (v->vga_io[i].mapped)
			bus_del(v->dev.root->pio, &v->vga_io[i]);
	pci_region_gone(v->dev.root, &v->vga_mem);
	for (unsigned i = 0; i < ARRAY_SIZE(v->vga_io); i++)
		pci_region_gone(v->dev.root, &v->vga_io[i]);
}
