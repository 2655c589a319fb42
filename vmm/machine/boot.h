/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the machine starts: through firmware (flash and fw_cfg), or directly in a kernel that finds
 * what firmware would have left: a memory map, ACPI tables, a device tree, and a chipset whose ECAM
 * and power-management registers are where the tables say.
 *
 * In this order: machine_boot_init(), _look(), _prepare(), _load() at power-on and again after each
 * reset; _release() in any case after _init().
 *
 * Threads: main loop, vCPUs not running.
 */
#ifndef VMM_MACHINE_BOOT_H
#define VMM_MACHINE_BOOT_H

#include <stdbool.h>
#include <stddef.h>

#include "firmware/acpi/acpi.h"
#include "firmware/platform.h"
#include "vmm/core/error.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/options.h"

struct bus;
struct evloop;
struct fw_cfg;
struct guest_mem;
struct ich9_lpc;
struct ovmf;
struct pci_host;

/* Where the guest starts. All of it stays the caller's, in place until machine_boot_release(). */
struct boot_env {
	const struct platform *platform;
	struct guest_mem *mem;
	struct bus *pio, *mmio;
	struct pci_host *host;
	struct ich9_lpc *lpc;
	struct evloop *loop;
};

struct machine_boot {
	const struct config *cfg; /* kernel, initrd, command line, firmware, variable store */
	struct boot_env env;	  /* from machine_boot_prepare() on */
	int kernel_fd, initrd_fd; /* -1: none */
	bool loaded;		  /* once at least */

	struct ovmf *ovmf; /* NULL: a kernel is started directly */
	struct fw_cfg *fw_cfg;
	struct acpi_fw_cfg acpi_fw;
	void *dtb; /* NULL: not built */
	size_t dtb_size;
};

void machine_boot_init(struct machine_boot *, const struct config *);
/* Opens and checks kernel, initrd, firmware and variable store. */
int machine_boot_look(struct machine_boot *, struct error *);
int machine_boot_prepare(struct machine_boot *, const struct boot_env *, struct error *);
/* Puts everything in place and says where the processors begin. */
int machine_boot_load(struct machine_boot *, struct vcpu_entry *, struct error *);
/* Writes the device tree to the file of --dump-dtb. After machine_boot_prepare(). */
int machine_boot_dump_dtb(struct machine_boot *, struct error *);
/* ran: the guest has run. If it has not, a variable store that was made for it is removed. */
void machine_boot_release(struct machine_boot *, bool ran);

#endif
