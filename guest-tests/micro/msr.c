/* SPDX-License-Identifier: BSD-2-Clause */
/* An MSR that KVM does not know must read as 0 and accept any value. Known MSRs must not change. */
#include "lib.h"

#define MSR_NOBODYS   0x00abcdefu
#define MSR_APIC_BASE 0x1bu
#define MSR_MICROCODE 0x8bu

static void fault(void)
{
	check(!"a general protection fault");
}

void guest_main(void)
{
	uint64_t microcode;

	irq_init();
	on_gp(fault);
	check_eq(rdmsr(MSR_NOBODYS), 0);
	wrmsr(MSR_NOBODYS, 0x1234567890abcdefull);
	check_eq(rdmsr(MSR_NOBODYS), 0);
	check_eq(rdmsr(MSR_NOBODYS) >> 32, 0);
	check_eq(rdmsr(MSR_APIC_BASE) & 0xfffff900, 0xfee00900);
	microcode = rdmsr(MSR_MICROCODE);
	print("microcode ");
	print_hex((uint32_t)(microcode >> 32) ? (uint32_t)(microcode >> 32) : (uint32_t)microcode);
	print("\n");
}
