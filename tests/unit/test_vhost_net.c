/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said to vhost-net for a pair of queues that is not the first. The kernel's side is a fake
 * ioctl(), linked in by --wrap (see the Makefile). */
#include <errno.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/vhost_net.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/core/mem.h"

#define FD    1000
#define TAP   2000
#define FIRST 4u

static struct kernel {
	uint64_t features;
	unsigned regions, num[2], base[2];
	uint64_t desc[2];
	int kick[2], call[2], backend[2];
	unsigned long fails; /* this request */
} k;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_virtio_queue_call_fd(struct virtio_queue *q);

int __wrap_virtio_queue_call_fd(struct virtio_queue *q)
{
	return 300 + (int)q->index;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct vhost_memory *m = arg;
	struct vhost_vring_state *s = arg;
	struct vhost_vring_file *f = arg;
	struct vhost_vring_addr *a = arg;

	assert_int_equal(fd, FD);
	if (request == k.fails) {
		errno = EFAULT;
		return -1;
	}
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = 0xff;
		return 0;
	case VHOST_SET_FEATURES:
		k.features = *(uint64_t *)arg;
		return 0;
	case VHOST_SET_MEM_TABLE:
		k.regions = m->nregions;
		return 0;
	}
	assert_true(s->index < 2);
	switch (request) {
	case VHOST_SET_VRING_NUM:
		k.num[s->index] = s->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		k.base[s->index] = s->num;
		return 0;
	case VHOST_GET_VRING_BASE:
		assert_int_equal(k.backend[s->index], -1); /* it has stopped */
		s->num = k.base[s->index] + 10;
		return 0;
	case VHOST_SET_VRING_ADDR:
		k.desc[a->index] = a->desc_user_addr;
		return 0;
	case VHOST_SET_VRING_KICK:
		k.kick[f->index] = f->fd;
		return 0;
	case VHOST_SET_VRING_CALL:
		k.call[f->index] = f->fd;
		return 0;
	case VHOST_NET_SET_BACKEND:
		k.backend[f->index] = f->fd;
		return 0;
	}
	fail_msg("request %#lx", request);
	return -1;
}

static void test_second_pair(void **state)
{
	struct virtio_queue q[FIRST + 2] = { 0 };
	struct virtio_device v = { .queues = q, .n_queues = FIRST + 2, .guest_features = 0x10f };
	struct mem_range ram = { 0, 1 * MiB, (void *)(uintptr_t)4096, MEM_RAM, true };
	struct guest_mem *mem = guest_mem_new();

	(void)state;
	assert_int_equal(guest_mem_add(mem, &ram), 0);
	for (unsigned i = 0; i < FIRST + 2; i++) {
		q[i].index = i;
		q[i].kick_fd = 200 + (int)i;
		q[i].vq.size = (uint16_t)(1u << i);
		q[i].vq.last_avail = (uint16_t)(100 * i);
		q[i].vq.desc = (void *)(uintptr_t)(0x1000 * (i + 1));
	}
	assert_int_equal(vhost_net_start(FD, TAP, mem, &v, FIRST), 0);
	assert_int_equal(k.features, 0xf);
	assert_int_equal(k.regions, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(k.num[i], 1u << (FIRST + i));
		assert_int_equal(k.base[i], 100 * (FIRST + i));
		assert_int_equal(k.desc[i], 0x1000 * (FIRST + i + 1));
		assert_int_equal(k.kick[i], 200 + FIRST + i);
		assert_int_equal(k.call[i], 300 + FIRST + i);
		assert_int_equal(k.backend[i], TAP);
	}
	vhost_net_stop(FD, &v, FIRST);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(q[FIRST + i].vq.last_avail, 100 * (FIRST + i) + 10);
	assert_int_equal(q[0].vq.last_avail, 0);
	assert_int_equal(q[1].vq.last_avail, 100);
	/* What fails is undone. */
	k.fails = VHOST_SET_VRING_CALL;
	assert_int_equal(vhost_net_start(FD, TAP, mem, &v, FIRST), -EFAULT);
	assert_int_equal(k.backend[0], -1);
	guest_mem_free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_second_pair) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
