/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets a vCPU's registers to their power-on state, and logs them. The vCPU must not be in
 * KVM_RUN. */
#ifndef VMM_KVM_KVM_STATE_H
#define VMM_KVM_KVM_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct guest_mem;
struct vcpu_entry;

struct vcpu_state_reset {
	const struct vcpu_entry *entry; /* NULL: an application processor, which waits for SIPI */
	uint32_t signature;		/* CPUID 1 EAX */
	bool intel;
	bool firmware; /* the machine starts in firmware, which sets up the MTRRs */
	bool first;    /* nothing has changed since KVM_CREATE_VCPU */
};

int vcpu_state_reset(int vcpu_fd, const struct vcpu_state_reset *);
/* Logs registers, interrupts, the bytes at RIP and the top of the stack, at error level. */
void vcpu_state_log(int vcpu_fd, unsigned index, const struct guest_mem *);

#endif
