/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 2 --rng --disk @DISK@ */
/* Resets the machine as soon as it runs: a few times or, with --append forever, without end. The
 * number of boots is kept in CMOS memory. */
#include "lib.h"

#define BOOTS 0x51
#define TIMES 20

void guest_main(void)
{
	uint8_t n;

	outb(0x70, BOOTS);
	n = inb(0x71);
	if (n >= TIMES && !guest_option("forever"))
		return;
	outb(0x71, (uint8_t)(n + 1));
	outb(0xcf9, 2);
	outb(0xcf9, 6);
	for (;;)
		;
}
