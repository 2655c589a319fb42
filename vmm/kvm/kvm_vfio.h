/* SPDX-License-Identifier: BSD-2-Clause */
/* Tells KVM which VFIO groups the VM's devices belong to (kernel document virt/kvm/devices/vfio):
 * it then knows whether DMA is coherent with the processors' caches. */
#ifndef VMM_KVM_KVM_VFIO_H
#define VMM_KVM_KVM_VFIO_H

#include <stdbool.h>

struct kvm;

/* Adds or removes a group by its descriptor; 0 or -errno. Main thread. */
int kvm_vfio_group(struct kvm *, int group_fd, bool add);

#endif
