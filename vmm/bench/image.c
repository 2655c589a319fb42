/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The measuring guest as data: the Makefile says which file. It lies in a section of its own, which
 * the linker puts behind the constants: the kernel maps 64 KiB around each page that a run reads,
 * and would map this with them.
 */
#include "vmm/bench/bench.h"

__asm__(".section assets,\"a\"\n"
	".globl bench_guest, bench_guest_end\n"
	"bench_guest: .incbin \"" BENCH_GUEST "\"\n"
	"bench_guest_end: .byte 0\n"
	".previous\n");
