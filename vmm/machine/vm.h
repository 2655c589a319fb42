/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine put together, for the files that do that: machine, look, plug, lifecycle. Its parts
 * (memory, cpus, chipset, passthrough, boot, snapshot) do not know it: each is told what it needs
 * and calls back with its news.
 */
#ifndef VMM_MACHINE_VM_H
#define VMM_MACHINE_VM_H

#include "vmm/core/evloop.h"
#include "vmm/core/log.h"
#include "vmm/core/phase.h"
#include "vmm/core/stats.h"
#include "vmm/kvm/kvm.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/chipset.h"
#include "vmm/machine/cpus.h"
#include "vmm/machine/hotplug.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/monitor.h"
#include "vmm/machine/options.h"
#include "vmm/machine/passthrough.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/snapshot.h"

/* lifecycle.c: what vCPUs, devices and signals want of the main loop. */
struct lifecycle {
	int (*reset_machine)(struct vm *, struct error *);
	struct ev_call reset, power_off, exit, fail;
	struct ev_timer *reset_timer; /* the reset waits for devices; NULL: none ever did */
	unsigned reset_waits;	      /* how often */
	struct log_limit reset_limit;
	bool reset_pending;    /* atomic */
	bool reset_by_host;    /* the one that is pending */
	bool paused;	       /* by the host; a reset does not end that */
	bool ended;	       /* the run is over, or about to be */
	uint32_t exit_value;   /* of the exit port; atomic */
	int signal_fd;	       /* -1: not open */
	unsigned terminations; /* SIGTERMs so far */
	int status;	       /* what the process will exit with */
};

struct vm {
	struct config *cfg;
	struct phase_clock phases; /* of the start */
	bool started;		   /* the guest ran */

	/* The frame. */
	struct kvm kvm;
	struct kvm_doorbells pio_bells, mmio_bells;
	struct evloop *loop;
	struct guest_mem *mem;
	struct bus *pio, *mmio;
	struct irq_table *irq;
	struct stats *stats;
	struct outputs *outputs; /* the files that this run writes to */
	struct memmap map;

	/* The parts. */
	struct machine_memory memory;
	struct machine_cpus cpus;
	struct machine_chipset chipset;
	struct machine_vfio *vfio; /* NULL: neither --vfio nor --hotplug */
	struct hotplug *hotplug;   /* NULL: no --hotplug */
	struct machine_usb *usb;   /* NULL: no --usb */
	struct machine_platform platform;
	struct machine_boot boot;
	struct machine_stats report; /* of --stats, and at SIGUSR1 */
	struct machine_monitor monitor;

	unsigned n_plugged; /* rows of plug.c's table */
	uint8_t next_slot;  /* of 00:xx.0 */
	bool hung;	    /* a disk's threads are still at work: guest memory stays */
	bool stuck;	    /* hotplug_stuck() */

	struct lifecycle life;
};

/* look.c: before there is a machine, all that the user named: is it there, is it what it should be,
 * may it be used. What is read is opened here and stays open; what is written to is only looked at.
 * Nothing on the host has changed when it fails. */
int machine_look(struct vm *, struct error *);

/* plug.c: all devices, in one order. machine_unplug() in any case, also closes those that were only
 * opened. */
int machine_plug(struct vm *, struct error *);
/* The sockets of --qmp: once the main loop is about to run, so that nobody connects in vain. */
int machine_listen(struct vm *, struct error *);
void machine_reset_devices(struct vm *);
void machine_unplug(struct vm *);

/* lifecycle.c */
/* reset: puts everything into its power-on state, vCPUs and devices standing still. */
void machine_init_lifecycle(struct vm *, int (*reset)(struct vm *, struct error *));
/* Before the first thread: all inherit the mask, so signals come to the loop only. */
void machine_block_signals(sigset_t *);
int machine_watch_signals(struct vm *, struct error *);
void machine_on_vcpu_event(void *vm, enum vcpu_event); /* on vCPU threads */
/* For devices, on any thread: the machine pauses, and the loop does what was asked for. */
void machine_request_reset(void *vm);
void machine_request_power_off(void *vm);
void machine_request_exit(void *vm, uint32_t value);
/* On the main loop. machine_stop(): ends the run with this exit status, for a device that wants it.
 * The reason is QEMU's ShutdownCause, for those who listen. */
enum machine_by { MACHINE_GUEST, MACHINE_HOST };
void machine_end(struct vm *, int status, enum machine_by, const char *reason);
void machine_stop(void *vm, int status);
/* Until machine_resume() the processors stand still, whatever else happens. */
void machine_pause(struct vm *);
void machine_resume(struct vm *);
void machine_reset_by_host(struct vm *);
/* False: the guest does not listen to it. */
bool machine_press_power_button(void *vm);

#endif
