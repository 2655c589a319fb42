/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DSDT: one PCI Express root bridge, the reserved ranges of the motherboard, the serial ports,
 * the RTC, processors, and S5.
 *
 * Root ports need no AML: below a bridge without _PRT, the operating system rotates the INTx pins
 * itself. The power button needs no AML either, because it is a fixed feature.
 */
#include "devices/chipset/acpi_pm.h"
#include "devices/pci/pci.h"
#include "firmware/acpi/acpi_parts.h"

#define ARG0	   0x68
#define ARG1	   0x69
#define ARG3	   0x6b
#define LOCAL0	   0x60
#define OP_STORE   0x70
#define OP_AND	   0x7b
#define OP_OR	   0x7d
#define OP_DWFIELD 0x8a
#define OP_LNOT	   0x92
#define OP_LEQUAL  0x93
#define OP_IF	   0xa0
#define OP_ELSE	   0xa1
#define OP_RETURN  0xa4
#define OP_BUFFER  0x11

/* PCI Firmware 3.2, 4.5.1: of the features that the operating system may ask to control, we grant
 * the PCI Express capability, and native hotplug if there are slots for it. Our ports have no PME
 * or AER. */
#define OSC_GRANTED 0x10
#define OSC_HOTPLUG 0x01

/* 33db4d5b-1ff7-401c-9657-7441c03dd766, PCI host bridges */
static const uint8_t osc_uuid[16] = { 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
				      0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66 };

static void ops(struct bytes *a, const uint8_t *p, size_t n)
{
	bytes_put(a, p, n);
}

#define OPS(a, ...) \
	ops(a, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* CreateDWordField(Arg3, offset, name) */
static void arg3_field(struct bytes *a, uint8_t offset, const char *name)
{
	OPS(a, OP_DWFIELD, ARG3);
	aml_int(a, offset);
	aml_path(a, name);
}

/* name |= bits */
static void or_into(struct bytes *a, const char *name, uint8_t bits)
{
	OPS(a, OP_OR);
	aml_path(a, name);
	aml_int(a, bits);
	aml_path(a, name);
}

/* Arg0 == ToUUID(...) */
static void osc_is_pci(struct bytes *a)
{
	size_t mark;

	OPS(a, OP_LEQUAL, ARG0, OP_BUFFER);
	mark = aml_open(a);
	aml_int(a, sizeof(osc_uuid));
	bytes_put(a, osc_uuid, sizeof(osc_uuid));
	aml_close(a, mark);
}

/* Sets CDW3 to the features that were asked for and that we grant. */
static void osc_grant(struct bytes *a, bool hotplug)
{
	size_t mark;

	arg3_field(a, 8, "CDW3");
	OPS(a, OP_AND);
	aml_path(a, "CDW3");
	aml_int(a, OSC_GRANTED | (hotplug ? OSC_HOTPLUG : 0));
	OPS(a, LOCAL0);
	OPS(a, OP_IF);
	mark = aml_open(a);
	OPS(a, OP_LNOT, OP_LEQUAL, ARG1);
	aml_int(a, 1);
	or_into(a, "CDW1", 0x08); /* unknown revision */
	aml_close(a, mark);
	OPS(a, OP_IF);
	mark = aml_open(a);
	OPS(a, OP_LNOT, OP_LEQUAL);
	aml_path(a, "CDW3");
	OPS(a, LOCAL0);
	or_into(a, "CDW1", 0x10); /* some bits were masked */
	aml_close(a, mark);
	OPS(a, OP_STORE, LOCAL0);
	aml_path(a, "CDW3");
}

static void pci_osc(struct bytes *a, bool hotplug)
{
	size_t method = aml_method(a, "_OSC", 4, true), mark;

	arg3_field(a, 0, "CDW1");
	OPS(a, OP_IF);
	mark = aml_open(a);
	osc_is_pci(a);
	osc_grant(a, hotplug);
	aml_close(a, mark);
	OPS(a, OP_ELSE);
	mark = aml_open(a);
	or_into(a, "CDW1", 0x04); /* unknown UUID */
	aml_close(a, mark);
	OPS(a, OP_RETURN, ARG3);
	aml_close(a, method);
}

static void window32(struct bytes *a, uint64_t base, uint64_t end)
{
	if (base < end)
		aml_res_dword_mem(a, (uint32_t)base, (uint32_t)(end - 1), false);
}

/* The 32-bit window without ECAM, because the root bridge does not forward accesses to ECAM. */
static void windows32(struct bytes *a, const struct platform *p)
{
	uint64_t ecam_end = p->ecam_base + p->ecam_size; /* acpi_build() checked both ranges */

	if (!p->ecam_size || !range_overlaps(p->mmio32_base, p->mmio32_end - p->mmio32_base,
					     p->ecam_base, p->ecam_size)) {
		window32(a, p->mmio32_base, p->mmio32_end);
		return;
	}
	window32(a, p->mmio32_base, p->ecam_base);
	window32(a, ecam_end, p->mmio32_end);
}

static void pci_crs(struct bytes *a, const struct platform *p)
{
	struct aml_resources r = aml_resources_open(a, "_CRS");

	aml_res_bus(a, 0, platform_last_bus(p));
	aml_res_io(a, 0xcf8, 8);
	aml_res_word_io(a, 0x0000, 0x0cf7);
	aml_res_word_io(a, 0x0d00, 0xffff);
	aml_res_dword_mem(a, 0xa0000, 0xbffff, true);
	windows32(a, p);
	if (p->map.mmio64_size)
		aml_res_qword_mem(a, p->map.mmio64_base,
				  p->map.mmio64_base + (p->map.mmio64_size - 1));
	aml_resources_close(a, r);
}

/* Fixed GSIs, no link devices: Package { slot << 16 | 0xffff, pin, 0, gsi } (ACPI 6.5, 6.2.13). */
static void pci_prt(struct bytes *a)
{
	size_t prt = aml_name_package(a, "_PRT", 32 * 4);

	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			size_t entry = aml_package(a, 4);

			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			aml_int(a, 0);
			aml_int(a, pci_slot_gsi(slot, pin));
			aml_close(a, entry);
		}
	}
	aml_close(a, prt);
}

static void pci_root_bridge(struct bytes *a, const struct platform *p)
{
	size_t dev = aml_device(a, "PCI0");

	aml_name_eisaid(a, "_HID", "PNP0A08");
	aml_name_eisaid(a, "_CID", "PNP0A03");
	aml_name_int(a, "_UID", 0);
	aml_name_int(a, "_SEG", 0);
	aml_name_int(a, "_BBN", 0);
	/* DMA of devices is coherent (ACPI 6.5, 6.2.17). */
	aml_name_int(a, "_CCA", 1);
	if (p->n_nodes && p->pci_node != PLATFORM_NO_NODE)
		aml_name_int(a, "_PXM", p->pci_node);
	pci_crs(a, p);
	pci_prt(a);
	pci_osc(a, p->hotplug);
	aml_close(a, dev);
}

/* Ranges that are in use although no driver claims them: ECAM (PCI Firmware 3.2, 4.1.2) and the
 * power management registers. */
static void motherboard(struct bytes *a, const struct platform *p)
{
	size_t dev = aml_device(a, "MBRD");
	struct aml_resources r;

	aml_name_eisaid(a, "_HID", "PNP0C02");
	aml_name_int(a, "_UID", 1);
	r = aml_resources_open(a, "_CRS");
	aml_res_io(a, p->pmbase ? p->pmbase : 0x600, ACPI_PM_SIZE);
	if (p->ecam_size && p->ecam_base < 4 * GiB)
		aml_res_mem32_fixed(a, (uint32_t)p->ecam_base, (uint32_t)p->ecam_size);
	aml_resources_close(a, r);
	aml_close(a, dev);
}

struct isa_device {
	const char *name, *hid;
	unsigned uid;
	uint16_t io;
	uint8_t len, irq;
};

static void isa_device(struct bytes *a, const struct isa_device *d)
{
	size_t dev = aml_device(a, d->name);
	struct aml_resources r;

	aml_name_eisaid(a, "_HID", d->hid);
	aml_name_int(a, "_UID", d->uid);
	r = aml_resources_open(a, "_CRS");
	aml_res_io(a, d->io, d->len);
	aml_res_irq(a, d->irq);
	aml_resources_close(a, r);
	aml_close(a, dev);
}

/* Processor devices; their _UID refers to an entry of the MADT. Windows needs them. */
static void processors(struct bytes *a, const struct platform *p)
{
	static const char digit[] = "0123456789ABCDEF";

	for (unsigned i = 0; i < p->n_cpus; i++) {
		char name[5] = { 'C', digit[i >> 8 & 15], digit[i >> 4 & 15], digit[i & 15], 0 };
		size_t dev = aml_device(a, name);

		aml_name_string(a, "_HID", "ACPI0007");
		aml_name_int(a, "_UID", i);
		if (p->n_nodes)
			aml_name_int(a, "_PXM", p->cpus[i].node);
		aml_close(a, dev);
	}
}

static void serial_ports(struct bytes *a, const struct platform *p)
{
	for (unsigned i = 0; i < p->n_serial; i++) {
		const struct platform_serial *s = &p->serial[i];
		const char name[] = { 'C', 'O', 'M', (char)('1' + s->number), 0 };

		isa_device(a, &(struct isa_device){ name, "PNP0501", s->number + 1u, s->port, 8,
						    s->irq });
	}
}

static const struct isa_device rtc = { "RTC", "PNP0B00", 1, 0x70, 2, 8 };

void acpi_dsdt(struct bytes *a, const struct platform *p)
{
	size_t sb = aml_scope(a, "\\_SB"), s5;

	pci_root_bridge(a, p);
	motherboard(a, p);
	serial_ports(a, p);
	if (p->rtc)
		isa_device(a, &rtc);
	processors(a, p);
	aml_close(a, sb);
	/* SLP_TYP must be 0: OVMF writes 0 to turn the machine off, whatever the tables say. */
	s5 = aml_name_package(a, "\\_S5", 4);
	for (unsigned i = 0; i < 4; i++)
		aml_int(a, 0);
	aml_close(a, s5);
}
