/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's registers: to power-on state, and into the log. The vCPU is not in the guest. */
#ifndef VMM_KVM_KVM_STATE_H
#define VMM_KVM_KVM_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct guest_mem;
struct vcpu_entry;

struct vcpu_state_reset {
	const struct vcpu_entry *entry; /* NULL: an application processor, waiting for SIPI */
	uint32_t signature;		/* CPUID 1 EAX */
	bool intel;
	bool firmware; /* the machine starts in firmware: it sets up MTRRs itself */
	bool first;    /* fresh from KVM_CREATE_VCPU */
};

int vcpu_state_reset(int vcpu_fd, const struct vcpu_state_reset *);
/* Registers, interrupts, the bytes at RIP and the stack's top, at error level. */
void vcpu_state_log(int vcpu_fd, unsigned index, const struct guest_mem *);

#endif
