/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into the outer QEMU: makes nested SVM under multi-threaded TCG survive a guest's write to CR8.
 *
 * With a virtual interrupt pending, QEMU's SVM code calls cpu_interrupt() from a vCPU thread that does not
 * hold the big lock, and the assertion there aborts the whole machine; stock OVMF as an L2 guest gets there
 * within seconds. The constructor overwrites the entry of cpu_interrupt() with a jump to a version that takes
 * the lock when the caller does not hold it. All functions used are exported by Debian's binary; a QEMU
 * without them refuses to load this library, which is the message one wants.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct cpu;

bool bql_locked(void);
void bql_lock_impl(const char *file, int line);
void bql_unlock(void);
void cpu_interrupt(struct cpu *cpu, int mask);
void tcg_handle_interrupt(struct cpu *cpu, int mask);

static void cpu_interrupt_locked(struct cpu *cpu, int mask)
{
	bool locked = bql_locked();

	if (!locked)
		bql_lock_impl(__FILE__, __LINE__);
	tcg_handle_interrupt(cpu, mask);
	if (!locked)
		bql_unlock();
}

__attribute__((constructor)) static void patch(void)
{
	/* movabs $target, %rax; jmp *%rax */
	uint8_t jump[12] = { 0x48, 0xb8, [10] = 0xff, 0xe0 };
	uint64_t target = (uintptr_t)cpu_interrupt_locked;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t entry = (uintptr_t)cpu_interrupt;
	void *start = (void *)(entry & ~(page - 1));

	memcpy(jump + 2, &target, sizeof(target));
	/* Two pages: the entry may straddle a boundary. */
	if (mprotect(start, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC)) {
		perror("bqlfix: mprotect");
		_exit(1);
	}
	memcpy((void *)entry, jump, sizeof(jump));
	mprotect(start, 2 * page, PROT_READ | PROT_EXEC);
}
