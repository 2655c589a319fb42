/* SPDX-License-Identifier: BSD-2-Clause */
/* Tells KVM which VFIO files the VM's devices are behind, groups or devices (kernel document
 * virt/kvm/devices/vfio): it then knows whether DMA is coherent with the processors' caches. */
#ifndef VMM_KVM_KVM_VFIO_H
#define VMM_KVM_KVM_VFIO_H

#include <stdbool.h>

struct kvm;

/* Adds or removes a file; 0 or -errno. Main thread. */
int kvm_vfio_file(struct kvm *, int fd, bool add);

#endif
