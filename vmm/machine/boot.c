/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/chipset/fw_cfg.h"
#include "devices/chipset/ich9_lpc.h"
#include "devices/pci/pci_host.h"
#include "firmware/e820.h"
#include "firmware/fdt.h"
#include "firmware/linux_boot.h"
#include "firmware/ovmf.h"
#include "firmware/smbios.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/infile.h"
#include "vmm/core/mem.h"
#include "vmm/core/nbio.h"
#include "vmm/core/outfile.h"

/* In the BIOS segment, where kernels look. */
#define RSDP_ADDR   0xf0000u
#define SMBIOS_ADDR 0xf0040u

static int open_file(const char *path, const char *option, int *fd, struct error *err)
{
	*fd = infile_open_alone(path, err);
	return *fd < 0 ? error_prefix(err, "--%s %s", option, path) : 0;
}

static int open_kernel(struct machine_boot *b, struct error *err)
{
	int ret;

	if (!b->cfg->kernel)
		return 0;
	ret = open_file(b->cfg->kernel, "kernel", &b->kernel_fd, err);

	if (ret == 0 && b->cfg->initrd)
		ret = open_file(b->cfg->initrd, "initrd", &b->initrd_fd, err);
	return ret;
}

/* Direct boot */

static uint64_t tables_addr(const struct machine_boot *b)
{
	return b->env.platform->map.low_ram - ACPI_TABLES_SIZE;
}

static int memory_map(const struct machine_boot *b, struct e820_map *m)
{
	m->n = 0;
	return e820_linux(m, b->env.platform, tables_addr(b), ACPI_TABLES_SIZE);
}

static void linux_params(const struct machine_boot *b, const struct e820_map *m,
			 struct linux_boot *l)
{
	*l = (struct linux_boot){
		.mem = b->env.mem,
		.kernel_path = b->cfg->kernel,
		.initrd_path = b->cfg->initrd,
		.kernel_fd = b->kernel_fd,
		.initrd_fd = b->initrd_fd,
		.cmdline = b->cfg->append,
		.map = m,
		.dtb = b->dtb,
		.dtb_size = b->dtb_size,
		.rsdp = RSDP_ADDR,
	};
}

static int build_dtb(struct machine_boot *b, struct error *err)
{
	struct fdt_boot f = { .bootargs = b->cfg->append };
	struct linux_boot l;
	struct e820_map map;
	int ret = 0;

	if (b->kernel_fd >= 0) {
		ret = memory_map(b, &map);
		linux_params(b, &map, &l);
		if (ret == 0)
			ret = linux_boot_initrd_range(&l, &f.initrd_base, &f.initrd_size, err);
	}
	return ret < 0 ? ret : fdt_build(b->env.platform, &f, &b->dtb, &b->dtb_size, err);
}

/* The initrd is read again at a reset, and may be another by now: the tree says where it lies. */
static int renew_dtb(struct machine_boot *b, struct error *err)
{
	if (!b->loaded)
		return 0;
	free(b->dtb);
	b->dtb = NULL;
	return build_dtb(b, err);
}

static int load_direct(struct machine_boot *b, struct vcpu_entry *entry, struct error *err)
{
	const struct platform *p = b->env.platform;
	struct linux_boot_entry e;
	struct linux_boot l;
	struct e820_map map;
	int ret;

	ret = memory_map(b, &map);
	if (ret < 0)
		return error_set(err, ret, "memory map: %s", strerror(-ret));
	ret = renew_dtb(b, err);
	if (ret < 0)
		return ret;
	linux_params(b, &map, &l);
	ret = linux_boot_load(&l, &e, err);
	if (ret < 0)
		return ret;
	pci_host_set_ecam(b->env.host, b->env.platform->ecam_base);
	ich9_lpc_set_pmbase(b->env.lpc);
	ret = acpi_install(b->env.mem, p, GPA(tables_addr(b)), GPA(RSDP_ADDR));
	if (ret == 0)
		ret = smbios_install(b->env.mem, p, GPA(SMBIOS_ADDR));
	if (ret < 0)
		return error_set(err, ret, "ACPI and SMBIOS tables: %s", strerror(-ret));
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

static int add_kernel(struct machine_boot *b, struct error *err)
{
	const struct fw_cfg_linux l = {
		.kernel_fd = b->kernel_fd,
		.initrd_fd = b->initrd_fd,
		.kernel_path = b->cfg->kernel,
		.initrd_path = b->cfg->initrd,
		.cmdline = b->cfg->append ? b->cfg->append : "",
	};
	int ret = b->cfg->kernel ? fw_cfg_add_linux(b->fw_cfg, &l) : 0;

	return ret < 0 ? error_set(err, ret, "--kernel %s: %s", b->cfg->kernel,
				   ret == -EINVAL ? "firmware can only start a bzImage"
						  : strerror(-ret))
		       : 0;
}

static int add_e820(struct machine_boot *b)
{
	struct e820_map m = { .n = 0 };
	int ret = e820_firmware(&m, b->env.platform);

	return ret < 0 ? ret : e820_fw_cfg_add(b->fw_cfg, &m);
}

static int fill_fw_cfg(struct machine_boot *b, struct error *err)
{
	const struct platform *p = b->env.platform;
	uint16_t cpus = (uint16_t)p->n_cpus;
	int ret;

	ret = fw_cfg_add_u16(b->fw_cfg, FW_CFG_NB_CPUS, cpus);
	if (ret == 0)
		ret = fw_cfg_add_u16(b->fw_cfg, FW_CFG_MAX_CPUS, cpus);
	if (ret == 0)
		ret = add_e820(b);
	if (ret == 0)
		ret = smbios_fw_cfg_add(b->fw_cfg, p);
	if (ret == 0)
		ret = acpi_fw_cfg_add(&b->acpi_fw, b->fw_cfg, p, b->env.host);
	/* OVMF uses this size unchecked, even if it does not fit. So it is told only when its own
	 * choice would be too small. */
	if (ret == 0 && p->map.mmio64_told)
		ret = fw_cfg_add_mmio64_size(b->fw_cfg, p->map.mmio64_size / MiB);
	if (ret < 0)
		return error_set(err, ret, "fw_cfg: %s", strerror(-ret));
	return add_kernel(b, err);
}

static int prepare_firmware(struct machine_boot *b, struct error *err)
{
	int ret;

	b->fw_cfg = fw_cfg_new(b->env.pio, b->env.mem);
	if (!b->fw_cfg)
		return error_set(err, -ENOMEM, "no memory for the firmware's devices");
	fw_cfg_use_loop(b->fw_cfg, b->env.loop);
	ret = fill_fw_cfg(b, err);
	return ret < 0 ? ret : ovmf_map(b->ovmf, b->env.mmio, b->env.mem, err);
}

static bool is_direct(const struct machine_boot *b)
{
	return b->cfg->kernel && !b->cfg->firmware;
}

static int open_firmware(struct machine_boot *b, struct error *err)
{
	int ret;

	b->ovmf = calloc(1, sizeof(*b->ovmf));
	if (!b->ovmf)
		return error_set(err, -ENOMEM, "no memory for the firmware's devices");
	ret = ovmf_open(b->ovmf, "", b->cfg->firmware, b->cfg->nvram, err);
	if (ret < 0) {
		free(b->ovmf);
		b->ovmf = NULL;
	}
	return ret;
}

void machine_boot_init(struct machine_boot *b, const struct config *cfg)
{
	*b = (struct machine_boot){ .cfg = cfg, .kernel_fd = -1, .initrd_fd = -1 };
}

int machine_boot_look(struct machine_boot *b, struct error *err)
{
	int ret = open_kernel(b, err);

	if (ret == 0 && b->cfg->kernel)
		ret = linux_boot_check(b->kernel_fd, b->cfg->kernel, b->initrd_fd, b->cfg->initrd,
				       err);
	return ret < 0 || is_direct(b) ? ret : open_firmware(b, err);
}

int machine_boot_prepare(struct machine_boot *b, const struct boot_env *env, struct error *err)
{
	b->env = *env;
	return is_direct(b) ? build_dtb(b, err) : prepare_firmware(b, err);
}

int machine_boot_load(struct machine_boot *b, struct vcpu_entry *entry, struct error *err)
{
	int ret = 0;

	if (is_direct(b)) {
		ret = load_direct(b, entry, err);
	} else {
		fw_cfg_reset(b->fw_cfg);
		ovmf_reset(b->ovmf);
		*entry = (struct vcpu_entry){ .mode = VCPU_RESET_VECTOR };
	}
	b->loaded = true;
	return ret;
}

void machine_boot_release(struct machine_boot *b, bool ran)
{
	if (b->ovmf && !ran)
		ovmf_abandon(b->ovmf);
	if (b->ovmf)
		ovmf_close(b->ovmf);
	free(b->ovmf);
	fw_cfg_free(b->fw_cfg);
	acpi_fw_cfg_destroy(&b->acpi_fw);
	cleanup_close(&b->kernel_fd);
	cleanup_close(&b->initrd_fd);
	free(b->dtb);
}

int machine_boot_dump_dtb(struct machine_boot *b, struct error *err)
{
	const char *path = b->cfg->dump_dtb;
	bool made = access(path, F_OK) < 0;
	scoped_fd fd = -1;
	struct nbio out;
	int ret;

	if (!b->dtb) {
		ret = build_dtb(b, err);
		if (ret < 0)
			return ret;
	}
	fd = outfile_open(path, true, err);
	if (fd < 0)
		return error_prefix(err, "--dump-dtb");
	out = nbio_own(fd);
	if (nbio_write_patiently(&out, b->dtb, b->dtb_size) == b->dtb_size)
		return 0;
	error_set(err, -errno, "--dump-dtb %s: %s", path,
		  errno == EINTR ? "nobody read it, and a signal ended the wait" : strerror(errno));
	if (made)
		outfile_remove(path, fd);
	return err->code;
}
