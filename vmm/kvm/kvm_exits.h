/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM exits that no device handles: MSRs that KVM does not know, Hyper-V calls, guests that report
 * a crash, guests that block a core or the memory bus. Each exit is answered and the guest goes on.
 * Messages that a guest can cause are limited in number.
 *
 * Threads: kvm_exits_ask() and kvm_exits_enable() run on one thread, before the vCPUs. The others
 * run on any vCPU's thread, without a lock.
 */
#ifndef VMM_KVM_KVM_EXITS_H
#define VMM_KVM_KVM_EXITS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/log.h"

struct kvm;
struct kvm_run;

#define KVM_EXITS_MSRS 32 /* at most this many unknown MSRs are named in the log */

struct kvm_exits {
	uint64_t msr[KVM_EXITS_MSRS]; /* index | KVM_EXITS_MSR_SEEN; 0: free. Atomic */
	struct log_limit crash, notify, bus_lock;
	uint64_t microcode; /* the host's revision, in the format of MSR 0x8b; 0: not known */
};
#define KVM_EXITS_MSR_SEEN (1ull << 32)

/* Asks KVM for the microcode's revision. */
void kvm_exits_ask(struct kvm_exits *, const struct kvm *);
/* Enables exits for a guest that blocks interrupts for too long (notify) and for a guest that locks
 * the memory bus, where KVM supports them. With unknown_msrs also for MSRs that KVM does not know;
 * without it, they raise a general protection fault (#GP). Call it before the first vCPU. */
void kvm_exits_enable(const struct kvm *, bool unknown_msrs);
/* Gives a new vCPU the host's microcode revision. Guests read it to see which processor bugs are
 * fixed. KVM keeps it over resets. */
void kvm_exits_prepare(const struct kvm_exits *, int vcpu_fd);

enum kvm_exit_answer {
	KVM_EXIT_NOT_MINE,
	KVM_EXIT_ANSWERED, /* enter again */
	KVM_EXIT_LOST,	   /* the vCPU's state is lost; the error has been logged */
};
enum kvm_exit_answer kvm_exits_answer(struct kvm_exits *, struct kvm_run *, unsigned vcpu);
/* Logs that the guest reported a crash (KVM_SYSTEM_EVENT_CRASH), with the values it gave. */
void kvm_exits_crashed(struct kvm_exits *, int vcpu_fd, unsigned vcpu);

#endif
