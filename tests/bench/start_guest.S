/* SPDX-License-Identifier: BSD-2-Clause */
/* For start-bench: the first thing is a byte to COM1; then it idles until it is killed, or, with
 * REBOOT defined, resets the machine. */
	.section .note, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start
	.text
	.globl start
start:	mov	$0x78, %al
	mov	$0x3f8, %dx
	outb	%al, %dx
#ifdef REBOOT
	mov	$6, %al
	mov	$0xcf9, %dx
	outb	%al, %dx
#endif
1:	hlt
	jmp	1b
