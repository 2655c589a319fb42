/* SPDX-License-Identifier: BSD-2-Clause */
/* For start-bench: the first thing is a byte to COM1; then it idles until it is killed. */
	.section .note, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start
	.text
	.globl start
start:	mov	$0x78, %al
	mov	$0x3f8, %dx
	outb	%al, %dx
1:	hlt
	jmp	1b
