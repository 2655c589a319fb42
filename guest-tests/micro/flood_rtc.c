/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 2 */
/* The periodic interrupt of the clock runs at 8192 Hz, its highest rate. One processor acknowledges
 * it, and another one switches interrupts on and off and sets the alarm: a few thousand times, or
 * without end with --append forever. */
#include "lib.h"

#define REG_ALARM 1
#define REG_A	  0x0a
#define REG_B	  0x0b
#define REG_C	  0x0c
#define A_8192HZ  0x23
#define B_PERIOD  0x42 /* 24 hours, the periodic interrupt */
#define B_ALL	  0x72
#define TIMES	  2000u

static volatile uint32_t done, acknowledged;

static void cmos_write(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

/* Both processors share the index register. An access to a wrong register by mistake is harmless,
 * because all of them are in CMOS. */
void guest_ap(void)
{
	uint32_t i;

	for (i = 0; guest_option("forever") || i < TIMES; i++) {
		cmos_write(REG_B, i & 1 ? B_ALL : B_PERIOD);
		cmos_write(REG_ALARM, i & 1 ? 0xff : 0);
	}
	done = 1;
}

void guest_main(void)
{
	uint32_t i;

	cmos_write(REG_A, A_8192HZ);
	cmos_write(REG_B, B_ALL);
	smp_start();
	for (i = 0; guest_option("forever") || i < TIMES; i++) {
		outb(0x70, REG_C);
		acknowledged += inb(0x71) != 0;
	}
	check(wait_until(done));
	check(acknowledged);
}
