/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 4 */
/* Starts all processors; with --append forever they all halt without end. */
#include "lib.h"

static volatile uint32_t done;

void guest_ap(void)
{
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
	smp_start();
	check(wait_until(done == 3));
	while (guest_option("forever"))
		__asm__ volatile("hlt");
}
