/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 4,cores=2,threads=2 */
/* SMP: INIT and SIPI must start the other processors; APIC ids and topology leaves must agree. */
#include "lib.h"

static volatile uint32_t seen[8], done;

void guest_ap(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	if (lapic_read(0x20) >> 24 == r[1] >> 24 && r[1] >> 24 < 8)
		seen[r[1] >> 24] = 1;
	cpuid(0xb, 0, r);
	if (r[3] < 8)
		seen[r[3]] |= 2;
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
	uint32_t r[4], i;

	cpuid(1, 0, r);
	check_eq(r[1] >> 24, 0);
	check_eq(r[1] >> 16 & 0xff, 4);
	check_eq(r[2] >> 31, 1);
	cpuid(0xb, 0, r);
	check_eq(r[0], 1);
	check_eq(r[1] & 0xffff, 2);
	cpuid(0xb, 1, r);
	check_eq(r[0], 2);
	check_eq(r[1] & 0xffff, 4);
	smp_start();
	wait_until(done >= 3);
	check_eq(done, 3);
	for (i = 1; i < 4; i++)
		check_eq(seen[i], 3);
}
