/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks the PM timer, then powers off through PM1a_CNT (SLP_TYP 0, SLP_EN). */
#include "lib.h"

void guest_main(void)
{
	uint32_t a = inl(0x608), b, i;

	for (i = 0; i < 1000 && (b = inl(0x608)) == a; i++)
		;
	check(a != b);
	check_eq(a >> 24, 0);
	check_eq(inw(0x604) & 1, 1); /* ACPI is on */
	outw(0x604, 0x2001);
	for (i = 0; i < 10000000; i++)
		__asm__ volatile("pause");
	check(!"still on");
}
