/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest of the measurement as data; the Makefile defines BENCH_GUEST. It lies in its own
 * section, which the linker puts behind the constants. The reason: on a page fault the kernel maps
 * 64 KiB around the page, and a run that does not use the guest would map it, too.
 */
#include "vmm/bench/bench.h"

__asm__(".section assets,\"a\"\n"
	".globl bench_guest, bench_guest_end\n"
	"bench_guest: .incbin \"" BENCH_GUEST "\"\n"
	"bench_guest_end: .byte 0\n"
	".previous\n");
