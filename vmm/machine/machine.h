/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: everything put together. All state hangs off struct vm.
 *
 * Threads: the main loop's, but for the machine_request_* functions, which any thread may use.
 */
#ifndef VMM_MACHINE_MACHINE_H
#define VMM_MACHINE_MACHINE_H

#include "devices/chipset/acpi_pm.h"
#include "devices/chipset/cmos_rtc.h"
#include "devices/chipset/exit_port.h"
#include "devices/chipset/ich9_lpc.h"
#include "devices/pci/pci_host.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/cpus.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/options.h"
#include "vmm/machine/passthrough.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/snapshot.h"
#include "vmm/core/evloop.h"
#include "vmm/kvm/kvm.h"
#include "vmm/core/log.h"
#include "vmm/core/phase.h"
#include "vmm/core/stats.h"

struct vm {
	struct config *cfg;
	struct phase_clock phases; /* of the start */
	struct evloop *loop;
	struct {
		struct ev_call reset, power_off, exit, fail;
	} calls; /* what vCPUs and devices ask of the loop */
	struct kvm kvm;
	struct kvm_doorbells pio_bells, mmio_bells;
	struct guest_mem *mem;
	struct bus *pio, *mmio;
	struct irq_table *irq;
	struct machine_cpus cpus;

	struct machine_memory memory;
	struct memmap map;
	struct machine_platform platform;

	/* Devices: realized in the order of the table in machine.c, the first n_realized of it. */
	unsigned n_realized;
	struct pci_root pci;
	struct pci_host host;
	struct ich9_lpc lpc;
	struct acpi_pm pm;
	struct cmos_rtc cmos;
	struct exit_port exit_port;
	struct machine_vfio *vfio; /* NULL: no --vfio */
	uint8_t next_slot;	   /* of 00:xx.0 */

	struct machine_boot boot;

	struct stats *stats;
	struct machine_stats report; /* of --stats, and at SIGUSR1 */

	struct ev_timer *reset_timer; /* the reset waits for devices; NULL: none ever did */
	unsigned reset_waits;	      /* how often */
	bool hung;		      /* a disk's threads are still at work: guest memory stays */

	int signal_fd;
	bool started;	       /* the guest ran */
	unsigned terminations; /* SIGTERMs so far */
	struct log_limit reset_limit;
	bool reset_pending;    /* atomic */
	uint32_t exit_value;   /* of the exit port */
	int status;	       /* what the process will exit with */
};

/* Builds the machine, runs it to its end, takes it down. `ready` is called once everything stands
 * and before the first instruction; its failure ends the run. Returns the exit status, with *err
 * filled in when the machine could not start. */
int machine_run(struct config *, int (*ready)(void *, struct error *), void *arg, struct error *);

void machine_request_reset(void *vm);
void machine_request_power_off(void *vm);

/* look.c: before there is a machine, all that the user named: is it there, is it what it
 * should be, may it be used. What is read is opened here and stays open; what is written to is only
 * looked at. Nothing on the host has changed when it fails. */
int machine_look(struct vm *, struct error *);

#endif
