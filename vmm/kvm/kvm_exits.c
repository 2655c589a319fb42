/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With unknown_msrs, MSRs that KVM does not know read as 0 and accept any value. The reason:
 * drivers of Windows and of graphics cards read power and thermal MSRs that all processors of a
 * vendor have, and do not handle a fault; a #GP there is a blue screen. The usual remedy is the
 * module parameter kvm.ignore_msrs=1, but it applies to all guests of the host. A wrong value for a
 * known MSR still raises #GP.
 *
 * Bus locks (atomic accesses across cache lines) slow down every core. Each one causes an exit of
 * some thousand cycles, which slows down the guest that does it; the message names the vCPU.
 *
 * Exits for Hyper-V need not be enabled: a guest that sees any Hyper-V interface can cause them.
 * The same holds for Hyper-V's crash MSRs. Windows writes them first and its dump afterwards, so
 * the machine must go on; the guest resets itself when the dump is written.
 */
#include "vmm/kvm/kvm_exits.h"

#include <assert.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "vmm/core/addr.h"
#include "vmm/kvm/kvm.h"

#define MSR_MICROCODE	     0x8b
#define MSR_HV_CRASH_P0	     0x40000100
#define HV_CRASH_PARAMETERS  5
#define HV_INVALID_HYPERCALL 2 /* TLFS, HV_STATUS_INVALID_HYPERCALL_CODE */
#define NOTIFY_WINDOW	     0 /* cycles, in addition to the processor's internal minimum */

/* struct kvm_msrs with space for its entries. */
struct msr_list {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry[HV_CRASH_PARAMETERS];
};
static_assert(offsetof(struct msr_list, entry) == offsetof(struct kvm_msrs, entries),
	      "the kernel's layout");

static void cap_enable(const struct kvm *k, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	/* The error is ignored: a KVM without this capability works as before. That is cheaper than
	 * asking first. */
	(void)ioctl(k->vm, KVM_ENABLE_CAP, &c);
}

void kvm_exits_ask(struct kvm_exits *x, const struct kvm *k)
{
	struct msr_list l = { .nmsrs = 1, .entry[0].index = MSR_MICROCODE };

	/* On the descriptor of /dev/kvm, KVM_GET_MSRS reads the host's values (KVM API, 4.18). */
	if (ioctl(k->dev, KVM_GET_MSRS, &l) == 1)
		x->microcode = l.entry[0].data;
}

void kvm_exits_enable(const struct kvm *k, bool unknown_msrs)
{
	if (unknown_msrs)
		cap_enable(k, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN);
	cap_enable(k, KVM_CAP_X86_NOTIFY_VMEXIT,
		   (uint64_t)NOTIFY_WINDOW << 32 | KVM_X86_NOTIFY_VMEXIT_ENABLED |
			   KVM_X86_NOTIFY_VMEXIT_USER);
	cap_enable(k, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT);
}

void kvm_exits_prepare(const struct kvm_exits *x, int vcpu_fd)
{
	struct msr_list l = { .nmsrs = 1,
			      .entry[0] = { .index = MSR_MICROCODE, .data = x->microcode } };

	/* If the revision is not known, the guest sees KVM's default. */
	if (x->microcode)
		(void)ioctl(vcpu_fd, KVM_SET_MSRS, &l);
}

/* True for the first access to this MSR, while the list has space. */
static bool msr_is_new(struct kvm_exits *x, uint32_t index)
{
	uint64_t want = index | KVM_EXITS_MSR_SEEN, there;

	for (unsigned i = 0; i < KVM_EXITS_MSRS; i++) {
		there = 0;
		if (__atomic_compare_exchange_n(&x->msr[i], &there, want, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return true;
		if (there == want)
			return false;
	}
	return false;
}

static void answer_msr(struct kvm_exits *x, struct kvm_run *r, unsigned vcpu)
{
	bool write = r->exit_reason == KVM_EXIT_X86_WRMSR;

	if (msr_is_new(x, r->msr.index))
		log_info("vCPU %u: KVM does not know MSR 0x%x: %s", vcpu, r->msr.index,
			 write ? "writes to it are dropped" : "it reads 0");
	if (!write)
		r->msr.data = 0;
	r->msr.error = 0;
}

/* KVM handles the registers of SYNIC (the synthetic interrupt controller) itself, and only notifies
 * us: they need no answer. */
static void answer_hyperv(struct kvm_run *r)
{
	if (r->hyperv.type == KVM_EXIT_HYPERV_HCALL)
		r->hyperv.u.hcall.result = HV_INVALID_HYPERCALL;
	else if (r->hyperv.type == KVM_EXIT_HYPERV_SYNDBG)
		r->hyperv.u.syndbg.status = 0;
}

static enum kvm_exit_answer answer_notify(struct kvm_exits *x, const struct kvm_run *r,
					  unsigned vcpu)
{
	if (r->notify.flags & KVM_NOTIFY_CONTEXT_INVALID) {
		log_error("vCPU %u: the guest kept the processor from taking interrupts, and its "
			  "state was lost because of that",
			  vcpu);
		return KVM_EXIT_LOST;
	}
	log_guest(&x->notify, "vCPU %u: the guest kept the processor from taking interrupts", vcpu);
	return KVM_EXIT_ANSWERED;
}

enum kvm_exit_answer kvm_exits_answer(struct kvm_exits *x, struct kvm_run *r, unsigned vcpu)
{
	switch (r->exit_reason) {
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		answer_msr(x, r, vcpu);
		return KVM_EXIT_ANSWERED;
	case KVM_EXIT_HYPERV:
		answer_hyperv(r);
		return KVM_EXIT_ANSWERED;
	case KVM_EXIT_NOTIFY:
		return answer_notify(x, r, vcpu);
	case KVM_EXIT_X86_BUS_LOCK:
		log_guest(&x->bus_lock,
			  "vCPU %u: the guest locks the memory bus (an atomic access across cache "
			  "lines): that slows down all CPUs",
			  vcpu);
		return KVM_EXIT_ANSWERED;
	default:
		return KVM_EXIT_NOT_MINE;
	}
}

void kvm_exits_crashed(struct kvm_exits *x, int vcpu_fd, unsigned vcpu)
{
	struct msr_list l = { .nmsrs = HV_CRASH_PARAMETERS };
	unsigned i;

	for (i = 0; i < HV_CRASH_PARAMETERS; i++)
		l.entry[i].index = MSR_HV_CRASH_P0 + i;
	if (ioctl(vcpu_fd, KVM_GET_MSRS, &l) != HV_CRASH_PARAMETERS) {
		log_guest(&x->crash, "vCPU %u: the guest says that it crashed", vcpu);
		return;
	}
	log_guest(&x->crash,
		  "vCPU %u: the guest says that it crashed: 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx",
		  vcpu, l.entry[0].data, l.entry[1].data, l.entry[2].data, l.entry[3].data,
		  l.entry[4].data);
}
