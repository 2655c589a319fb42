/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM itself counts of a machine and of each vCPU: its binary statistics (Linux 5.14; kernel
 * document virt/kvm/api.rst, 4.133 KVM_GET_STATS_FD).
 *
 * Threads: any. kvm_stats_open() waits while the vCPU is inside KVM_RUN.
 */
#ifndef VMM_KVM_KVM_STATS_H
#define VMM_KVM_KVM_STATS_H

#include <stddef.h>
#include <stdint.h>

struct kvm_stat {
	const char *name; /* as the kernel spells it; some end in the unit */
	unsigned n;	  /* values; more than one: a histogram */
	const void *data; /* of them, not aligned: kvm_stat_value() */
};
typedef void kvm_stat_fn(void *arg, const struct kvm_stat *);

uint64_t kvm_stat_value(const struct kvm_stat *, unsigned i);

/* fd: of a machine or a vCPU. A descriptor that stays valid for as long as it is held, or -errno:
 * -ENOTTY when the kernel has none. */
int kvm_stats_open(int fd);
/* Reads them all and calls fn for each, in the kernel's order. 0 or -errno. */
int kvm_stats_read(int stats_fd, kvm_stat_fn *, void *arg);
/* The same of what was read. -EINVAL: it is not the format; fn has been called for none. */
int kvm_stats_parse(const void *buf, size_t len, kvm_stat_fn *, void *arg);

#endif
