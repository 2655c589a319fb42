/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ICH9 LPC bridge at 00:1f.0, as far as firmware and OSes use it: power-management base, PIRQ
 * registers, and the two reset ports (0xcf9 through pci_host, 0x92). No SMI port 0xb2, no GPIO, no
 * TCO watchdog.
 */
#ifndef DEVICES_CHIPSET_ICH9_LPC_H
#define DEVICES_CHIPSET_ICH9_LPC_H

#include "devices/pci/pci.h"

struct acpi_pm;

#define ICH9_PMBASE_DEFAULT 0x600 /* where OVMF puts it and the FADT says it is */

struct ich9_lpc {
	struct pci_device dev;
	struct acpi_pm *pm;
	struct io_region port92;
	uint8_t rst_cnt, p92;
	/* The guest wants a reset. Called on a vCPU thread, under no lock but a region's own;
	 * returns at once. */
	void (*reset)(void *);
	void *reset_arg;
};

/* For pci_host: the byte at 0xcf9 (Intel ICH9 datasheet, 13.7.5). opaque: struct ich9_lpc. */
extern const struct io_region_ops ich9_rst_cnt_ops;

/* pm: told of PMBASE and the ACPI enable bit; initialised before, outlives the bridge. Fill in
 * reset and reset_arg before. */
int ich9_lpc_init(struct ich9_lpc *, struct pci_root *, struct acpi_pm *pm, struct error *);
void ich9_lpc_destroy(struct ich9_lpc *);
/* What firmware would write: PMBASE 0x600, ACPI registers on; for direct boot, after each
 * pci_reset_all(). */
void ich9_lpc_set_pmbase(struct ich9_lpc *);

#endif
