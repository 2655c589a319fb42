/* SPDX-License-Identifier: BSD-2-Clause */
/* Tells KVM which VFIO files the VM's devices use: a file is a group or a device (kernel document
 * virt/kvm/devices/vfio.rst). KVM needs this to know whether the devices' DMA is coherent with the
 * caches. */
#ifndef VMM_KVM_KVM_VFIO_H
#define VMM_KVM_KVM_VFIO_H

#include <stdbool.h>

struct kvm;

/* Adds or removes a file; 0 or -errno. Main thread. */
int kvm_vfio_file(struct kvm *, int fd, bool add);

#endif
