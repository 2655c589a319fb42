/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The static tables (ACPI 6.5, chapter 5). All of them are appended to one buffer (struct bytes).
 * Structures with a fixed layout are filled in as C structures and appended as a whole.
 *
 * A pointer between tables holds an offset until the loader script adds the address of the buffer.
 * The script also computes the checksums, because the pointers change them, and OVMF silently drops
 * a table with a wrong checksum. So the checksum of the FADT must come after its pointers.
 */
#include "firmware/acpi/acpi.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/acpi_pm.h"
#include "devices/pci/pci_host.h"
#include "firmware/acpi/acpi_parts.h"
#include "devices/chipset/fw_cfg.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/mem.h"

#define IOAPIC_BASE 0xfec00000u
#define LAPIC_BASE  0xfee00000u
#define MAX_TABLES  8

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct header) == 36, "ACPI 6.5, 5.2.6");

struct gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));
static_assert(sizeof(struct gas) == 12, "ACPI 6.5, 5.2.3.2");

struct fadt {
	struct header h;
	uint32_t firmware_ctrl, dsdt;
	uint8_t reserved0, pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base,
		cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint8_t reserved2[3];
	uint64_t x_firmware_ctrl, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0,
		x_gpe1;
} __attribute__((packed));
static_assert(sizeof(struct fadt) == 244, "FADT revision 3");
static_assert(offsetof(struct fadt, dsdt) == 40, "FADT");
static_assert(offsetof(struct fadt, flags) == 112, "FADT");
static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT");

/* WBINVD, PROC_C1, no sleep button, no RTC event in the fixed registers, reset register, platform
 * clock. The RTC's alarm is only interrupt 8, because there is no sleep state that it could end. */
#define FADT_FLAGS 0x8465u

struct facs {
	char signature[4];
	uint32_t length, hw_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} __attribute__((packed));
static_assert(sizeof(struct facs) == 64, "ACPI 6.5, 5.2.10");

struct lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));
struct x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags, uid;
} __attribute__((packed));
struct ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));
struct override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));
struct lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));
static_assert(sizeof(struct lapic) == 8 && sizeof(struct x2apic) == 16 &&
		      sizeof(struct ioapic) == 12 && sizeof(struct override) == 10 &&
		      sizeof(struct lapic_nmi) == 6,
	      "ACPI 6.5, 5.2.12");

struct mcfg_entry {
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved;
} __attribute__((packed));
static_assert(sizeof(struct mcfg_entry) == 16, "PCI Firmware 3.2, 4.1.2");

struct srat_lapic {
	uint8_t type, length, node_low, apic_id;
	uint32_t flags;
	uint8_t sapic_eid, node_high[3];
	uint32_t clock;
} __attribute__((packed));
struct srat_x2apic {
	uint8_t type, length;
	uint16_t reserved0;
	uint32_t node, apic_id, flags, clock, reserved1;
} __attribute__((packed));
struct srat_memory {
	uint8_t type, length;
	uint32_t node;
	uint16_t reserved0;
	uint64_t base, size;
	uint32_t reserved1, flags;
	uint64_t reserved2;
} __attribute__((packed));
static_assert(sizeof(struct srat_lapic) == 16 && sizeof(struct srat_x2apic) == 24 &&
		      sizeof(struct srat_memory) == 40,
	      "ACPI 6.5, 5.2.16");

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t ext_checksum, reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct rsdp) == ACPI_RSDP_SIZE, "ACPI 6.5, 5.2.5.3");

struct builder {
	struct acpi_blobs *b;
	struct bytes a; /* writes to b->tables */
	uint32_t table[MAX_TABLES];
	unsigned n_tables;
	bool script_full;
};

#define APPEND(bld, value) bytes_put(&(bld)->a, &(value), sizeof(value))

static void pointer(struct builder *bld, const char *in, uint32_t off, uint8_t size)
{
	bld->script_full |= !loader_pointer(bld->b, in, ACPI_FILE_TABLES, off, size);
}

static void checksum(struct builder *bld, uint32_t table, uint32_t len)
{
	bld->script_full |= !loader_checksum(bld->b, ACPI_FILE_TABLES,
					     table + (uint32_t)offsetof(struct header, checksum),
					     table, len);
}

static struct header make_header(const char *signature, uint8_t revision)
{
	struct header h = { .revision = revision,
			    .oem_revision = htole32(1),
			    .creator_revision = htole32(1) };

	memcpy(h.signature, signature, 4);
	memcpy(h.oem_id, "MINVMM", 6);
	memcpy(h.oem_table_id, "MINIVMM ", 8);
	memcpy(h.creator_id, "MVMM", 4);
	return h;
}

static uint32_t table_start(struct builder *bld, size_t align)
{
	while (bld->a.len % align && !bld->a.overflow)
		bytes_u8(&bld->a, 0);
	return (uint32_t)bld->a.len;
}

static uint32_t table_begin(struct builder *bld, const char *signature, uint8_t revision)
{
	struct header h = make_header(signature, revision);
	uint32_t at = table_start(bld, 8);

	APPEND(bld, h);
	return at;
}

static void set_length(struct builder *bld, uint32_t at)
{
	uint32_t len = htole32((uint32_t)bld->a.len - at);

	if (!bld->a.overflow)
		memcpy(bld->b->tables + at + offsetof(struct header, length), &len, sizeof(len));
}

/* Ends a table: sets its length and its checksum. `listed`: the RSDT and XSDT will point to it. */
static void table_end(struct builder *bld, uint32_t at, bool listed)
{
	set_length(bld, at);
	checksum(bld, at, (uint32_t)bld->a.len - at);
	if (listed && bld->n_tables < MAX_TABLES)
		bld->table[bld->n_tables++] = at;
}

static struct gas io_gas(uint16_t port, uint8_t bytes, uint8_t access)
{
	return (struct gas){ .space = 1,
			     .width = (uint8_t)(bytes * 8),
			     .access = access,
			     .address = htole64(port) };
}

static uint32_t build_facs(struct builder *bld)
{
	struct facs f = { .signature = "FACS", .length = htole32(sizeof(f)), .version = 1 };
	uint32_t at = table_start(bld, 64);

	APPEND(bld, f);
	return at;
}

static uint32_t build_dsdt(struct builder *bld, const struct platform *p)
{
	uint32_t at = table_begin(bld, "DSDT", 2);

	acpi_dsdt(&bld->a, p);
	table_end(bld, at, false);
	return at;
}

static void fadt_pm(struct fadt *f, uint16_t pm)
{
	f->pm1a_evt = htole32(pm + ACPI_PM1_EVT);
	f->pm1a_cnt = htole32(pm + ACPI_PM1_CNT);
	f->pm_tmr = htole32(pm + ACPI_PM_TMR);
	f->gpe0 = htole32(pm + ACPI_GPE0);
	f->pm1_evt_len = 4;
	f->pm1_cnt_len = 2;
	f->pm_tmr_len = 4;
	f->gpe0_len = ACPI_GPE0_SIZE;
	f->x_pm1a_evt = io_gas((uint16_t)(pm + ACPI_PM1_EVT), 4, 2);
	f->x_pm1a_cnt = io_gas((uint16_t)(pm + ACPI_PM1_CNT), 2, 2);
	f->x_pm_tmr = io_gas((uint16_t)(pm + ACPI_PM_TMR), 4, 3);
	f->x_gpe0 = io_gas((uint16_t)(pm + ACPI_GPE0), ACPI_GPE0_SIZE, 1);
}

static void build_fadt(struct builder *bld, const struct platform *p, uint32_t facs, uint32_t dsdt)
{
	struct fadt f = { .h = make_header("FACP", 3),
			  .firmware_ctrl = htole32(facs),
			  .dsdt = htole32(dsdt),
			  .x_dsdt = htole64(dsdt),
			  .sci_int = htole16(IRQ_GSI_SCI),
			  /* No C2 and C3 (ACPI 6.5, table 5.9). */
			  .p_lvl2_lat = htole16(0xfff),
			  .p_lvl3_lat = htole16(0xfff),
			  .century = p->rtc ? 0x32 : 0,
			  .boot_arch = htole16(1 |
					       (p->rtc ? 0 : 0x20)), /* legacy devices, no 8042 */
			  .flags = htole32(FADT_FLAGS),
			  .reset_reg = io_gas(0xcf9, 1, 1),
			  .reset_value = 0x0f };
	uint32_t at = table_start(bld, 8);

	fadt_pm(&f, p->pmbase ? p->pmbase : 0x600);
	APPEND(bld, f);
	pointer(bld, ACPI_FILE_TABLES, at + (uint32_t)offsetof(struct fadt, firmware_ctrl), 4);
	pointer(bld, ACPI_FILE_TABLES, at + (uint32_t)offsetof(struct fadt, dsdt), 4);
	pointer(bld, ACPI_FILE_TABLES, at + (uint32_t)offsetof(struct fadt, x_dsdt), 8);
	table_end(bld, at, true);
}

static void madt_cpu(struct builder *bld, uint32_t uid, uint32_t apic_id)
{
	struct lapic l = { 0, sizeof(l), (uint8_t)uid, (uint8_t)apic_id, htole32(1) };
	struct x2apic x = { .type = 9,
			    .length = sizeof(x),
			    .apic_id = htole32(apic_id),
			    .flags = htole32(1),
			    .uid = htole32(uid) };

	if (uid < 255 && apic_id < 255)
		APPEND(bld, l);
	else
		APPEND(bld, x);
}

static void build_madt(struct builder *bld, const struct platform *p)
{
	/* vmm/core/irq.c connects the PIT to pin 2 of the IOAPIC. The other entries are the pins
	 * that are level triggered and active high. */
	static const struct {
		uint8_t irq, gsi;
		uint16_t flags;
	} overrides[] = {
		{ 0, 2, 0 }, { 5, 5, 0xd }, { 9, 9, 0xd }, { 10, 10, 0xd }, { 11, 11, 0xd }
	};
	struct ioapic io = { 1, sizeof(io), 0, 0, htole32(IOAPIC_BASE), 0 };
	struct lapic_nmi nmi = { 4, sizeof(nmi), 0xff, 0, 1 };
	uint32_t at = table_begin(bld, "APIC", 3);

	bytes_u32(&bld->a, LAPIC_BASE);
	bytes_u32(&bld->a, 1); /* there are also two 8259s */
	for (unsigned i = 0; i < p->n_cpus; i++)
		madt_cpu(bld, i, p->cpus[i].apic_id);
	APPEND(bld, io);
	for (unsigned i = 0; i < ARRAY_SIZE(overrides); i++) {
		struct override o = { 2,
				      sizeof(o),
				      0,
				      overrides[i].irq,
				      htole32(overrides[i].gsi),
				      htole16(overrides[i].flags) };

		APPEND(bld, o);
	}
	APPEND(bld, nmi);
	table_end(bld, at, true);
}

static void build_mcfg(struct builder *bld, const struct platform *p)
{
	struct mcfg_entry e = { .base = htole64(p->ecam_base), .last_bus = platform_last_bus(p) };
	uint32_t at = table_begin(bld, "MCFG", 1);

	bytes_u64(&bld->a, 0);
	APPEND(bld, e);
	table_end(bld, at, true);
}

static void srat_cpu(struct builder *bld, const struct platform_cpu *cpu)
{
	struct srat_lapic l = { .length = sizeof(l),
				.node_low = (uint8_t)cpu->node,
				.apic_id = (uint8_t)cpu->apic_id,
				.flags = htole32(1) };
	struct srat_x2apic x = { .type = 2,
				 .length = sizeof(x),
				 .node = htole32(cpu->node),
				 .apic_id = htole32(cpu->apic_id),
				 .flags = htole32(1) };

	if (cpu->apic_id < 255)
		APPEND(bld, l);
	else
		APPEND(bld, x);
}

static void build_srat(struct builder *bld, const struct platform *p)
{
	uint32_t at = table_begin(bld, "SRAT", 3);

	bytes_u32(&bld->a, 1); /* reserved; must be 1 for compatibility */
	bytes_u64(&bld->a, 0);
	for (unsigned i = 0; i < p->n_cpus; i++)
		srat_cpu(bld, &p->cpus[i]);
	for (unsigned i = 0; i < p->n_memory; i++) {
		struct srat_memory m = { .type = 1,
					 .length = sizeof(m),
					 .node = htole32(p->memory[i].node),
					 .base = htole64(p->memory[i].base),
					 .size = htole64(p->memory[i].size),
					 .flags = htole32(1) };

		APPEND(bld, m);
	}
	table_end(bld, at, true);
}

static void build_slit(struct builder *bld, const struct platform *p)
{
	uint32_t at = table_begin(bld, "SLIT", 1);

	bytes_u64(&bld->a, p->n_nodes);
	bytes_put(&bld->a, p->distance, (size_t)p->n_nodes * p->n_nodes);
	table_end(bld, at, true);
}

/* The RSDT (entries of 4 bytes) or the XSDT (entries of 8 bytes). */
static uint32_t build_root(struct builder *bld, const char *signature, uint8_t entry)
{
	uint32_t at = table_begin(bld, signature, 1);

	for (unsigned i = 0; i < bld->n_tables; i++) {
		uint64_t v = htole64(bld->table[i]);

		pointer(bld, ACPI_FILE_TABLES, (uint32_t)bld->a.len, entry);
		bytes_put(&bld->a, &v, entry);
	}
	table_end(bld, at, false);
	return at;
}

static void build_rsdp(struct builder *bld, uint32_t rsdt, uint32_t xsdt)
{
	struct rsdp r = { .revision = 2,
			  .rsdt = htole32(rsdt),
			  .length = htole32(sizeof(r)),
			  .xsdt = htole64(xsdt) };

	memcpy(r.signature, "RSD PTR ", 8);
	memcpy(r.oem_id, "MINVMM", 6);
	memcpy(bld->b->rsdp, &r, sizeof(r));
	pointer(bld, ACPI_FILE_RSDP, offsetof(struct rsdp, rsdt), 4);
	pointer(bld, ACPI_FILE_RSDP, offsetof(struct rsdp, xsdt), 8);
	/* The first 20 bytes are the structure of ACPI 1.0, which has its own checksum. */
	bld->script_full |= !loader_checksum(bld->b, ACPI_FILE_RSDP,
					     offsetof(struct rsdp, checksum), 0, 20);
	bld->script_full |= !loader_checksum(bld->b, ACPI_FILE_RSDP,
					     offsetof(struct rsdp, ext_checksum), 0, sizeof(r));
}

static bool platform_ok(const struct platform *p)
{
	if (!p->n_cpus || p->n_cpus > 1024 || p->n_nodes > PLATFORM_MAX_NODES ||
	    p->n_serial > PLATFORM_SERIALS)
		return false;
	if (p->mmio32_base > p->mmio32_end || p->mmio32_end > 4 * GiB)
		return false;
	if (p->ecam_size && (!range_ok(p->ecam_base, p->ecam_size, 1ull << 52) ||
			     p->ecam_size % (64 * MiB) || p->ecam_size > 256 * MiB))
		return false;
	if (!range_ok(p->map.mmio64_base, p->map.mmio64_size, 1ull << 52))
		return false;
	for (unsigned i = 0; p->n_nodes && i < p->n_cpus; i++)
		if (p->cpus[i].node >= p->n_nodes)
			return false;
	for (unsigned i = 0; p->n_nodes && i < p->n_memory; i++)
		if (p->memory[i].node >= p->n_nodes)
			return false;
	return true;
}

/* The blobs must be zero, and the platform must have been checked. */
static int build(struct acpi_blobs *b, const struct platform *p)
{
	struct builder bld = { .b = b, .a = { .buf = b->tables, .cap = sizeof(b->tables) } };
	uint32_t facs, dsdt, rsdt, xsdt;

	bld.script_full |= !loader_allocate(b, ACPI_FILE_RSDP, 16, true);
	bld.script_full |= !loader_allocate(b, ACPI_FILE_TABLES, 64, false);
	facs = build_facs(&bld);
	dsdt = build_dsdt(&bld, p);
	build_fadt(&bld, p, facs, dsdt);
	build_madt(&bld, p);
	if (p->ecam_size)
		build_mcfg(&bld, p);
	if (p->n_nodes)
		build_srat(&bld, p);
	if (p->n_nodes && p->distance)
		build_slit(&bld, p);
	rsdt = build_root(&bld, "RSDT", 4);
	xsdt = build_root(&bld, "XSDT", 8);
	build_rsdp(&bld, rsdt, xsdt);
	b->tables_len = bld.a.len;
	return bld.a.overflow || bld.script_full ? -ENOSPC : 0;
}

int acpi_build(struct acpi_blobs *b, const struct platform *p)
{
	if (!platform_ok(p))
		return -EINVAL;
	memset(b, 0, sizeof(*b));
	return build(b, p);
}

/* Touches only the pages that contain tables, in our memory and in the guest's. Clearing and
 * copying all pages took a twelfth of the time to the first instruction. */
int acpi_install(struct guest_mem *mem, const struct platform *p, gpa_t tables, gpa_t rsdp)
{
	scoped_free struct acpi_blobs *b = calloc(1, sizeof(*b));
	int ret;

	if (!b)
		return -ENOMEM;
	if (!platform_ok(p) || !range_ok(tables.v, ACPI_TABLES_SIZE, 4 * GiB) || tables.v % 64 ||
	    rsdp.v % 16)
		return -EINVAL;
	ret = build(b, p);
	if (!ret)
		ret = loader_run(b, tables.v, rsdp.v);
	if (!ret)
		ret = guest_mem_write(mem, tables, b->tables, b->tables_len);
	return ret ? ret : guest_mem_write(mem, rsdp, b->rsdp, sizeof(b->rsdp));
}
