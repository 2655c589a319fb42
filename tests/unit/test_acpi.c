/* SPDX-License-Identifier: BSD-2-Clause */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/pci/pci_host.h"
#include "firmware/acpi/acpi.h"
#include "firmware/acpi/acpi_aml.h"
#include "devices/chipset/fw_cfg.h"
#include "vmm/core/mem.h"

#define RAM    (16 * MiB)
#define TABLES (14 * MiB)
#define RSDP   0xe0000

struct fixture {
	uint8_t *ram;
	struct guest_mem *mem;
	struct platform_cpu cpus[300];
	struct platform p;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mem_range r = { .size = RAM };

	f->ram = r.host = aligned_alloc(4096, RAM);
	memset(f->ram, 0, RAM);
	f->mem = guest_mem_new();
	for (unsigned i = 0; i < ARRAY_SIZE(f->cpus); i++)
		f->cpus[i] = (struct platform_cpu){ .apic_id = i, .node = i & 1 };
	f->p = (struct platform){
		.cpus = f->cpus,
		.n_cpus = 4,
		.mmio32_base = 2 * GiB,
		.mmio32_end = 0xfc000000,
		.map = { .mmio64_base = 0x3800000000, .mmio64_size = 256 * GiB },
		.ecam_base = 0xb0000000,
		.ecam_size = 256 * MiB,
		.pci_node = PLATFORM_NO_NODE,
		.serial = { { 0x3f8, 4, 0 } },
		.n_serial = 1,
		.rtc = true,
	};
	*state = f;
	return guest_mem_add(f->mem, &r);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_mem_free(f->mem);
	free(f->ram);
	free(f);
	return 0;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static void assert_sum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	assert_int_equal(sum, 0);
}

/* Finds a table through RSDP and XSDT, and checks its checksum. NULL: it is not listed. */
static const uint8_t *find_table(struct fixture *f, const char *sig)
{
	const uint8_t *rsdp = f->ram + RSDP, *xsdt = f->ram + get64(rsdp + 24), *found = NULL;
	const uint8_t *rsdt = f->ram + get32(rsdp + 16);
	unsigned n = (get32(xsdt + 4) - 36) / 8;

	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_sum(rsdp, 20);
	assert_sum(rsdp, 36);
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_sum(xsdt, get32(xsdt + 4));
	assert_sum(rsdt, get32(rsdt + 4));
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *t = f->ram + get64(xsdt + 36 + 8 * i);

		assert_int_equal(get32(rsdt + 36 + 4 * i), get64(xsdt + 36 + 8 * i));
		assert_sum(t, get32(t + 4));
		if (!memcmp(t, sig, 4))
			found = t;
	}
	return found;
}

static const uint8_t *find_dsdt(struct fixture *f)
{
	const uint8_t *facp = find_table(f, "FACP"), *dsdt;

	assert_non_null(facp);
	dsdt = f->ram + get32(facp + 40);
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_sum(dsdt, get32(dsdt + 4));
	return dsdt;
}

static void install(struct fixture *f)
{
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES), GPA(RSDP)), 0);
}

static void test_fadt(void **state)
{
	struct fixture *f = *state;
	const uint8_t *t;

	install(f);
	t = find_table(f, "FACP");
	assert_int_equal(get32(t + 4), 244);
	assert_int_equal(t[8], 3);
	assert_int_equal(get32(t + 40), get64(t + 140));
	assert_memory_equal(f->ram + get32(t + 36), "FACS", 4);
	assert_int_equal(get32(t + 36) % 64, 0);
	assert_int_equal(t[46], 9);		/* SCI */
	assert_int_equal(get32(t + 48), 0);	/* SMI_CMD */
	assert_int_equal(get32(t + 56), 0x600); /* PM1a_EVT */
	assert_int_equal(get32(t + 64), 0x604); /* PM1a_CNT */
	assert_int_equal(get32(t + 76), 0x608); /* PM_TMR */
	assert_int_equal(get32(t + 80), 0x620); /* GPE0 */
	assert_int_equal(t[88], 4);
	assert_int_equal(t[89], 2);
	assert_int_equal(t[91], 4);
	assert_int_equal(t[92], 16);
	assert_int_equal(t[108], 0x32);
	/* FIX_RTC: PM1 has no RTC event, and no sleep state that the RTC could end (bit 7). */
	assert_int_equal(get32(t + 112), 0x8465);
	/* SMI_CMD 0: always in ACPI mode; no second blocks, no PM2, no GPE1. */
	assert_int_equal(get32(t + 48), 0);
	assert_int_equal(get32(t + 60) | get32(t + 68) | get32(t + 72) | get32(t + 84), 0);
	assert_int_equal(t[116], 1);
	assert_int_equal(get64(t + 120), 0xcf9);
	assert_int_equal(t[128], 0x0f);
}

static void test_madt(void **state)
{
	struct fixture *f = *state;
	unsigned lapics = 0, x2apics = 0, overrides = 0, ioapics = 0;
	const uint8_t *t;

	f->p.n_cpus = 260;
	install(f);
	t = find_table(f, "APIC");
	assert_int_equal(get32(t + 36), 0xfee00000);
	for (const uint8_t *p = t + 44; p < t + get32(t + 4); p += p[1]) {
		assert_true(p[1] >= 6);
		lapics += p[0] == 0;
		x2apics += p[0] == 9;
		overrides += p[0] == 2;
		ioapics += p[0] == 1;
		if (p[0] == 0)
			assert_int_equal(p[2], p[3]);
		if (p[0] == 2 && p[3] == 9)
			assert_int_equal(p[8], 0xd);
	}
	assert_int_equal(lapics, 255);
	assert_int_equal(x2apics, 5);
	assert_int_equal(overrides, 5);
	assert_int_equal(ioapics, 1);
}

/* Whether the DSDT has an I/O port descriptor (ACPI 6.5, 6.4.2.5) with this port. */
static bool has_port(const uint8_t *dsdt, uint16_t port)
{
	const uint8_t io[] = { 0x47, 0x01, port & 0xff, port >> 8, port & 0xff, port >> 8 };

	return memmem(dsdt, get32(dsdt + 4), io, sizeof(io));
}

/* The tables must declare exactly the devices that exist. */
static void test_isa(void **state)
{
	struct fixture *f = *state;
	const uint8_t *t;

	install(f);
	t = find_dsdt(f);
	assert_true(has_port(t, 0x3f8) && has_port(t, 0x70));
	assert_false(has_port(t, 0x2f8));
	f->p.rtc = false;
	f->p.serial[0] = (struct platform_serial){ 0x2f8, 3, 1 };
	install(f);
	t = find_dsdt(f);
	assert_false(has_port(t, 0x3f8) || has_port(t, 0x70));
	assert_true(has_port(t, 0x2f8));
}

/* The last bus of the root bridge's _CRS, whose descriptor is a word range of buses. */
static unsigned crs_last_bus(struct fixture *f)
{
	const uint8_t head[] = { 0x88, 13, 0, 2 }, *dsdt = find_dsdt(f), *t;

	t = memmem(dsdt, get32(dsdt + 4), head, sizeof(head));
	assert_non_null(t);
	return t[10] | t[11] << 8;
}

static void test_mcfg(void **state)
{
	struct fixture *f = *state;
	const uint8_t *t;

	install(f);
	t = find_table(f, "MCFG");
	assert_int_equal(get64(t + 44), 0xb0000000);
	assert_int_equal(t[54], 0);
	assert_int_equal(t[55], 255);
	f->p.ecam_size = 64 * MiB;
	install(f);
	assert_int_equal(find_table(f, "MCFG")[55], 63);
	/* No more buses than there are, and no more than ECAM holds. */
	f->p.buses = 3;
	install(f);
	assert_int_equal(find_table(f, "MCFG")[55], 2);
	assert_int_equal(crs_last_bus(f), 2);
	f->p.buses = 65;
	install(f);
	assert_int_equal(find_table(f, "MCFG")[55], 63);
	f->p.buses = 1;
	install(f);
	assert_int_equal(find_table(f, "MCFG")[55], 0);
	f->p.ecam_size = 0;
	install(f);
	assert_null(find_table(f, "MCFG"));
}

static void test_numa(void **state)
{
	struct fixture *f = *state;
	const struct platform_memory memory[] = { { 0, 0xa0000, 0 },
						  { MiB, 1023 * MiB, 0 },
						  { 4 * GiB, GiB, 1 } };
	const uint8_t distance[4] = { 10, 20, 20, 10 };
	const uint8_t *t;

	install(f);
	assert_null(find_table(f, "SRAT"));
	f->p.n_nodes = 2;
	f->p.memory = memory;
	f->p.n_memory = 3;
	f->p.distance = distance;
	install(f);
	t = find_table(f, "SRAT");
	assert_int_equal(get32(t + 4), 48 + 4 * 16 + 3 * 40);
	assert_int_equal(t[48 + 16 + 2], 1); /* the second CPU's node */
	assert_int_equal(get64(t + 48 + 64 + 80 + 8), 4 * GiB);
	t = find_table(f, "SLIT");
	assert_memory_equal(t + 44, distance, 4);
	f->p.n_nodes = 1;
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES), GPA(RSDP)), -EINVAL);
}

static void test_bad_configs(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(acpi_install(f->mem, &f->p, GPA(RAM - 64), GPA(RSDP)), -EFAULT);
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES + 4), GPA(RSDP)), -EINVAL);
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(4 * GiB), GPA(RSDP)), -EINVAL);
	f->p.mmio32_base = f->p.mmio32_end + 1;
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES), GPA(RSDP)), -EINVAL);
	f->p.mmio32_base = 0x80000000;
	f->p.n_cpus = 0;
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES), GPA(RSDP)), -EINVAL);
	f->p.n_cpus = 4;
	f->p.map.mmio64_base = UINT64_MAX - 1;
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES), GPA(RSDP)), -EINVAL);
	f->p.map.mmio64_base = 0x3800000000;
	f->p.n_serial = PLATFORM_SERIALS + 1;
	assert_int_equal(acpi_install(f->mem, &f->p, GPA(TABLES), GPA(RSDP)), -EINVAL);
}

static char dir[32];

static int aml_of(const char *what, const uint8_t *p, size_t len, char *out, size_t out_len)
{
	char cmd[512];
	char path[64];
	FILE *fp;
	size_t n;

	snprintf(path, sizeof(path), "%s/t.aml", dir);
	fp = fopen(path, "w");
	assert_non_null(fp);
	assert_int_equal(fwrite(p, 1, len, fp), len);
	fclose(fp);
	snprintf(cmd, sizeof(cmd), "cd %s && rm -f t.dsl t2.* && %s", dir, what);
	if (system(cmd))
		return -1;
	snprintf(path, sizeof(path), "%s/t.dsl", dir);
	fp = fopen(path, "r");
	assert_non_null(fp);
	n = fread(out, 1, out_len - 1, fp);
	out[n] = 0;
	fclose(fp);
	return 0;
}

/* iasl must disassemble every table, and compile the result again without a warning. */
static void test_iasl(void **state)
{
	static const char run[] =
		"iasl -d t.aml >log 2>&1 && ! grep -qi 'error\\|invalid' log && "
		"iasl -p t2 t.dsl >log2 2>&1 && "
		"grep -q ' 0 Errors, 0 Warnings' log2 || { cat log log2; exit 1; }";
	static const char *const tables[] = { "FACP", "APIC", "MCFG", "SRAT", "SLIT" };
	const struct platform_memory memory[] = { { 0, GiB, 0 }, { 4 * GiB, GiB, 1 } };
	const uint8_t distance[4] = { 10, 20, 20, 10 };
	struct fixture *f = *state;
	char *text = malloc(1 << 20), cmd[64];
	const uint8_t *t;

	strcpy(dir, "/tmp/minivmm-acpi-XXXXXX");
	if (system("command -v iasl >/dev/null") || !mkdtemp(dir)) {
		print_message("iasl is not installed (Debian: acpica-tools)\n");
		free(text);
		skip();
	}
	f->p.n_nodes = 2;
	f->p.memory = memory;
	f->p.n_memory = 2;
	f->p.distance = distance;
	f->p.pci_node = 1;
	f->p.serial[f->p.n_serial++] = (struct platform_serial){ 0x2f8, 3, 1 };
	install(f);
	t = find_dsdt(f);
	assert_int_equal(aml_of(run, t, get32(t + 4), text, 1 << 20), 0);
	assert_non_null(strstr(text, "Name (\\_S5"));
	assert_non_null(strstr(text, "33db4d5b-1ff7-401c-9657-7441c03dd766"));
	assert_non_null(strstr(text, "0x00000077FFFFFFFF"));
	assert_non_null(strstr(text, "0xAFFFFFFF"));
	assert_non_null(strstr(text, "0xFBFFFFFF"));
	assert_non_null(strstr(text, "Name (_PXM"));
	assert_non_null(strstr(text, "EisaId (\"PNP0501\")"));
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		t = find_table(f, tables[i]);
		assert_int_equal(aml_of(run, t, get32(t + 4), text, 1 << 20), 0);
	}
	free(text);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void test_live(void **state)
{
	struct fixture *f = *state;
	struct pci_root root;
	struct pci_host host = { 0 };
	struct pci_device dev;
	struct fw_cfg *fw;
	struct acpi_fw_cfg a;
	uint8_t *tables;
	bool found = false;

	pci_root_init(&root);
	root.pio = bus_new(0x10000);
	root.mmio = bus_new(1ull << 52);
	assert_int_equal(pci_host_init(&host, &root, NULL), 0);
	pci_device_init(&dev, "big", NULL, 1, 1, 0x030000, 0);
	assert_int_equal(pci_add_bar(&dev, 2, PCI_BAR_MEM64, true, 128 * GiB, NULL, NULL), 0);
	assert_int_equal(pci_add(&root, &root.bus, &dev, PCI_DEVFN(5, 0), NULL), 0);
	fw = fw_cfg_new(root.pio, f->mem);
	f->p.ecam_size = 0;
	assert_int_equal(acpi_fw_cfg_add(&a, fw, &f->p, &host), 0);
	/* Firmware places the window and the BAR, then fetches the script. */
	pci_host_set_ecam(&host, 0xe0000000);
	pci_cfg_write(&root, 0, PCI_DEVFN(5, 0), PCI_BASE_ADDRESS_3, 4, 0x2000);
	bus_write(root.pio, 0x510, 2, FW_CFG_FILE_FIRST + 2);
	tables = a.blobs->tables;
	for (unsigned i = 0; i < ACPI_TABLES_SIZE - 64; i++)
		if (!memcmp(tables + i, "MCFG", 4))
			found |= get64(tables + i + 44) == 0xe0000000;
	assert_true(found);
	acpi_follow_pci(&f->p, &host);
	assert_int_equal(f->p.buses, 1);
	assert_true(f->p.map.mmio64_base == 0x3800000000);
	assert_true(f->p.map.mmio64_base + f->p.map.mmio64_size == 0x200000000000 + 128 * GiB);
	fw_cfg_free(fw);
	acpi_fw_cfg_destroy(&a);
	pci_remove(&dev);
	pci_device_destroy(&dev);
	pci_host_destroy(&host);
	bus_free(root.pio);
	bus_free(root.mmio);
	pci_root_destroy(&root);
}

static void test_aml(void **state)
{
	uint8_t buf[8192];
	struct bytes a = { .buf = buf, .cap = sizeof(buf) };
	size_t m;

	(void)state;
	aml_path(&a, "\\_SB.PCI0.X");
	assert_memory_equal(buf, "\\\x2f\x03_SB_PCI0X___", 15);
	a.len = 0;
	aml_eisaid(&a, "PNP0A08");
	assert_memory_equal(buf, "\x0c\x41\xd0\x0a\x08", 5);
	a.len = 0;
	aml_int(&a, 0x123456789);
	assert_memory_equal(buf, "\x0e\x89\x67\x45\x23\x01\0\0\0", 9);
	/* Package lengths at the borders of their encodings. */
	a.len = 0;
	m = aml_open(&a);
	memset(buf, 'x', 62);
	a.len = 62;
	aml_close(&a, m);
	assert_int_equal(buf[0], 63);
	a.len = 63;
	aml_close(&a, m);
	assert_int_equal(buf[0], 0x41);
	assert_int_equal(buf[1], 65 >> 4);
	a.len = 5000;
	aml_close(&a, m);
	assert_int_equal(buf[0], 0x80 | (5003 & 15));
	assert_int_equal(buf[1] | buf[2] << 8, 5003 >> 4);
	a.len = sizeof(buf);
	aml_close(&a, m);
	assert_true(a.overflow);
	bytes_u8(&a, 1);
	assert_int_equal(a.len, sizeof(buf));
}

/* _OSC grants native hotplug only to a machine with slots for it; nothing else is different. */
static void test_osc(void **state)
{
	struct fixture *f = *state;
	static struct acpi_blobs without, with;
	unsigned different = 0;

	assert_int_equal(acpi_build(&without, &f->p), 0);
	f->p.hotplug = true;
	assert_int_equal(acpi_build(&with, &f->p), 0);
	for (size_t i = 0; i < sizeof(with.tables); i++) {
		if (with.tables[i] == without.tables[i])
			continue;
		different++;
		assert_int_equal(without.tables[i], 0x10);
		assert_int_equal(with.tables[i], 0x11);
	}
	assert_int_equal(different, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fadt), T(test_madt), T(test_isa),	 T(test_mcfg), T(test_numa),
		T(test_iasl), T(test_live), T(test_bad_configs), T(test_aml),
		T(test_osc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
