/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-net moves frames between the tap device and the rings in a kernel thread; kicks reach it by
 * ioeventfd and its interrupts leave by irqfd, so we are not involved in either. */
#include "devices/virtio/vhost_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/virtio/virtio_pci.h"
#include "vmm/core/mem.h"

#define QUEUES	    2u
#define MAX_REGIONS 64u /* what vhost takes by default (max_mem_regions) */

int vhost_net_open(uint64_t *features)
{
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, VHOST_SET_OWNER) == 0 && ioctl(fd, VHOST_GET_FEATURES, features) == 0)
		return fd;
	close(fd);
	return -EIO;
}

static int add_region(void *arg, const struct mem_range *r)
{
	struct vhost_memory *t = arg;

	if (r->kind != MEM_RAM)
		return 0;
	if (t->nregions == MAX_REGIONS)
		return -E2BIG;
	t->regions[t->nregions++] = (struct vhost_memory_region){
		.guest_phys_addr = r->gpa,
		.memory_size = r->size,
		.userspace_addr = (uintptr_t)r->host,
	};
	return 0;
}

static int set_memory(int fd, const struct guest_mem *mem)
{
	struct vhost_memory *t =
		calloc(1, sizeof(*t) + MAX_REGIONS * sizeof(struct vhost_memory_region));
	int ret = t ? guest_mem_each(mem, add_region, t) : -ENOMEM;

	if (!ret && ioctl(fd, VHOST_SET_MEM_TABLE, t))
		ret = -errno;
	free(t);
	return ret;
}

/* vhost counts the queues of a pair: 0 and 1. */
static int set_queue(int fd, unsigned index, struct virtio_queue *q)
{
	struct vhost_vring_state num = { index, q->vq.size }, base = { index, q->vq.last_avail };
	struct vhost_vring_file kick = { index, q->kick_fd };
	struct vhost_vring_file call = { index, virtio_queue_call_fd(q) };
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = (uintptr_t)q->vq.desc,
		.avail_user_addr = (uintptr_t)q->vq.avail,
		.used_user_addr = (uintptr_t)q->vq.used,
	};

	if (ioctl(fd, VHOST_SET_VRING_NUM, &num) || ioctl(fd, VHOST_SET_VRING_BASE, &base) ||
	    ioctl(fd, VHOST_SET_VRING_ADDR, &addr) || ioctl(fd, VHOST_SET_VRING_KICK, &kick) ||
	    ioctl(fd, VHOST_SET_VRING_CALL, &call))
		return -errno;
	return 0;
}

static int set_backend(int fd, unsigned index, int tap)
{
	struct vhost_vring_file f = { index, tap };

	return ioctl(fd, VHOST_NET_SET_BACKEND, &f) ? -errno : 0;
}

int vhost_net_start(int fd, int tap, const struct guest_mem *mem, struct virtio_device *v,
		    unsigned first)
{
	uint64_t supported, features;
	int ret = 0;

	if (ioctl(fd, VHOST_GET_FEATURES, &supported))
		return -errno;
	features = v->guest_features & supported;
	if (ioctl(fd, VHOST_SET_FEATURES, &features))
		return -errno;
	ret = set_memory(fd, mem);
	for (unsigned i = 0; i < QUEUES && !ret; i++)
		ret = set_queue(fd, i, &v->queues[first + i]);
	for (unsigned i = 0; i < QUEUES && !ret; i++)
		ret = set_backend(fd, i, tap);
	if (ret)
		vhost_net_stop(fd, v, first);
	return ret;
}

void vhost_net_stop(int fd, struct virtio_device *v, unsigned first)
{
	/* Taking the back end away flushes the worker (drivers/vhost/net.c). */
	for (unsigned i = 0; i < QUEUES; i++) {
		struct vhost_vring_state base = { .index = i };

		set_backend(fd, i, -1);
		if (ioctl(fd, VHOST_GET_VRING_BASE, &base) == 0)
			v->queues[first + i].vq.last_avail = (uint16_t)base.num;
	}
}
