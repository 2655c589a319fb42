/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's processors. They are made by a helper beside the rest of the machine, because that
 * takes long: KVM is asked what it supports from machine_cpus_open() on, machine_cpus_begin()
 * starts to make them, and they are there when machine_cpus_finish() has returned 0.
 *
 * Threads: main; what KVM is asked and the making of the vCPUs run on the helper, which becomes
 * vCPU 0's thread.
 */
#ifndef VMM_MACHINE_CPUS_H
#define VMM_MACHINE_CPUS_H

#include "vmm/core/error.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/kvm_exits.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/options.h"

struct bus;
struct guest_mem;
struct helper;
struct pin_host;

struct machine_cpus {
	const struct config *cfg; /* of the processors, --rt, --idle; set before the first call */
	struct kvm *kvm;
	struct helper *helper;
	struct cpuid_table *cpuid;
	struct kvm_exits exits;
	struct vcpus *vcpus; /* NULL until they are made */
	/* While they are made: the helper's. */
	struct vcpus_params params;
	struct error error;
	bool made;

	struct pin_host *pin_host;     /* with pin= */
	unsigned pin[CONFIG_MAX_CPUS]; /* the host's CPU for each of ours, with pin= */
};

/* What they run in. Events come on the vCPUs' threads. */
struct cpus_env {
	struct bus *pio, *mmio;
	struct guest_mem *mem;
	unsigned phys_bits; /* the guest's physical address bits */
	void (*event)(void *opaque, enum vcpu_event);
	void *opaque;
};

/* Begins to ask KVM what it supports. The kvm is the caller's and stays in place. */
int machine_cpus_open(struct machine_cpus *, struct kvm *, struct error *);
/* Chooses the CPUs with pin= and tries the priority of --rt; changes nothing. The root of the
 * host's files is "" but for tests. device_node: the host's node of the passed-through devices, -1:
 * not known. Needs no machine_cpus_open(). */
int machine_cpus_look(struct machine_cpus *, const char *root, int device_node, struct error *);
/* The physical address bits of the host's processors. Waits for KVM's answer. */
unsigned machine_cpus_host_bits(struct machine_cpus *);
/* Leaves the CPUs that the processors are pinned to, so that threads started from now on run
 * elsewhere, and begins to make the processors. */
int machine_cpus_begin(struct machine_cpus *, const struct cpus_env *, struct error *);
int machine_cpus_finish(struct machine_cpus *, struct error *);
/* A moment after the processors have started: KVM makes a thread of its own on the first entry (NX
 * huge page recovery), which inherits the processor's CPU and priority. It goes where the main
 * thread is. */
void machine_cpus_settle(const struct machine_cpus *);
void machine_cpus_free(struct machine_cpus *);

#endif
