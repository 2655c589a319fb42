/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exits that concern no device: registers that KVM does not know, Hyper-V's calls, guests that say
 * they crashed, guests that hold a core or the memory bus. All of them are answered and the guest
 * goes on; what it can cause is logged a bounded number of times.
 *
 * Threads: kvm_exits_ask() and kvm_exits_enable() on one thread, before the vCPUs; the rest on any
 * vCPU's, no lock.
 */
#ifndef VMM_KVM_KVM_EXITS_H
#define VMM_KVM_KVM_EXITS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/log.h"

struct kvm;
struct kvm_run;

#define KVM_EXITS_MSRS 32 /* so many are named in the log */

struct kvm_exits {
	uint64_t msr[KVM_EXITS_MSRS]; /* index | KVM_EXITS_MSR_SEEN; 0: free. Atomic */
	struct log_limit crash, notify, bus_lock;
	uint64_t microcode; /* the host's revision, as MSR 0x8b has it; 0: not known */
};
#define KVM_EXITS_MSR_SEEN (1ull << 32)

/* Asks KVM for the microcode's revision. */
void kvm_exits_ask(struct kvm_exits *, const struct kvm *);
/* Has KVM leave the guest for what it can: a guest that lets no interrupt in (notify) or locks the
 * memory bus, and, with unknown_msrs, registers it does not know, which are a general protection
 * fault (#GP) otherwise. Before the first vCPU. */
void kvm_exits_enable(const struct kvm *, bool unknown_msrs);
/* A new vCPU's microcode revision: guests look at it to see which faults of the processor are
 * fixed. KVM keeps it over resets. */
void kvm_exits_prepare(const struct kvm_exits *, int vcpu_fd);

enum kvm_exit_answer {
	KVM_EXIT_NOT_MINE,
	KVM_EXIT_ANSWERED, /* enter again */
	KVM_EXIT_LOST,	   /* the vCPU's state is gone; logged */
};
enum kvm_exit_answer kvm_exits_answer(struct kvm_exits *, struct kvm_run *, unsigned vcpu);
/* The guest says it crashed (KVM_SYSTEM_EVENT_CRASH). */
void kvm_exits_crashed(struct kvm_exits *, int vcpu_fd, unsigned vcpu);

#endif
