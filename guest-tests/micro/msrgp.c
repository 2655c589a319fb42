/* SPDX-License-Identifier: BSD-2-Clause */
/* With --msr-unknown gp, an MSR that KVM does not know must raise a general protection fault. */
/* runner: --msr-unknown gp */
#include "lib.h"

static void fault(void)
{
	finish(0);
}

void guest_main(void)
{
	irq_init();
	on_gp(fault);
	rdmsr(0x00abcdef);
	check(!"no fault");
}
