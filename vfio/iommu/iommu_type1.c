/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type 1 (version 2) IOMMU of Linux: one container, /dev/vfio/vfio, which IOMMU groups join. A
 * device is opened through its group, and the group is opened, looked at and joined before its
 * first device. The kind of IOMMU can only be set once a group is in the container, so the first
 * group does that.
 *
 * Threads: as iommu.h; no lock of its own: the list of groups stands still while devices are
 * opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio/host/sysfs.h"
#include "vfio/iommu/iommu_backend.h"
#include "vmm/core/cleanup.h"

struct type1 {
	struct iommu_config config;
	int container;
	bool set; /* VFIO_SET_IOMMU was done: the kernel forgets it with the last group */
	struct iommu_group *groups;
	unsigned n_groups;
	pthread_mutex_t lock; /* open */
	struct type1_open {
		int fd;
		unsigned group;
	} * open; /* devices */
	unsigned n_open;
};

/* ---- groups ---- */

static int open_group(unsigned nr, int *fd, struct error *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%u", nr);
	*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	switch (errno) {
	case EBUSY:
		return sysfs_explain_busy("", nr, err);
	case EACCES:
	case EPERM:
		return error_set(err, -EACCES,
				 "there is no permission to open %s: as root, give it to your "
				 "user: chown %u %s",
				 path, (unsigned)geteuid(), path);
	case ENOENT:
		return error_set(
			err, -ENOENT,
			"%s does not exist although the device is bound to vfio-pci: load the "
			"module (modprobe vfio-pci), and check that /dev is the host's",
			path);
	}
	return error_set(err, -errno, "%s: %s", path, strerror(errno));
}

static int check_viable(unsigned nr, int fd, struct error *err)
{
	struct vfio_group_status s = { .argsz = sizeof(s) };

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &s) < 0)
		return error_set(err, -errno, "IOMMU group %u: VFIO_GROUP_GET_STATUS: %s", nr,
				 strerror(errno));
	return s.flags & VFIO_GROUP_FLAGS_VIABLE ? 0 : sysfs_explain_group("", nr, err);
}

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

static int tell_kvm(struct type1 *t, int fd, bool add)
{
	return t->config.kvm_file ? t->config.kvm_file(t->config.opaque, fd, add) : 0;
}

static void leave_container(struct type1 *t, int fd)
{
	ioctl(fd, VFIO_GROUP_UNSET_CONTAINER);
	if (t->n_groups == 0)
		t->set = false;
}

/* The group joins: address space, then KVM. */
static int join_group(struct type1 *t, unsigned nr, int fd, struct error *err)
{
	int ret;

	if (ioctl(fd, VFIO_GROUP_SET_CONTAINER, &t->container) < 0)
		return error_set(err, -errno, "IOMMU group %u: VFIO_GROUP_SET_CONTAINER: %s%s", nr,
				 strerror(errno),
				 errno == EINVAL && t->set
					 ? ": its IOMMU cannot map what is mapped for the other "
					   "devices: give the device to a guest of its own"
					 : "");
	ret = set_iommu(t, nr, err);
	if (ret == 0) {
		ret = tell_kvm(t, fd, true);
		if (ret < 0)
			error_set(err, ret, "IOMMU group %u: KVM does not accept it: %s", nr,
				  strerror(-ret));
	}
	if (ret < 0)
		leave_container(t, fd);
	return ret;
}

/* The group's descriptor. */
static int add_group(struct type1 *t, unsigned nr, struct error *err)
{
	struct iommu_group *grown = realloc(t->groups, (t->n_groups + 1) * sizeof(*grown));
	int fd, ret;

	if (!grown)
		return error_set(err, -ENOMEM, "out of memory for an IOMMU group");
	t->groups = grown;
	ret = open_group(nr, &fd, err);
	if (ret < 0)
		return ret;
	ret = check_viable(nr, fd, err);
	if (ret == 0)
		ret = join_group(t, nr, fd, err);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	grown[t->n_groups++] = (struct iommu_group){ nr, fd };
	return fd;
}

/* ---- operations ---- */

static int type1_join(void *backend, const struct sysfs_pci *dev, struct error *err)
{
	struct type1 *t = backend;
	unsigned nr = (unsigned)dev->group;
	int group = iommu_group_fd(t->groups, t->n_groups, nr);

	if (group < 0)
		group = add_group(t, nr, err);
	return group < 0 ? error_prefix(err, "%s", dev->bdf) : 0;
}

/* Which group a device keeps in the address space. */
static int note_open(struct type1 *t, int fd, unsigned group)
{
	struct type1_open *grown;

	scoped_lock(&t->lock);
	grown = realloc(t->open, (t->n_open + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->open = grown;
	grown[t->n_open++] = (struct type1_open){ fd, group };
	return 0;
}

static void forget_open(struct type1 *t, int fd)
{
	scoped_lock(&t->lock);
	for (unsigned i = 0; i < t->n_open; i++)
		if (t->open[i].fd == fd) {
			t->open[i] = t->open[--t->n_open];
			return;
		}
}

/* In this order: once it is closed, another thread may be given the same number. */
static void type1_close_device(void *backend, int fd)
{
	forget_open(backend, fd);
	close(fd);
}

/* The kernel resets the device meanwhile. It opens those of one group, or behind one port, one
 * after the other, whoever asks. */
static int type1_open_device(void *backend, const struct sysfs_pci *dev, struct error *err)
{
	struct type1 *t = backend;
	int group = iommu_group_fd(t->groups, t->n_groups, (unsigned)dev->group);
	int fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, dev->bdf);

	if (fd < 0)
		return error_set(
			err, -errno, "%s cannot be opened: %s%s", dev->bdf, strerror(errno),
			errno == EBUSY ? ": another process uses it" : ": dmesg says more");
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (note_open(t, fd, (unsigned)dev->group) < 0) {
		close(fd);
		return error_set(err, -ENOMEM, "out of memory for %s", dev->bdf);
	}
	return fd;
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
static int type1_limits(void *backend, struct iommu_limits *l, struct error *err)
{
	struct type1 *t = backend;
	uint32_t need = 1024, size;
	scoped_free struct vfio_iommu_type1_info *info = NULL;
	int ret;

	do {
		size = need;
		free(info);
		info = calloc(1, size);
		if (!info)
			return error_set(err, -ENOMEM, "VFIO_IOMMU_GET_INFO: out of memory");
		info->argsz = size;
		ret = ioctl(t->container, VFIO_IOMMU_GET_INFO, info) < 0 ? -errno : 0;
		need = info->argsz;
	} while (ret == 0 && need > size);
	if (ret == 0)
		ret = iommu_limits_parse(info, size, l);
	l->more_maps = "echo 65535 >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
	return ret < 0 ? error_set(err, ret, "VFIO_IOMMU_GET_INFO: %s", strerror(-ret)) : 0;
}

static int type1_hot_reset_fds(void *backend, const struct vfio_pci_dependent_device *hit,
			       unsigned n, int *fds, unsigned *foreign)
{
	const struct type1 *t = backend;

	return iommu_group_fds(t->groups, t->n_groups, hit, n, fds, foreign);
}

/* KVM first: it looks at the group's device. */
static void remove_group(struct type1 *t, unsigned i)
{
	int fd = t->groups[i].fd;

	tell_kvm(t, fd, false);
	t->groups[i] = t->groups[--t->n_groups];
	leave_container(t, fd);
	close(fd);
}

static bool group_is_used(const struct type1 *t, unsigned nr)
{
	for (unsigned i = 0; i < t->n_open; i++)
		if (t->open[i].group == nr)
			return true;
	return false;
}

static void type1_leave(void *backend)
{
	struct type1 *t = backend;

	for (unsigned i = t->n_groups; i-- > 0;)
		if (!group_is_used(t, t->groups[i].nr))
			remove_group(t, i);
}

static void type1_free(void *backend)
{
	struct type1 *t = backend;

	while (t->n_groups > 0)
		remove_group(t, 0);
	close(t->container);
	pthread_mutex_destroy(&t->lock);
	free(t->groups);
	free(t->open);
	free(t);
}

static const struct iommu_ops type1_ops = {
	.join = type1_join,
	.open_device = type1_open_device,
	.close_device = type1_close_device,
	.leave = type1_leave,
	.map = type1_map,
	.unmap = type1_unmap,
	.limits = type1_limits,
	.hot_reset_fds = type1_hot_reset_fds,
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

void *iommu_type1_new(const struct iommu_config *config, const struct iommu_ops **ops,
		      struct error *err)
{
	struct type1 *t;
	int fd, ret = open_container(&fd, err);

	if (ret == 0)
		ret = check_container(fd, err);
	t = ret == 0 ? calloc(1, sizeof(*t)) : NULL;
	if (!t) {
		cleanup_close(&fd);
		if (ret == 0)
			error_set(err, -ENOMEM, "out of memory for the IOMMU");
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->config = *config;
	t->container = fd;
	*ops = &type1_ops;
	return t;
}
