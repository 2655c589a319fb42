/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's own counters of a VM and of each vCPU: the binary statistics (Linux 5.14; kernel document
 * virt/kvm/api.rst, 4.133 KVM_GET_STATS_FD).
 *
 * Threads: any. kvm_stats_open() waits while the vCPU is inside KVM_RUN.
 */
#ifndef VMM_KVM_KVM_STATS_H
#define VMM_KVM_KVM_STATS_H

#include <stddef.h>
#include <stdint.h>

struct kvm_stat {
	const char *name; /* the kernel's name; some end in the unit */
	unsigned n;	  /* number of values; more than one: a histogram */
	const void *data; /* the values, not aligned: read them with kvm_stat_value() */
};
typedef void kvm_stat_fn(void *arg, const struct kvm_stat *);

uint64_t kvm_stat_value(const struct kvm_stat *, unsigned i);

/* fd: a VM's or a vCPU's. Returns a descriptor that stays valid even when fd is closed, or -errno:
 * -ENOTTY if the kernel has no statistics. */
int kvm_stats_open(int fd);
/* Reads all counters and calls fn for each one, in the kernel's order. 0 or -errno. */
int kvm_stats_read(int stats_fd, kvm_stat_fn *, void *arg);
/* As kvm_stats_read(), on bytes that were read before. -EINVAL: the format is wrong, and fn was not
 * called at all. */
int kvm_stats_parse(const void *buf, size_t len, kvm_stat_fn *, void *arg);

#endif
