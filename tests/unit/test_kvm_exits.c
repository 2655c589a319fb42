/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/kvm.h>
#include <string.h>

#include "vmm/kvm/kvm_exits.h"
#include "vmm/kvm/vcpu.h"

static struct kvm_exits x;
static struct kvm_run run;

static int setup(void **state)
{
	(void)state;
	memset(&x, 0, sizeof(x));
	memset(&run, 0, sizeof(run));
	return 0;
}

static void test_msr(void **state)
{
	(void)state;
	run.exit_reason = KVM_EXIT_X86_RDMSR;
	run.msr.index = 0x606;
	run.msr.data = 5;
	run.msr.error = 1;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	assert_int_equal(run.msr.data, 0);
	assert_int_equal(run.msr.error, 0);
	run.exit_reason = KVM_EXIT_X86_WRMSR;
	run.msr.data = UINT64_MAX;
	run.msr.error = 1;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	assert_int_equal(run.msr.error, 0);
	assert_int_equal(x.msr[0], 0x606 | KVM_EXITS_MSR_SEEN);
	assert_int_equal(x.msr[1], 0);
}

/* The table does not grow, however many MSRs there are. */
static void test_msr_table(void **state)
{
	struct {
		struct kvm_exits x;
		uint64_t behind;
	} all = { .behind = 7 };

	(void)state;
	run.exit_reason = KVM_EXIT_X86_RDMSR;
	for (uint32_t i = 0; i < 4 * KVM_EXITS_MSRS; i++) {
		run.msr.index = i;
		assert_int_equal(kvm_exits_answer(&all.x, &run, i), KVM_EXIT_ANSWERED);
	}
	assert_int_equal(all.x.msr[0], KVM_EXITS_MSR_SEEN);
	assert_int_equal(all.x.msr[KVM_EXITS_MSRS - 1], (KVM_EXITS_MSRS - 1) | KVM_EXITS_MSR_SEEN);
	assert_int_equal(all.behind, 7);
}

static void test_hyperv(void **state)
{
	(void)state;
	run.exit_reason = KVM_EXIT_HYPERV;
	run.hyperv.type = KVM_EXIT_HYPERV_SYNIC;
	run.hyperv.u.synic.control = 9;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	assert_int_equal(run.hyperv.u.synic.control, 9);
	run.hyperv.type = KVM_EXIT_HYPERV_HCALL;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	assert_int_equal(run.hyperv.u.hcall.result, 2);
	run.hyperv.type = KVM_EXIT_HYPERV_SYNDBG;
	run.hyperv.u.syndbg.status = 5;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	assert_int_equal(run.hyperv.u.syndbg.status, 0);
	run.hyperv.type = 99;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
}

static void test_notify(void **state)
{
	(void)state;
	run.exit_reason = KVM_EXIT_NOTIFY;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	run.notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_LOST);
}

static void test_others(void **state)
{
	(void)state;
	run.exit_reason = KVM_EXIT_X86_BUS_LOCK;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_ANSWERED);
	assert_true(x.bus_lock.count <= 8);
	run.exit_reason = KVM_EXIT_UNKNOWN;
	assert_int_equal(kvm_exits_answer(&x, &run, 0), KVM_EXIT_NOT_MINE);
}

/* Without a vCPU nothing is read, and a crash is only logged. */
static void test_no_vcpu(void **state)
{
	(void)state;
	x.microcode = 1ull << 32;
	kvm_exits_prepare(&x, -1);
	kvm_exits_crashed(&x, -1, 0);
	assert_int_equal(x.crash.count, 1);
}

static void test_names(void **state)
{
	static const unsigned known[] = { KVM_EXIT_HYPERV, KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR,
					  KVM_EXIT_X86_BUS_LOCK, KVM_EXIT_NOTIFY };

	(void)state;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_string_not_equal(vcpu_exit_name(known[i]), "other");
	assert_string_equal(vcpu_exit_name(UINT32_MAX), "other");
}

#define T(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_msr),	T(test_msr_table), T(test_hyperv), T(test_notify),
		T(test_others), T(test_no_vcpu),   T(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
