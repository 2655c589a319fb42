/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 4 */
/* All processors switch the interrupt of the PM timer on and off; each change is work for the main
 * loop. They do this a few thousand times or, with --append forever, without end. */
#include "lib.h"

#define PM1_EN	0x602
#define TMR_EN	1
#define TOGGLES 2000u

static volatile uint32_t done;

static void flood(void)
{
	bool forever = guest_option("forever");
	uint32_t i;

	for (i = 0; forever || i < TOGGLES; i++)
		outw(PM1_EN, i & 1 ? 0 : TMR_EN);
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_ap(void)
{
	flood();
}

void guest_main(void)
{
	smp_start();
	flood();
	check(wait_until(done == 4));
	outw(PM1_EN, 0);
	check_eq(inw(PM1_EN), 0);
}
