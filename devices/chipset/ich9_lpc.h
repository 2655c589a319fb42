/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ICH9 LPC bridge at 00:1f.0, as far as firmware and operating systems use it: the power
 * management base, the PIRQ registers, and the two reset ports 0xcf9 (through pci_host) and 0x92.
 * It has no SMI port 0xb2, no GPIO and no TCO watchdog.
 */
#ifndef DEVICES_CHIPSET_ICH9_LPC_H
#define DEVICES_CHIPSET_ICH9_LPC_H

#include "devices/pci/pci.h"

struct acpi_pm;

#define ICH9_PMBASE_DEFAULT 0x600 /* OVMF uses this address, and the FADT names it */

struct ich9_lpc {
	struct pci_device dev;
	struct acpi_pm *pm;
	struct io_region port92;
	uint8_t rst_cnt, p92;
	/* The guest wants a reset. Called on a vCPU thread, under no lock except that of a region;
	 * must not wait. */
	void (*reset)(void *);
	void *reset_arg;
};

/* For pci_host: the byte at 0xcf9 (Intel ICH9 datasheet, 13.7.5). opaque: struct ich9_lpc. */
extern const struct io_region_ops ich9_rst_cnt_ops;

/* The bridge tells pm its base, which PMBASE and the ACPI enable bit set. pm is initialised before
 * and outlives the bridge. The caller sets reset and reset_arg before. */
int ich9_lpc_init(struct ich9_lpc *, struct pci_root *, struct acpi_pm *pm, struct error *);
void ich9_lpc_destroy(struct ich9_lpc *);
/* For direct boot, after each pci_reset_all(): does what firmware would do. Sets PMBASE to 0x600
 * and enables the ACPI registers. */
void ich9_lpc_set_pmbase(struct ich9_lpc *);

#endif
