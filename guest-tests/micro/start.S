/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry of a micro-guest (PVH: 32-bit, flat, no paging, EBX = hvm_start_info), the interrupt stubs,
 * and where application processors land. */
	.section .note, "a", @note
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.globl start
start:	mov	$stack_top, %esp
	lgdt	gdt_ptr
	ljmp	$0x10, $1f
1:	push	%ebx
	call	guest_start
2:	hlt
	jmp	2b

	/* 256 stubs of 16 bytes: each pushes the vector, and before it a dummy error code if the
	 * processor pushes none. */
	.globl stubs
	.balign 16
stubs:
	.set	vector, 0
	.rept	256
	.balign 16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	common
	.set	vector, vector + 1
	.endr

common:	pusha
	mov	%esp, %eax
	push	%eax
	call	guest_interrupt
	pop	%eax
	popa
	add	$8, %esp
	iret

	/* Copied to 0x10000: real mode, CS = 0x1000. */
	.globl trampoline, trampoline_end
	.code16
trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	tramp_gdt - trampoline
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x10, $ap_start
	.balign 4
tramp_gdt:
	.word	31
	.long	gdt
trampoline_end:

	.code32
ap_start:
	mov	$0x18, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	/* Each processor gets a stack of 4 KiB, in the order in which they start. */
	mov	$1, %eax
	lock xadd %eax, ap_count
	inc	%eax
	shl	$12, %eax
	lea	ap_stacks(%eax), %esp
	call	guest_ap
3:	cli
	hlt
	jmp	3b

	.data
	.balign 8
gdt:	.quad	0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_ptr:
	.word	31
	.long	gdt
	.globl ap_count
ap_count:
	.long	0

	.bss
	.balign 4096
	.skip	16384
stack_top:
ap_stacks:
	.skip	4096 * 256
