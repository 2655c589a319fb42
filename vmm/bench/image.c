/* SPDX-License-Identifier: BSD-2-Clause */
/* The measuring guest as data: the Makefile says which file. */
#include "vmm/bench/bench.h"

__asm__(".section .rodata\n"
	".globl bench_guest, bench_guest_end\n"
	"bench_guest: .incbin \"" BENCH_GUEST "\"\n"
	"bench_guest_end: .byte 0\n"
	".previous\n");
