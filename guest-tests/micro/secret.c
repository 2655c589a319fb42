/* SPDX-License-Identifier: BSD-2-Clause */
/* Fills memory with a text that is in no file and on no command line: "guest-secret-7391", a
 * thousand times. With --append forever it then waits without end. */
#include "lib.h"

#define TIMES 1000u

static char secrets[TIMES * 32];

void guest_main(void)
{
	static const volatile uint8_t coded[] = { 0x32, 0x20, 0x30, 0x26, 0x21, 0x78,
						  0x26, 0x30, 0x36, 0x27, 0x30, 0x21,
						  0x78, 0x62, 0x66, 0x6c, 0x64 };

	for (uint32_t i = 0; i < TIMES; i++)
		for (uint32_t k = 0; k < sizeof(coded); k++)
			secrets[i * 32 + k] = (char)(coded[k] ^ 0x55);
	check(secrets[0] == 'g');
	while (guest_option("forever"))
		__asm__ volatile("pause");
}
