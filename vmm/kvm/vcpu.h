/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual CPUs. Each one has a named thread. All of them are started, paused, reset and joined
 * together.
 *
 * Threads: vcpus_new() may run on any thread. vcpus_pause_async() may be called from any thread and
 * from any device callback. All other functions belong to the main loop.
 */
#ifndef VMM_KVM_VCPU_H
#define VMM_KVM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

#include "vmm/kvm/cpuid.h"
#include "vmm/core/bus.h"
#include "vmm/core/error.h"
#include "vmm/core/trap.h"

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

/* Statistics: why KVM_RUN returned, and which registers the guest accessed. */
#define VCPU_EXITS 48
struct vcpu_stats {
	/* only the vCPU's thread uses it; it lies on a page that the thread writes anyway */
	struct bus_member member;
	uint64_t exits[VCPU_EXITS]; /* by KVM's exit reason */
	uint64_t ticks[VCPU_EXITS]; /* stats_ticks() spent outside of KVM_RUN; 0 if not timed */
	struct trap_table traps;
};

struct vcpus_params {
	struct kvm *kvm;
	struct bus *pio, *mmio;
	struct guest_mem *mem;
	struct cpuid_table *cpuid;
	struct kvm_exits *exits; /* the caller owns it; it outlives the vCPUs */
	const struct cpu_topology *topo;
	unsigned n;
	const unsigned *pin; /* the host CPU of each vCPU; NULL: any CPU. The caller owns it. */
	int rt;		     /* SCHED_FIFO priority; 0: none */
	/* Its thread becomes the thread of vCPU 0, until vcpus_free(). NULL: vCPU 0 gets a new
	 * one. */
	struct helper *helper;
	bool timed; /* measure how long each exit takes */
	/* Called on the vCPU's thread; must not wait for vCPUs. */
	void (*event)(void *opaque, enum vcpu_event);
	void *opaque;
};

/* Creates the vCPUs and gives them CPUID; it starts no thread. It copies the params, and does not
 * use params->cpuid after it has returned. */
struct vcpus *vcpus_new(const struct vcpus_params *, struct error *);
/* Stops and joins the threads, if any. */
void vcpus_free(struct vcpus *);

/* Sets the registers of all vCPUs to their power-on state, and those of CPU 0 to `entry`. `first`:
 * the vCPUs are new, so only values that differ from KVM's defaults are written. The vCPUs must be
 * paused or not yet started. */
int vcpus_reset(struct vcpus *, const struct vcpu_entry *, bool first);

int vcpus_start(struct vcpus *, struct error *);
/* Both return true if the vCPUs were running. vcpus_pause() waits until no vCPU is in the guest or
 * in a device callback. */
bool vcpus_pause_async(struct vcpus *);
bool vcpus_pause(struct vcpus *);
void vcpus_resume(struct vcpus *);
/* Logs the registers of each vCPU at error level. The vCPUs must be paused. */
void vcpus_log(struct vcpus *);

unsigned vcpus_count(const struct vcpus *);
/* The counters change while they are read: use count_read() and trap_slots(). */
const struct vcpu_stats *vcpu_stats(const struct vcpus *, unsigned i);
/* Before the memory of a region goes: trap_forget() for all. vs may be NULL. Main thread. */
void vcpus_forget_region(struct vcpus *vs, const struct io_region *);
/* For kvm_stats_read(); -1: the kernel has no statistics. */
int vcpu_stats_fd(const struct vcpus *, unsigned i);
/* The thread id, for programs like `taskset`; 0: the thread has not started. */
pid_t vcpu_thread_id(const struct vcpus *, unsigned i);
const char *vcpu_exit_name(unsigned reason); /* "io", "mmio"; never NULL */

#endif
