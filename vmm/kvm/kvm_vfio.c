/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/kvm/kvm_vfio.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "vmm/kvm/kvm.h"

/* KVM allows one VFIO device in a VM. It is created with the first file. */
static int make_device(struct kvm *k)
{
	struct kvm_create_device d = { .type = KVM_DEV_TYPE_VFIO };

	if (k->vfio >= 0)
		return 0;
	if (ioctl(k->vm, KVM_CREATE_DEVICE, &d) < 0)
		return -errno;
	k->vfio = (int)d.fd;
	return 0;
}

/* The names are those of Linux before 6.6, which knew groups only; KVM_DEV_VFIO_FILE, _ADD and _DEL
 * are the same numbers. */
int kvm_vfio_file(struct kvm *k, int fd, bool add)
{
	struct kvm_device_attr a = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = add ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL,
		.addr = (uintptr_t)&fd,
	};
	int ret = make_device(k);

	if (ret == 0 && ioctl(k->vfio, KVM_SET_DEVICE_ATTR, &a) < 0)
		ret = -errno;
	return ret;
}
