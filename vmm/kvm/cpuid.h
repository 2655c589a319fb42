/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's CPUID: what KVM supports, with our topology and our hypervisor leaves.
 *
 * Threads: main thread, before the vCPUs run. cpuid_ask() runs on a helper. cpuid_apply() may run
 * on any thread.
 */
#ifndef VMM_KVM_CPUID_H
#define VMM_KVM_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/kvm/cpu_features.h"
#include "vmm/core/error.h"

struct kvm;
struct cpuid_table;

/* All three are at least 1. vCPU i is thread i % threads of core i / threads % cores of socket
 * i / (threads * cores). */
struct cpu_topology {
	unsigned sockets, cores, threads;
};

struct cpu_model {
	bool hide_kvm; /* no KVM leaves: some drivers refuse to run on a hypervisor they know */
	bool hide_hypervisor; /* no hypervisor leaves at all, and no hypervisor bit in leaf 1 */
	bool hv_time, hv_relaxed, hv_vapic;
	bool hv_spinlocks_set;
	uint32_t hv_spinlocks;	/* retries before the guest notifies the hypervisor; ~0: never */
	char hv_vendor_id[13];	/* empty: "Microsoft Hv" */
	unsigned max_phys_bits; /* 0: the host's */
	bool dedicated;		/* each vCPU has a CPU of its own: set KVM_HINTS_REALTIME */
	signed char feature[CPU_FEATURES_MAX]; /* 1: required; -1: removed; 0: as KVM reports it */
};

/* APIC id of vCPU i. Each level of the topology takes a whole number of bits, as CPUID leaf 0xB
 * requires. */
uint32_t cpu_apic_id(const struct cpu_topology *, unsigned i);

/* An empty table. NULL: out of memory. */
struct cpuid_table *cpuid_new(const struct kvm *);
/* Asks KVM what it supports. A job for a helper thread; `table` comes from cpuid_new(). KVM
 * executes CPUID some hundred times for the answer. Under another hypervisor each CPUID traps, and
 * this takes longer than making the machine. */
void cpuid_ask(void *table);
/* Makes the guest's table from KVM's answer. Fails if cpuid_ask() failed, or if KVM does not
 * support a required feature. */
int cpuid_make(struct cpuid_table *, const struct cpu_topology *, const struct cpu_model *,
	       struct error *);
void cpuid_free(struct cpuid_table *);
unsigned cpuid_phys_bits(const struct cpuid_table *);
bool cpuid_is_intel(const struct cpuid_table *);
uint32_t cpuid_signature(const struct cpuid_table *); /* leaf 1 EAX: RDX at reset */
/* Gives vCPU i (an fd from KVM_CREATE_VCPU) its CPUID. */
int cpuid_apply(struct cpuid_table *, int vcpu_fd, unsigned i);

#endif
