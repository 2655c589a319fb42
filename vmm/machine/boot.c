/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the machine starts: through firmware (flash and fw_cfg), or directly in a kernel that finds
 * what firmware would have left: a memory map, ACPI tables, a device tree, and a chipset whose ECAM
 * and power-management registers are where the tables say.
 *
 * Threads: main loop, vCPUs not running.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/chipset/serial.h"
#include "firmware/e820.h"
#include "firmware/fdt.h"
#include "devices/chipset/fw_cfg.h"
#include "firmware/linux_boot.h"
#include "firmware/smbios.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/infile.h"
#include "vmm/core/log.h"
#include "vmm/core/nbio.h"
#include "vmm/machine/machine.h"
#include "vmm/core/outfile.h"

/* In the BIOS segment, where kernels look. */
#define RSDP_ADDR   0xf0000u
#define SMBIOS_ADDR 0xf0040u

static uint32_t apic_id_of(const void *arg, unsigned i)
{
	return cpu_apic_id(arg, i);
}

static int fill_acpi(struct vm *vm, struct acpi_config *a)
{
	unsigned i, n = (unsigned)vm->cfg->cpus.n;

	if (!vm->acpi_cpus)
		vm->acpi_cpus = calloc(n, sizeof(*vm->acpi_cpus));
	if (!vm->acpi_cpus)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		vm->acpi_cpus[i] = (struct acpi_cpu){ cpu_apic_id(&vm->cfg->topo, i),
						      machine_memory_cpu_node(vm, i) };
	*a = (struct acpi_config){
		.cpus = vm->acpi_cpus,
		.n_cpus = n,
		.mmio32_base = vm->map.low_ram,
		.mmio32_end = MACHINE_MMIO32_END,
		.mmio64_base = vm->map.mmio64_base,
		.mmio64_size = vm->map.mmio64_size,
		.ecam_base = MACHINE_ECAM_BASE,
		.ecam_size = MACHINE_ECAM_SIZE,
		.pmbase = ICH9_PMBASE_DEFAULT,
		.pci_node = ACPI_NO_NODE,
		.com1 = serial_place(&vm->cfg->devices, 0) != NULL,
		.com2 = serial_place(&vm->cfg->devices, 1) != NULL,
		.rtc = true,
	};
	if (vm->numa) {
		a->n_nodes = vm->numa->n;
		a->memory = vm->numa->memory;
		a->n_memory = vm->numa->n_memory;
		a->distance = vm->numa->distance;
		a->pci_node = vm->numa->pci_node;
	}
	return 0;
}

static struct smbios_config smbios_config(const struct vm *vm)
{
	return (struct smbios_config){
		.name = vm->cfg->name,
		.version = MINIVMM_VERSION,
		.sockets = vm->cfg->topo.sockets,
		.cores = vm->cfg->topo.cores,
		.threads = vm->cfg->topo.threads,
		.low = vm->map.low_ram,
		.high = vm->map.high_ram,
		.high_base = vm->map.high_base,
		.uefi = vm->cfg->firmware || !vm->cfg->kernel,
	};
}

static int open_file(const char *path, const char *option, int *fd, struct error *err)
{
	*fd = infile_open(path);
	return *fd < 0 ? error_set(err, *fd, "--%s %s: %s", option, path, strerror(-*fd)) : 0;
}

static int open_kernel(struct vm *vm, struct error *err)
{
	int rc;

	if (!vm->cfg->kernel)
		return 0;
	rc = open_file(vm->cfg->kernel, "kernel", &vm->kernel_fd, err);

	if (rc == 0 && vm->cfg->initrd)
		rc = open_file(vm->cfg->initrd, "initrd", &vm->initrd_fd, err);
	return rc;
}

/* Direct boot */

static uint64_t tables_addr(const struct vm *vm)
{
	return vm->map.low_ram - ACPI_TABLES_SIZE;
}

static int memory_map(const struct vm *vm, struct e820_map *m)
{
	m->n = 0;
	return e820_linux(m, vm->map.low_ram, vm->map.high_base, vm->map.high_ram, tables_addr(vm),
			  ACPI_TABLES_SIZE, MACHINE_ECAM_BASE, MACHINE_ECAM_SIZE);
}

static void linux_params(const struct vm *vm, const struct e820_map *m, struct linux_boot *b)
{
	*b = (struct linux_boot){
		.mem = vm->mem,
		.kernel_path = vm->cfg->kernel,
		.initrd_path = vm->cfg->initrd,
		.kernel_fd = vm->kernel_fd,
		.initrd_fd = vm->initrd_fd,
		.cmdline = vm->cfg->append,
		.map = m,
		.dtb = vm->dtb,
		.dtb_size = vm->dtb_size,
		.rsdp = RSDP_ADDR,
	};
}

static uint32_t node_of(const void *arg, unsigned i)
{
	return machine_memory_cpu_node(arg, i);
}

static void dtb_numa(const struct vm *vm, struct fdt_machine *m, struct fdt_memory *memory)
{
	const struct machine_numa *n = vm->numa;
	unsigned i;

	if (!n)
		return;
	for (i = 0; i < n->n_memory; i++)
		memory[i] = (struct fdt_memory){ n->memory[i].base, n->memory[i].size,
						 n->memory[i].node };
	m->n_nodes = n->n;
	m->n_memory = n->n_memory;
	m->memory = memory;
	m->cpu_node = node_of;
	m->node_arg = vm;
	m->distance = n->distance;
	m->pci_node = n->pci_node;
}

static int build_dtb(struct vm *vm, struct error *err)
{
	struct fdt_machine m = {
		.name = vm->cfg->name,
		.low_ram = vm->map.low_ram,
		.high_base = vm->map.high_base,
		.high_ram = vm->map.high_ram,
		.n_cpus = (unsigned)vm->cfg->cpus.n,
		.apic_id = apic_id_of,
		.apic_arg = &vm->cfg->topo,
		.ecam_base = MACHINE_ECAM_BASE,
		.ecam_size = MACHINE_ECAM_SIZE,
		.mmio32_base = MACHINE_MMIO32_BASE,
		.mmio32_size = MACHINE_MMIO32_END - MACHINE_MMIO32_BASE,
		.mmio64_base = vm->map.mmio64_base,
		.mmio64_size = vm->map.mmio64_size,
		.bootargs = vm->cfg->append,
	};
	struct fdt_memory memory[ARRAY_SIZE(((struct machine_numa *)0)->memory)];
	struct linux_boot b;
	struct e820_map map;
	unsigned i;
	int rc = 0;

	dtb_numa(vm, &m, memory);
	for (i = 0; i < SERIAL_PORTS; i++) {
		const struct serial_place *p = serial_place(&vm->cfg->devices, i);

		if (!p)
			continue;
		m.serial_port[m.n_serial] = p->port;
		m.serial_irq[m.n_serial++] = p->irq;
	}
	if (vm->kernel_fd >= 0) {
		rc = memory_map(vm, &map);
		linux_params(vm, &map, &b);
		if (rc == 0)
			rc = linux_boot_initrd_range(&b, &m.initrd_base, &m.initrd_size, err);
	}
	return rc < 0 ? rc : fdt_build(&m, &vm->dtb, &vm->dtb_size, err);
}

/* The initrd is read again at a reset, and may be another by now: the tree says where it lies. */
static int renew_dtb(struct vm *vm, struct error *err)
{
	if (!vm->started)
		return 0;
	free(vm->dtb);
	vm->dtb = NULL;
	return build_dtb(vm, err);
}

static int load_direct(struct vm *vm, struct vcpu_entry *entry, struct error *err)
{
	struct smbios_config smbios = smbios_config(vm);
	struct linux_boot_entry e;
	struct acpi_config acpi;
	struct linux_boot b;
	struct e820_map map;
	int rc;

	rc = memory_map(vm, &map);
	if (rc < 0)
		return error_set(err, rc, "memory map: %s", strerror(-rc));
	rc = renew_dtb(vm, err);
	if (rc < 0)
		return rc;
	linux_params(vm, &map, &b);
	rc = linux_boot_load(&b, &e, err);
	if (rc < 0)
		return rc;
	pci_host_set_ecam(&vm->host, MACHINE_ECAM_BASE);
	ich9_lpc_set_pmbase(&vm->lpc);
	rc = fill_acpi(vm, &acpi);
	if (rc == 0)
		rc = acpi_install(vm->mem, &acpi, GPA(tables_addr(vm)), GPA(RSDP_ADDR));
	if (rc == 0)
		rc = smbios_install(vm->mem, &smbios, GPA(SMBIOS_ADDR));
	if (rc < 0)
		return error_set(err, rc, "ACPI and SMBIOS tables: %s", strerror(-rc));
	*entry = (struct vcpu_entry){
		.mode = e.long_mode ? VCPU_LONG64 : VCPU_PROT32,
		.rip = e.rip,
		.rsp = e.rsp,
		.rbx = e.rbx,
		.rsi = e.rsi,
		.cr3 = e.cr3,
		.gdt_base = e.gdt_base,
		.gdt_limit = e.gdt_limit,
	};
	return 0;
}

/* Firmware */

static int add_kernel(struct vm *vm, struct error *err)
{
	const struct fw_cfg_linux l = {
		.kernel_fd = vm->kernel_fd,
		.initrd_fd = vm->initrd_fd,
		.kernel_path = vm->cfg->kernel,
		.initrd_path = vm->cfg->initrd,
		.cmdline = vm->cfg->append ? vm->cfg->append : "",
	};
	int rc = vm->cfg->kernel ? fw_cfg_add_linux(vm->fw_cfg, &l) : 0;

	return rc < 0 ? error_set(err, rc, "--kernel %s: %s", vm->cfg->kernel,
				  rc == -EINVAL ? "firmware can only start a bzImage"
						: strerror(-rc))
		      : 0;
}

static int add_e820(struct vm *vm)
{
	struct e820_map m = { .n = 0 };
	int rc = e820_firmware(&m, vm->map.low_ram, vm->map.high_base, vm->map.high_ram);

	return rc < 0 ? rc : e820_fw_cfg_add(vm->fw_cfg, &m);
}

static int fill_fw_cfg(struct vm *vm, struct error *err)
{
	uint16_t cpus = (uint16_t)vm->cfg->cpus.n;
	struct smbios_config smbios = smbios_config(vm);
	struct acpi_config acpi;
	int rc;

	rc = fw_cfg_add_u16(vm->fw_cfg, FW_CFG_NB_CPUS, cpus);
	if (rc == 0)
		rc = fw_cfg_add_u16(vm->fw_cfg, FW_CFG_MAX_CPUS, cpus);
	if (rc == 0)
		rc = add_e820(vm);
	if (rc == 0)
		rc = smbios_fw_cfg_add(vm->fw_cfg, &smbios);
	if (rc == 0)
		rc = fill_acpi(vm, &acpi);
	if (rc == 0)
		rc = acpi_fw_cfg_add(&vm->acpi_fw, vm->fw_cfg, &acpi, &vm->host);
	/* Only when its own choice is too small: what is said here it takes, fitting or not. */
	if (rc == 0 && vm->map.mmio64_told)
		rc = fw_cfg_add_mmio64_size(vm->fw_cfg, vm->map.mmio64_size / MiB);
	if (rc < 0)
		return error_set(err, rc, "fw_cfg: %s", strerror(-rc));
	return add_kernel(vm, err);
}

static int prepare_firmware(struct vm *vm, struct error *err)
{
	int rc;

	vm->fw_cfg = fw_cfg_new(vm->pio, vm->mem);
	if (!vm->fw_cfg)
		return error_set(err, -ENOMEM, "no memory for the firmware's devices");
	rc = fill_fw_cfg(vm, err);
	return rc < 0 ? rc : ovmf_map(vm->ovmf, vm->mmio, vm->mem, err);
}

static bool is_direct(const struct vm *vm)
{
	return vm->cfg->kernel && !vm->cfg->firmware;
}

static int open_firmware(struct vm *vm, struct error *err)
{
	int rc;

	vm->ovmf = calloc(1, sizeof(*vm->ovmf));
	if (!vm->ovmf)
		return error_set(err, -ENOMEM, "no memory for the firmware's devices");
	rc = ovmf_open(vm->ovmf, "", vm->cfg->firmware, vm->cfg->nvram, err);
	if (rc < 0) {
		free(vm->ovmf);
		vm->ovmf = NULL;
	}
	return rc;
}

int machine_boot_look(struct vm *vm, struct error *err)
{
	int rc = open_kernel(vm, err);

	if (rc == 0 && vm->cfg->kernel)
		rc = linux_boot_check(vm->kernel_fd, vm->cfg->kernel, vm->initrd_fd,
				      vm->cfg->initrd, err);
	return rc < 0 || is_direct(vm) ? rc : open_firmware(vm, err);
}

int machine_boot_prepare(struct vm *vm, struct error *err)
{
	return is_direct(vm) ? build_dtb(vm, err) : prepare_firmware(vm, err);
}

int machine_boot_load(struct vm *vm, struct vcpu_entry *entry, struct error *err)
{
	if (is_direct(vm))
		return load_direct(vm, entry, err);
	fw_cfg_reset(vm->fw_cfg);
	ovmf_reset(vm->ovmf);
	*entry = (struct vcpu_entry){ .mode = VCPU_RESET_VECTOR };
	return 0;
}

void machine_boot_release(struct vm *vm)
{
	if (vm->ovmf && !vm->started)
		ovmf_abandon(vm->ovmf);
	if (vm->ovmf)
		ovmf_close(vm->ovmf);
	free(vm->ovmf);
	fw_cfg_free(vm->fw_cfg);
	acpi_fw_cfg_destroy(&vm->acpi_fw);
	cleanup_close(&vm->kernel_fd);
	cleanup_close(&vm->initrd_fd);
	free(vm->acpi_cpus);
	free(vm->dtb);
}

int machine_dump_dtb(struct vm *vm, struct error *err)
{
	const char *path = vm->cfg->dump_dtb;
	scoped_fd fd = -1;
	struct nbio out;
	int rc;

	if (!vm->dtb) {
		rc = build_dtb(vm, err);
		if (rc < 0)
			return rc;
	}
	fd = outfile_open(path, true, err);
	if (fd < 0)
		return error_prefix(err, "--dump-dtb");
	out = nbio_own(fd);
	if (nbio_write_patiently(&out, vm->dtb, vm->dtb_size) == vm->dtb_size)
		return 0;
	return error_set(err, -errno, "--dump-dtb %s: %s", path,
			 errno == EINTR ? "nobody read it, and a signal ended the wait"
					: strerror(errno));
}
