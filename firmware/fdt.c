/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree describes the fixed parts of the machine: memory, processors, the PCI host bridge
 * with its windows, the serial ports. It does not list PCI devices; the guest enumerates them.
 *
 * On x86 the guest uses ACPI, and the tree only adds information. So the interrupt controllers have
 * no compatible string that Linux knows (such as intel,ce4100-ioapic); otherwise Linux would take
 * them from the tree instead of from ACPI.
 *
 * If the buffer is too small, libfdt returns -FDT_ERR_NOSPACE, and the tree is built again in a
 * buffer that is twice as large.
 */
#include "firmware/fdt.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/core/addr.h"

#define FDT_FIRST_SIZE 4096
#define FDT_MAX_SIZE   (1 << 20)

/* ranges: first cell of a child address (IEEE Std 1275 PCI binding, 2.2.1.1). */
#define PCI_SPACE_IO	0x01000000u
#define PCI_SPACE_MEM32 0x02000000u
#define PCI_SPACE_MEM64 0x43000000u

/* Keeps the first error. After an error, all further steps do nothing. */
struct tree {
	void *fdt;
	int ret;
};

static void step(struct tree *t, int ret)
{
	if (t->ret == 0 && ret < 0)
		t->ret = ret;
}

static void node(struct tree *t, const char *name)
{
	step(t, fdt_begin_node(t->fdt, name));
}

static void end(struct tree *t)
{
	step(t, fdt_end_node(t->fdt));
}

static void str(struct tree *t, const char *name, const char *v)
{
	step(t, fdt_property_string(t->fdt, name, v));
}

static void u32(struct tree *t, const char *name, uint32_t v)
{
	step(t, fdt_property_u32(t->fdt, name, v));
}

static void cells(struct tree *t, const char *name, const uint32_t *v, unsigned n)
{
	fdt32_t be[32];
	unsigned i;

	for (i = 0; i < n && i < ARRAY_SIZE(be); i++)
		be[i] = cpu_to_fdt32(v[i]);
	step(t, fdt_property(t->fdt, name, be, (int)(i * sizeof(be[0]))));
}

#define HI(v) ((uint32_t)((v) >> 32))
#define LO(v) ((uint32_t)(v))

/* numa-node-id (Linux: Documentation/devicetree/bindings/numa.txt). NO_NODE: no property is
 * added. */
#define NO_NODE PLATFORM_NO_NODE

static void numa_id(struct tree *t, uint32_t id)
{
	if (id != NO_NODE)
		u32(t, "numa-node-id", id);
}

static void memory(struct tree *t, uint64_t base, uint64_t size, uint32_t id)
{
	char name[32];

	if (!size)
		return;
	snprintf(name, sizeof(name), "memory@%llx", (unsigned long long)base);
	node(t, name);
	str(t, "device_type", "memory");
	cells(t, "reg", (uint32_t[]){ HI(base), LO(base), HI(size), LO(size) }, 4);
	numa_id(t, id);
	end(t);
}

static void memories(struct tree *t, const struct platform *p)
{
	unsigned i;

	if (!p->n_nodes) {
		memory(t, 0, p->map.low_ram, NO_NODE);
		memory(t, p->map.high_base, p->map.high_ram, NO_NODE);
	}
	for (i = 0; p->n_nodes && i < p->n_memory; i++)
		memory(t, p->memory[i].base, p->memory[i].size, p->memory[i].node);
}

static void distances(struct tree *t, const struct platform *p)
{
	unsigned i, k, n = p->n_nodes;
	fdt32_t *to;

	if (!n)
		return;
	node(t, "distance-map");
	str(t, "compatible", "numa-distance-map-v1");
	step(t, fdt_property_placeholder(t->fdt, "distance-matrix", (int)(n * n * 3 * sizeof(*to)),
					 (void **)&to));
	for (i = 0; i < n && t->ret == 0; i++) {
		for (k = 0; k < n; k++) {
			*to++ = cpu_to_fdt32(i);
			*to++ = cpu_to_fdt32(k);
			*to++ = cpu_to_fdt32(p->distance[i * n + k]);
		}
	}
	end(t);
}

static void cpus(struct tree *t, const struct platform *p)
{
	char name[32];
	unsigned i;

	node(t, "cpus");
	u32(t, "#address-cells", 1);
	u32(t, "#size-cells", 0);
	for (i = 0; i < p->n_cpus; i++) {
		uint32_t id = p->cpus[i].apic_id;

		snprintf(name, sizeof(name), "cpu@%x", id);
		node(t, name);
		str(t, "device_type", "cpu");
		u32(t, "reg", id);
		numa_id(t, p->n_nodes ? p->cpus[i].node : NO_NODE);
		end(t);
	}
	end(t);
}

/* The start of the 32-bit window. The binding allows only one such window, so if ECAM lies inside,
 * the window begins behind it. */
static uint64_t window32_base(const struct platform *p)
{
	uint64_t ecam_end = p->ecam_base + p->ecam_size;

	return ecam_end > p->mmio32_base && ecam_end < p->mmio32_end ? ecam_end : p->mmio32_base;
}

static void pci(struct tree *t, const struct platform *p)
{
	const uint32_t io = 0x1000, io_size = 0xf000;
	const uint64_t base = window32_base(p), size = p->mmio32_end - base;
	const uint32_t ranges[] = {
		PCI_SPACE_IO,
		0,
		io,
		0,
		io,
		0,
		io_size,
		PCI_SPACE_MEM32,
		HI(base),
		LO(base),
		HI(base),
		LO(base),
		HI(size),
		LO(size),
		PCI_SPACE_MEM64,
		HI(p->map.mmio64_base),
		LO(p->map.mmio64_base),
		HI(p->map.mmio64_base),
		LO(p->map.mmio64_base),
		HI(p->map.mmio64_size),
		LO(p->map.mmio64_size),
	};
	char name[32];

	snprintf(name, sizeof(name), "pcie@%llx", (unsigned long long)p->ecam_base);
	node(t, name);
	str(t, "compatible", "pci-host-ecam-generic");
	str(t, "device_type", "pci");
	u32(t, "#address-cells", 3);
	u32(t, "#size-cells", 2);
	cells(t, "reg",
	      (uint32_t[]){ HI(p->ecam_base), LO(p->ecam_base), HI(p->ecam_size),
			    LO(p->ecam_size) },
	      4);
	cells(t, "bus-range", (uint32_t[]){ 0, platform_last_bus(p) }, 2);
	cells(t, "ranges", ranges, p->map.mmio64_size ? 21 : 14);
	numa_id(t, p->pci_node < p->n_nodes ? p->pci_node : NO_NODE);
	end(t);
}

static void isa(struct tree *t, const struct platform *p)
{
	char name[32];
	unsigned i;

	node(t, "isa");
	str(t, "compatible", "isa");
	u32(t, "#address-cells", 2);
	u32(t, "#size-cells", 1);
	step(t, fdt_property(t->fdt, "ranges", NULL, 0));
	for (i = 0; i < p->n_serial; i++) {
		snprintf(name, sizeof(name), "serial@i%x", p->serial[i].port);
		node(t, name);
		str(t, "compatible", "ns16550a");
		cells(t, "reg", (uint32_t[]){ 1, p->serial[i].port, 8 }, 3);
		u32(t, "clock-frequency", 1843200);
		u32(t, "interrupts", p->serial[i].irq);
		end(t);
	}
	end(t);
}

static void chosen(struct tree *t, const struct platform *p, const struct fdt_boot *b)
{
	char path[48];

	node(t, "chosen");
	if (b->bootargs)
		str(t, "bootargs", b->bootargs);
	if (p->n_serial) {
		snprintf(path, sizeof(path), "/isa/serial@i%x", p->serial[0].port);
		str(t, "stdout-path", path);
	}
	if (b->initrd_size) {
		step(t, fdt_property_u64(t->fdt, "linux,initrd-start", b->initrd_base));
		step(t,
		     fdt_property_u64(t->fdt, "linux,initrd-end", b->initrd_base + b->initrd_size));
	}
	end(t);
}

static int build(const struct platform *p, const struct fdt_boot *b, void *blob, int size)
{
	struct tree t = { .fdt = blob };

	/* A name that several properties share is stored again for each of them, because looking
	 * for the first one took half of the time. */
	step(&t, fdt_create_with_flags(blob, size, FDT_CREATE_FLAG_NO_NAME_DEDUP));
	step(&t, fdt_finish_reservemap(blob));
	node(&t, "");
	str(&t, "compatible", "minivmm,q35");
	str(&t, "model", p->name ? p->name : "minivmm");
	u32(&t, "#address-cells", 2);
	u32(&t, "#size-cells", 2);
	chosen(&t, p, b);
	memories(&t, p);
	distances(&t, p);
	cpus(&t, p);
	pci(&t, p);
	isa(&t, p);
	end(&t);
	step(&t, fdt_finish(blob));
	return t.ret;
}

int fdt_build(const struct platform *p, const struct fdt_boot *b, void **blob, size_t *size,
	      struct error *err)
{
	int room, ret;

	for (room = FDT_FIRST_SIZE; room <= FDT_MAX_SIZE; room *= 2) {
		*blob = malloc((size_t)room);
		if (!*blob)
			return error_set(err, -ENOMEM, "no memory for the device tree");
		ret = build(p, b, *blob, room);
		if (ret == 0) {
			*size = fdt_totalsize(*blob);
			return 0;
		}
		free(*blob);
		if (ret != -FDT_ERR_NOSPACE)
			return error_set(err, -EINVAL, "the device tree: %s", fdt_strerror(ret));
	}
	return error_set(err, -E2BIG, "the device tree is too large");
}
