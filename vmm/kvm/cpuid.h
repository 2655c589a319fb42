/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest's CPUID says: what KVM supports, with our topology and hypervisor leaves.
 *
 * Threads: main thread, before the vCPUs run; cpuid_apply() any, each for its own vCPU.
 */
#ifndef VMM_KVM_CPUID_H
#define VMM_KVM_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/kvm/cpu_features.h"
#include "vmm/core/error.h"

struct kvm;
struct cpuid_table;

/* All at least 1. vCPU i is thread i % threads of core i / threads % cores of socket i / (threads *
 * cores). */
struct cpu_topology {
	unsigned sockets, cores, threads;
};

struct cpu_model {
	bool hide_kvm;	      /* no KVM leaves: drivers that refuse a hypervisor they know */
	bool hide_hypervisor; /* no hypervisor bit either */
	bool hv_time, hv_relaxed, hv_vapic;
	bool hv_spinlocks_set;
	uint32_t hv_spinlocks;	/* retries before the guest tells us; ~0: never */
	char hv_vendor_id[13];	/* empty: "Microsoft Hv" */
	unsigned max_phys_bits; /* 0: the host's */
	bool dedicated; /* its processors are never preempted for long: KVM_HINTS_REALTIME */
	signed char
		feature[CPU_FEATURES_MAX]; /* 1: must be there; -1: must not; 0: as KVM has it */
};

/* APIC id of vCPU i: each level takes a power of two, as CPUID leaf 0xB wants it. */
uint32_t cpu_apic_id(const struct cpu_topology *, unsigned i);

/* An empty one; NULL: no memory. */
struct cpuid_table *cpuid_new(const struct kvm *);
/* A job for a helper, its argument a new table: asks KVM what it supports. That executes CPUID some
 * hundred times, and under another hypervisor each of them traps: longer than making the machine.
 */
void cpuid_ask(void *table);
/* Makes the guest's table of the answer. Fails when there was none, or when KVM cannot give a
 * feature that must be there. */
int cpuid_make(struct cpuid_table *, const struct cpu_topology *, const struct cpu_model *,
	       struct error *);
void cpuid_free(struct cpuid_table *);
unsigned cpuid_phys_bits(const struct cpuid_table *);
bool cpuid_is_intel(const struct cpuid_table *);
uint32_t cpuid_signature(const struct cpuid_table *); /* leaf 1 EAX: RDX at reset */
/* Gives vCPU i (an fd from KVM_CREATE_VCPU) its CPUID. */
int cpuid_apply(const struct cpuid_table *, int vcpu_fd, unsigned i);

#endif
