/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's chipset: what every guest has. PCI with its host bridge, the LPC bridge with power
 * management, the clock, and the port that ends the run.
 *
 * Threads: main, vCPUs not running. News come on vCPU threads.
 */
#ifndef VMM_MACHINE_CHIPSET_H
#define VMM_MACHINE_CHIPSET_H

#include "devices/chipset/acpi_pm.h"
#include "devices/chipset/cmos_rtc.h"
#include "devices/chipset/exit_port.h"
#include "devices/chipset/ich9_lpc.h"
#include "devices/pci/pci_host.h"
#include "vmm/core/memmap.h"

struct chipset_env {
	struct bus *pio, *mmio;
	struct guest_mem *mem;
	struct irq_table *irq;
	struct evloop *loop;
	struct stats *stats;
	const struct memmap *map; /* the clock's memory says how much RAM there is */
	bool localtime;		  /* the clock shows the host's local time, not UTC */
	/* What the guest asks for. */
	void (*reset)(void *opaque);
	void (*power_off)(void *opaque);
	void (*exit)(void *opaque, uint32_t value);
	void *opaque;
};

struct machine_chipset {
	struct pci_root pci; /* pci.mmio is NULL until the chipset stands */
	struct pci_host host;
	struct ich9_lpc lpc;
	struct acpi_pm pm;
	struct cmos_rtc cmos;
	struct exit_port exit_port;
};

/* Undoes itself when it fails. */
int machine_chipset_init(struct machine_chipset *, const struct chipset_env *, struct error *);
/* After all devices on the PCI bus are gone. */
void machine_chipset_destroy(struct machine_chipset *);
/* Also resets everything on the PCI bus. */
void machine_chipset_reset(struct machine_chipset *);

#endif
