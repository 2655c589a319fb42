/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O: sizes, unclaimed ports, the UART's registers, CMOS, the debug port. */
#include "lib.h"

void guest_main(void)
{
	unsigned i;

	print("hello\n");
	check_eq(inb(0x1234), 0xff);
	check_eq(inw(0x1234), 0xffff);
	check_eq(inl(0xcd8), 0xffffffff);
	outl(0x1234, 0);

	/* A word at the last register of the UART: the UART answers one byte, the other is 0xff. */
	outb(0x3ff, 0xa5);
	check_eq(inw(0x3ff), 0xffa5);
	outw(0x3fe, 0x5a00);
	check_eq(inb(0x3ff), 0x5a);

	/* In loop-back mode the UART receives what it sends. */
	outb(0x3fa, 7);
	outb(0x3fc, 0x10);
	for (i = 0; i < 16; i++)
		outb(0x3f8, (uint8_t)(i * 3));
	for (i = 0; i < 16; i++) {
		check_eq(inb(0x3fd) & 1, 1);
		check_eq(inb(0x3f8), i * 3);
	}
	check_eq(inb(0x3fd), 0x60);
	outb(0x3fc, 0x1a);
	check_eq(inb(0x3fe) & 0xf0, 0x90);
	outb(0x3fc, 0);

	outb(0x70, 0x8d);
	check_eq(inb(0x71) & 0x80, 0x80);
	outb(0x70, 0x50);
	outb(0x71, 0xc3);
	check_eq(inb(0x71), 0xc3);
	outb(0x70, 0x32);
	check_eq(inb(0x71), 0x20); /* this century */
}
