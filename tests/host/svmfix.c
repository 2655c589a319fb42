/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into the outer QEMU: makes nested SVM under multi-threaded TCG right where QEMU (seen
 * in 11.1) is not.
 *
 * A guest's write to CR8 with a virtual interrupt pending has the SVM code call cpu_interrupt()
 * from a vCPU thread that does not hold the big lock, and the assertion there aborts the whole
 * machine; stock OVMF as an L2 guest gets there within seconds. cpu_interrupt_locked() takes the
 * lock when the caller does not hold it.
 *
 * VMRUN that injects an interrupt leaves the vector in CPUState.exception_index. Almost always the
 * next thing is a #VMEXIT, which overwrites it; but when another thread wants the CPU out of its
 * loop before that (a TLB flush), the loop takes what it finds for an exception to deliver: L2 gets
 * the interrupt a second time, whatever its IF. A Linux that is just updating its clock then waits
 * for itself for ever, about one start in twenty. hardirq() forgets the vector once it is
 * delivered, as QEMU does after interrupts of its own.
 *
 * The constructor overwrites the entries of the two functions with jumps. What is used is exported
 * by Debian's binary; one without it, or whose code is not as expected, refuses to start, which is
 * the message one wants.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct cpu;

bool bql_locked(void);
void bql_lock_impl(const char *file, int line);
void bql_unlock(void);
void cpu_interrupt(struct cpu *cpu, int mask);
void tcg_handle_interrupt(struct cpu *cpu, int mask);
void cpu_loop_exit_noexc(struct cpu *cpu);
void do_interrupt_x86_hardirq(void *env, int intno, int is_hw);
void do_interrupt_all(struct cpu *cpu, int intno, int is_int, int error_code, uint64_t next_eip,
		      int is_hw);
extern __thread struct cpu *current_cpu;

static int32_t exception_index; /* its offset in CPUState; set once, before main() */

static void cpu_interrupt_locked(struct cpu *cpu, int mask)
{
	bool locked = bql_locked();

	if (!locked)
		bql_lock_impl(__FILE__, __LINE__);
	tcg_handle_interrupt(cpu, mask);
	if (!locked)
		bql_unlock();
}

static void hardirq(void *env, int intno, int is_hw)
{
	const int none = -1;

	(void)env; /* current_cpu's */
	do_interrupt_all(current_cpu, intno, 0, 0, 0, is_hw);
	memcpy((char *)current_cpu + exception_index, &none, sizeof(none));
}

static void refuse(const char *why)
{
	fprintf(stderr, "svmfix: %s\n", why);
	_exit(1);
}

/* cpu_loop_exit_noexc() begins with `movl $-1, exception_index(%rdi)`: c7 87 offset ff ff ff ff. */
static void find_exception_index(void)
{
	const uint8_t *code = (const uint8_t *)cpu_loop_exit_noexc;
	unsigned i;

	for (i = 0; i < 24; i++) {
		if (code[i] != 0xc7 || code[i + 1] != 0x87 ||
		    memcmp(code + i + 6, "\xff\xff\xff\xff", 4) != 0)
			continue;
		memcpy(&exception_index, code + i + 2, sizeof(exception_index));
		return;
	}
	refuse("this QEMU's cpu_loop_exit_noexc() is not as expected");
}

static void replace(uintptr_t entry, uintptr_t by)
{
	/* movabs $by, %rax; jmp *%rax */
	uint8_t jump[12] = { 0x48, 0xb8, [10] = 0xff, 0xe0 };
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *start = (void *)(entry & ~(page - 1));

	memcpy(jump + 2, &by, sizeof(by));
	/* Two pages: the entry may straddle a boundary. */
	if (mprotect(start, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC))
		refuse("mprotect failed");
	memcpy((void *)entry, jump, sizeof(jump));
	mprotect(start, 2 * page, PROT_READ | PROT_EXEC);
}

__attribute__((constructor)) static void patch(void)
{
	find_exception_index();
	replace((uintptr_t)cpu_interrupt, (uintptr_t)cpu_interrupt_locked);
	replace((uintptr_t)do_interrupt_x86_hardirq, (uintptr_t)hardirq);
	/* What QEMU starts (a network's guestfwd command) has none of these functions. */
	unsetenv("LD_PRELOAD");
}
