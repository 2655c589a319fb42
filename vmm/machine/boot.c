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
	return e820_linux(m, &vm->platform.p, tables_addr(vm), ACPI_TABLES_SIZE);
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

static int build_dtb(struct vm *vm, struct error *err)
{
	struct fdt_boot f = { .bootargs = vm->cfg->append };
	struct linux_boot b;
	struct e820_map map;
	int rc = 0;

	if (vm->kernel_fd >= 0) {
		rc = memory_map(vm, &map);
		linux_params(vm, &map, &b);
		if (rc == 0)
			rc = linux_boot_initrd_range(&b, &f.initrd_base, &f.initrd_size, err);
	}
	return rc < 0 ? rc : fdt_build(&vm->platform.p, &f, &vm->dtb, &vm->dtb_size, err);
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
	const struct platform *p = &vm->platform.p;
	struct linux_boot_entry e;
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
	rc = acpi_install(vm->mem, p, GPA(tables_addr(vm)), GPA(RSDP_ADDR));
	if (rc == 0)
		rc = smbios_install(vm->mem, p, GPA(SMBIOS_ADDR));
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
	int rc = e820_firmware(&m, &vm->platform.p);

	return rc < 0 ? rc : e820_fw_cfg_add(vm->fw_cfg, &m);
}

static int fill_fw_cfg(struct vm *vm, struct error *err)
{
	const struct platform *p = &vm->platform.p;
	uint16_t cpus = (uint16_t)p->n_cpus;
	int rc;

	rc = fw_cfg_add_u16(vm->fw_cfg, FW_CFG_NB_CPUS, cpus);
	if (rc == 0)
		rc = fw_cfg_add_u16(vm->fw_cfg, FW_CFG_MAX_CPUS, cpus);
	if (rc == 0)
		rc = add_e820(vm);
	if (rc == 0)
		rc = smbios_fw_cfg_add(vm->fw_cfg, p);
	if (rc == 0)
		rc = acpi_fw_cfg_add(&vm->acpi_fw, vm->fw_cfg, p, &vm->host);
	/* OVMF uses this size unchecked, even if it does not fit. So it is told only when its own
	 * choice would be too small. */
	if (rc == 0 && p->map.mmio64_told)
		rc = fw_cfg_add_mmio64_size(vm->fw_cfg, p->map.mmio64_size / MiB);
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
