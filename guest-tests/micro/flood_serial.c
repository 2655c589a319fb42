/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints as fast as possible with string instructions: 64 KiB or, with --append forever, without
 * end. With "bytes" in the command line it uses single OUTs. At the end it prints how much it
 * was. */
#include "lib.h"

#define COM1  0x3f8
#define LINE  64u
#define LINES 1024u

static char text[LINE * 16];

static void flood(bool bytes)
{
	const void *src = text;
	uint32_t n = sizeof(text);

	if (!bytes)
		__asm__ volatile("rep outsb" : "+S"(src), "+c"(n) : "d"(COM1) : "memory");
	for (n = 0; bytes && n < sizeof(text); n++)
		outb(COM1, (uint8_t)text[n]);
}

void guest_main(void)
{
	bool forever = guest_option("forever"), bytes = guest_option("bytes");
	uint32_t i;

	for (i = 0; i < sizeof(text); i++)
		text[i] = i % LINE == LINE - 1 ? '\n' : (char)('0' + i % 10);
	for (i = 0; forever || i < LINES; i += sizeof(text) / LINE)
		flood(bytes);
	print_dec(LINES * LINE);
	print(" bytes printed\n");
}
