/* SPDX-License-Identifier: BSD-2-Clause */
/* String instructions: KVM reports several accesses in one exit. */
#include "lib.h"

static uint8_t out[16] = "abcdefghijklmnop", in[16];

void guest_main(void)
{
	const void *src = out;
	void *dst = in;
	uint32_t n = sizeof(out), i;

	outb(0x3fa, 7);
	outb(0x3fc, 0x10);
	__asm__ volatile("rep outsb" : "+S"(src), "+c"(n) : "d"(0x3f8) : "memory");
	n = sizeof(in);
	__asm__ volatile("rep insb" : "+D"(dst), "+c"(n) : "d"(0x3f8) : "memory");
	for (i = 0; i < sizeof(in); i++)
		check_eq(in[i], out[i]);
	outb(0x3fc, 0);

	dst = in;
	n = 4;
	__asm__ volatile("rep insl" : "+D"(dst), "+c"(n) : "d"(0x1234) : "memory");
	for (i = 0; i < sizeof(in); i++)
		check_eq(in[i], 0xff);
}
