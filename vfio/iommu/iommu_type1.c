/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type 1 (version 2) IOMMU of Linux: one container, /dev/vfio/vfio, which the groups join. The
 * kind of IOMMU can only be set once a group is in it, so the first group's attach does.
 *
 * Threads: as iommu.h; no lock of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio/iommu/iommu_backend.h"
#include "vmm/core/cleanup.h"

struct type1 {
	int container;
	bool set;	 /* VFIO_SET_IOMMU was done */
	unsigned groups; /* attached: the kernel forgets the kind of IOMMU with the last one */
};

static int set_iommu(struct type1 *t, unsigned group, struct error *err)
{
	if (t->set)
		return 0;
	if (ioctl(t->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0) {
		t->set = true;
		return 0;
	}
	if (errno == EPERM)
		return error_set(
			err, -EPERM,
			"IOMMU group %u: the kernel does not permit it. Either the IOMMU does not "
			"remap interrupts (enable interrupt remapping or x2APIC in the firmware "
			"setup (BIOS); or, if you trust every guest: echo 1 "
			">/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts), or the "
			"firmware reserves memory for the device (dmesg then mentions RMRR)",
			group);
	return error_set(err, -errno, "IOMMU group %u: VFIO_SET_IOMMU: %s", group, strerror(errno));
}

static int type1_attach(void *backend, int group_fd, unsigned group, struct error *err)
{
	struct type1 *t = backend;
	int rc;

	if (ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, &t->container) < 0)
		return error_set(err, -errno, "IOMMU group %u: VFIO_GROUP_SET_CONTAINER: %s", group,
				 strerror(errno));
	rc = set_iommu(t, group, err);
	if (rc < 0)
		ioctl(group_fd, VFIO_GROUP_UNSET_CONTAINER);
	else
		t->groups++;
	return rc;
}

static void type1_detach(void *backend, int group_fd)
{
	struct type1 *t = backend;

	ioctl(group_fd, VFIO_GROUP_UNSET_CONTAINER);
	if (--t->groups == 0)
		t->set = false;
}

static int type1_map(void *backend, uint64_t iova, void *host, uint64_t size, bool write)
{
	struct type1 *t = backend;
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | (write ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)host,
		.iova = iova,
		.size = size,
	};

	return ioctl(t->container, VFIO_IOMMU_MAP_DMA, &m) < 0 ? -errno : 0;
}

static int type1_unmap(void *backend, uint64_t iova, uint64_t size)
{
	struct type1 *t = backend;
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = iova, .size = size };

	return ioctl(t->container, VFIO_IOMMU_UNMAP_DMA, &u) < 0 ? -errno : 0;
}

/* Room for some 50 ranges, so that one call does; the kernel says when it needs more. */
static int type1_limits(void *backend, struct iommu_limits *l)
{
	struct type1 *t = backend;
	uint32_t need = 1024, size;
	scoped_free struct vfio_iommu_type1_info *info = NULL;

	do {
		size = need;
		free(info);
		info = calloc(1, size);
		if (!info)
			return -ENOMEM;
		info->argsz = size;
		if (ioctl(t->container, VFIO_IOMMU_GET_INFO, info) < 0)
			return -errno;
		need = info->argsz;
	} while (need > size);
	return iommu_limits_parse(info, size, l);
}

static void type1_free(void *backend)
{
	struct type1 *t = backend;

	close(t->container);
	free(t);
}

static const struct iommu_ops type1_ops = {
	.attach = type1_attach,
	.detach = type1_detach,
	.map = type1_map,
	.unmap = type1_unmap,
	.limits = type1_limits,
	.free = type1_free,
};

static int open_container(int *fd, struct error *err)
{
	*fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return error_set(
			err, -ENODEV,
			"/dev/vfio/vfio does not exist: load the module: modprobe vfio-pci");
	if (errno == EACCES || errno == EPERM)
		return error_set(err, -EACCES,
				 "there is no permission to open /dev/vfio/vfio: as root: chmod "
				 "666 /dev/vfio/vfio (this file alone gives access to no device)");
	return error_set(err, -errno, "/dev/vfio/vfio: %s", strerror(errno));
}

static int check_container(int fd, struct error *err)
{
	if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return error_set(err, -EPROTO,
				 "/dev/vfio/vfio has another version of the VFIO interface: use "
				 "Linux 5.10 or newer");
	if (ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
		return error_set(err, -EOPNOTSUPP,
				 "the kernel's VFIO has no type 1 IOMMU: load the module: modprobe "
				 "vfio_iommu_type1");
	return 0;
}

void *iommu_type1_new(const struct iommu_ops **ops, struct error *err)
{
	struct type1 *t;
	int fd, rc = open_container(&fd, err);

	if (rc == 0)
		rc = check_container(fd, err);
	t = rc == 0 ? calloc(1, sizeof(*t)) : NULL;
	if (!t) {
		cleanup_close(&fd);
		if (rc == 0)
			error_set(err, -ENOMEM, "out of memory for the IOMMU");
		return NULL;
	}
	t->container = fd;
	*ops = &type1_ops;
	return t;
}
