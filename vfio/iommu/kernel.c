/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real VFIO device: each operation is one system call on the device's descriptor. No decisions
 * here; they are made above this table, where the tests can see them.
 *
 * Threads: any; the kernel serialises.
 */
#include "vfio/iommu/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

struct kernel_device {
	struct vfio_kernel base;
	int fd;
	void (*close_fd)(void *opaque, int fd);
	void *opaque;
};

static int fd_of(struct vfio_kernel *k)
{
	return container_of(k, struct kernel_device, base)->fd;
}

/* What both kinds of information begin with. */
struct info_head {
	uint32_t argsz, flags, index;
};

/* Room for a dozen capabilities, so that one call mostly does; the kernel answers with the size
 * that it needs. */
static int ask(struct vfio_kernel *k, unsigned long request, const struct info_head *head,
	       void **out)
{
	uint32_t size = 256;
	struct info_head *info = NULL, *grown;
	unsigned tries;
	int ret;

	for (tries = 0; tries < 3; tries++) {
		grown = realloc(info, size);
		if (!grown) {
			free(info);
			return -ENOMEM;
		}
		info = grown;
		memset(info, 0, size);
		*info = *head;
		info->argsz = size;
		ret = ioctl(fd_of(k), request, info) < 0 ? -errno : 0;
		if (ret < 0) {
			free(info);
			return ret;
		}
		if (info->argsz <= size) {
			*out = info;
			return 0;
		}
		size = info->argsz;
	}
	free(info);
	return -EAGAIN;
}

static int device_info(struct vfio_kernel *k, struct vfio_device_info **out)
{
	const struct info_head head = { 0 };

	return ask(k, VFIO_DEVICE_GET_INFO, &head, (void **)out);
}

static int region_info(struct vfio_kernel *k, unsigned index, struct vfio_region_info **out)
{
	const struct info_head head = { .index = index };

	return ask(k, VFIO_DEVICE_GET_REGION_INFO, &head, (void **)out);
}

static ssize_t region_read(struct vfio_kernel *k, uint64_t off, void *buf, size_t len)
{
	ssize_t n = pread(fd_of(k), buf, len, (off_t)off);

	return n < 0 ? -errno : n;
}

static ssize_t region_write(struct vfio_kernel *k, uint64_t off, const void *buf, size_t len)
{
	ssize_t n = pwrite(fd_of(k), buf, len, (off_t)off);

	return n < 0 ? -errno : n;
}

static int region_mmap(struct vfio_kernel *k, void *at, size_t len, int prot, uint64_t off)
{
	void *p = mmap(at, len, prot, MAP_SHARED | MAP_FIXED, fd_of(k), (off_t)off);

	return p == MAP_FAILED ? -errno : 0;
}

static int irq_info(struct vfio_kernel *k, unsigned index, struct vfio_irq_info *info)
{
	*info = (struct vfio_irq_info){ .argsz = sizeof(*info), .index = index };
	return ioctl(fd_of(k), VFIO_DEVICE_GET_IRQ_INFO, info) < 0 ? -errno : 0;
}

static int set_irqs(struct vfio_kernel *k, const struct vfio_irq_set *set)
{
	int ret = ioctl(fd_of(k), VFIO_DEVICE_SET_IRQS, set);

	return ret < 0 ? -errno : ret;
}

static int reset(struct vfio_kernel *k)
{
	return ioctl(fd_of(k), VFIO_DEVICE_RESET) < 0 ? -errno : 0;
}

static int hot_reset_info(struct vfio_kernel *k, struct vfio_pci_dependent_device *devs,
			  unsigned *n)
{
	size_t room = *n * sizeof(*devs);
	scoped_free struct vfio_pci_hot_reset_info *info = calloc(1, sizeof(*info) + room);
	int ret;

	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)(sizeof(*info) + room);
	ret = ioctl(fd_of(k), VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info) < 0 ? -errno : 0;
	if (ret < 0 && ret != -ENOSPC)
		return ret;
	if (info->count > *n)
		ret = -ENOSPC;
	*n = info->count;
	if (ret == 0)
		memcpy(devs, info->devices, info->count * sizeof(*devs));
	return ret;
}

static int hot_reset(struct vfio_kernel *k, const int *fds, unsigned n)
{
	size_t size = sizeof(struct vfio_pci_hot_reset) + n * sizeof(int32_t);
	scoped_free struct vfio_pci_hot_reset *r = calloc(1, size);

	if (!r)
		return -ENOMEM;
	r->argsz = (uint32_t)size;
	r->count = n;
	memcpy(r->group_fds, fds, n * sizeof(int32_t));
	return ioctl(fd_of(k), VFIO_DEVICE_PCI_HOT_RESET, r) < 0 ? -errno : 0;
}

static void close_fd(int fd, void (*by)(void *opaque, int fd), void *opaque)
{
	if (by)
		by(opaque, fd);
	else
		close(fd);
}

static void close_device(struct vfio_kernel *k)
{
	struct kernel_device *d = container_of(k, struct kernel_device, base);

	close_fd(d->fd, d->close_fd, d->opaque);
	free(d);
}

static const struct vfio_kernel_ops kernel_ops = {
	.device_info = device_info,
	.region_info = region_info,
	.region_read = region_read,
	.region_write = region_write,
	.region_mmap = region_mmap,
	.irq_info = irq_info,
	.set_irqs = set_irqs,
	.reset = reset,
	.hot_reset_info = hot_reset_info,
	.hot_reset = hot_reset,
	.close = close_device,
};

struct vfio_kernel *vfio_kernel_new(int fd, const char *bdf, void (*by)(void *opaque, int fd),
				    void *opaque)
{
	struct kernel_device *d = calloc(1, sizeof(*d));

	if (!d) {
		close_fd(fd, by, opaque);
		return NULL;
	}
	d->base.ops = &kernel_ops;
	snprintf(d->base.name, sizeof(d->base.name), "%s", bdf);
	d->fd = fd;
	d->close_fd = by;
	d->opaque = opaque;
	return &d->base;
}

uint64_t vfio_region_size(struct vfio_kernel *k, unsigned index)
{
	struct vfio_region_info *info = NULL;
	uint64_t size = k->ops->region_info(k, index, &info) ? 0 : info->size;

	free(info);
	return size;
}
