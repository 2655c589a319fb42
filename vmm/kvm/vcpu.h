/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual CPUs: one named thread each, started, paused, reset and joined together.
 *
 * Threads: vcpus_new() any one; everything else here is the main loop's, but for
 * vcpus_pause_async(), which any thread and any device callback may use.
 */
#ifndef VMM_KVM_VCPU_H
#define VMM_KVM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/kvm/cpuid.h"
#include "vmm/core/error.h"
#include "vmm/core/trap.h"

struct bus;
struct guest_mem;
struct helper;
struct kvm;
struct kvm_exits;
struct vcpus;

enum vcpu_event {
	VCPU_TRIPLE_FAULT,
	VCPU_POWER_OFF,
	VCPU_RESET,
	VCPU_FAILED, /* KVM cannot go on; the message has been logged */
};

/* Where CPU 0 starts. The others wait for INIT and SIPI, whatever the mode. */
struct vcpu_entry {
	enum { VCPU_RESET_VECTOR, VCPU_PROT32, VCPU_LONG64 } mode;
	uint64_t rip, rsp, rbx, rsi;
	uint64_t cr3;	   /* LONG64 */
	uint64_t gdt_base; /* PROT32 and LONG64: a GDT with CS at 0x10 and DS at 0x18 */
	uint16_t gdt_limit;
};

/* For statistics: what KVM_RUN came back for, and where its accesses went. */
#define VCPU_EXITS 48
struct vcpu_stats {
	uint64_t exits[VCPU_EXITS]; /* by KVM's exit reason */
	uint64_t ticks[VCPU_EXITS]; /* spent outside of KVM_RUN because of it; 0 when not timed */
	struct trap_table traps;
};

struct vcpus_params {
	struct kvm *kvm;
	struct bus *pio, *mmio;
	struct guest_mem *mem;
	struct cpuid_table *cpuid;
	struct kvm_exits *exits; /* the caller keeps it */
	const struct cpu_topology *topo;
	unsigned n;
	const unsigned *pin; /* the host's CPU for each; NULL: any. The caller keeps it. */
	int rt;		     /* SCHED_FIFO priority; 0: none */
	/* Becomes the thread of vCPU 0, until vcpus_free(); NULL: it gets one of its own. */
	struct helper *helper;
	bool timed; /* take the time of exits */
	/* Called on the vCPU's thread; must not wait for vCPUs. */
	void (*event)(void *opaque, enum vcpu_event);
	void *opaque;
};

/* Creates the vCPUs and gives them CPUID; no thread yet. params is copied, cpuid not kept. */
struct vcpus *vcpus_new(const struct vcpus_params *, struct error *);
/* Stops and joins the threads, if any. */
void vcpus_free(struct vcpus *);

/* Sets every vCPU's registers: power-on state, CPU 0 as `entry` says. `first`: they are fresh from
 * KVM, so only what differs from its defaults is written. vCPUs paused or not yet started. */
int vcpus_reset(struct vcpus *, const struct vcpu_entry *, bool first);

int vcpus_start(struct vcpus *, struct error *);
/* Both return whether they ran until now. vcpus_pause() returns when none is in the guest or in a
 * device callback. */
bool vcpus_pause_async(struct vcpus *);
bool vcpus_pause(struct vcpus *);
void vcpus_resume(struct vcpus *);
/* Where each of them is, at error level. Paused. */
void vcpus_log(struct vcpus *);

unsigned vcpus_count(const struct vcpus *);
/* To be looked at by count_read() and trap_slots(). */
const struct vcpu_stats *vcpu_stats(const struct vcpus *, unsigned i);
/* For kvm_stats_read(); -1: this kernel has none. */
int vcpu_stats_fd(const struct vcpus *, unsigned i);
const char *vcpu_exit_name(unsigned reason); /* "io", "mmio"; never NULL */

#endif
