/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit for start-bench: opens KVM, maps 256 MiB, enters the guest, whose first instruction is
 * an OUT, and says so on stdout. With an argument it creates the interrupt chips as well, which no
 * PC does without: their share is the kernel's, not ours.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM (256u << 20)

int main(int argc, char **argv)
{
	static const char code[] = { (char)0xe6, (char)0xf4, (char)0xf4 }; /* out %al, $0xf4; hlt */
	int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(dev, KVM_CREATE_VM, 0), cpu;
	struct kvm_pit_config pit = { 0 };
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	char *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM,
						    .userspace_addr = (uintptr_t)ram };

	(void)argv;
	madvise(ram, RAM, MADV_NOHUGEPAGE); /* or 2 MiB are cleared for the guest's three bytes */
	if (ram == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return 1;
	if (argc > 1 && (ioctl(vm, KVM_CREATE_IRQCHIP, 0) || ioctl(vm, KVM_CREATE_PIT2, &pit)))
		return 1;
	memcpy(ram + 0x1000, code, sizeof(code));
	cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, (size_t)ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		   MAP_SHARED, cpu, 0);
	if (run == MAP_FAILED || ioctl(cpu, KVM_GET_SREGS, &sregs))
		return 1;
	sregs.cs.base = sregs.cs.selector = 0;
	if (ioctl(cpu, KVM_SET_SREGS, &sregs) || ioctl(cpu, KVM_SET_REGS, &regs) ||
	    ioctl(cpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_IO)
		return 1;
	return write(STDOUT_FILENO, "x", 1) != 1;
}
