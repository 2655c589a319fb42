/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/bench/vhost_user.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_SET_VRING_ENABLE = 18,
};

#define VU_F_PROTOCOL_FEATURES 30

struct vu_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, pad;
			uint64_t gpa, size, user, offset;
		} mem;
	};
} __attribute__((packed));

static int vu_send(int sock, uint32_t request, struct vu_msg *m, uint32_t size, int fd)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = { .buf = { 0 } };
	struct iovec iov = { m, 12 + size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	m->request = request;
	m->flags = 1; /* version */
	m->size = size;
	if (fd >= 0) {
		c.h = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
		h.msg_control = c.buf;
		h.msg_controllen = sizeof(c.buf);
	}
	return sendmsg(sock, &h, 0) < 0 ? -errno : 0;
}

static uint64_t vu_get(int sock, uint32_t request)
{
	struct vu_msg m = { 0 };

	if (vu_send(sock, request, &m, 0, -1) || recv(sock, &m, 12 + 8, MSG_WAITALL) != 20)
		return 0;
	return m.u64;
}

static int vu_u64(int sock, uint32_t request, uint64_t v, int fd)
{
	struct vu_msg m = { .u64 = v };

	return vu_send(sock, request, &m, 8, fd);
}

static int vu_state(int sock, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_msg m = { .state = { index, num } };

	return vu_send(sock, request, &m, 8, -1);
}

static int vu_queue(int sock, const struct vu_setup *s, unsigned i)
{
	const struct vu_queue *q = &s->queues[i];
	uint64_t base = (uintptr_t)s->mem;
	struct vu_msg addr = { .addr = { i, 0, base + q->desc, base + q->used, base + q->avail,
					 0 } };
	int ret = vu_state(sock, VU_SET_VRING_NUM, i, s->size);

	ret = ret ? ret : vu_state(sock, VU_SET_VRING_BASE, i, 0);
	ret = ret ? ret : vu_send(sock, VU_SET_VRING_ADDR, &addr, 40, -1);
	ret = ret ? ret : vu_u64(sock, VU_SET_VRING_CALL, i, q->call_fd);
	ret = ret ? ret : vu_u64(sock, VU_SET_VRING_KICK, i, q->kick_fd);
	return ret ? ret : vu_state(sock, VU_SET_VRING_ENABLE, i, 1);
}

static int vu_memory(int sock, const struct vu_setup *s)
{
	struct vu_msg m = { .mem = { 1, 0, 0, s->mem_size, (uintptr_t)s->mem, 0 } };

	return vu_send(sock, VU_SET_MEM_TABLE, &m, 40, s->mem_fd);
}

int vu_connect(const struct vu_setup *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint64_t offered, want = s->features | 1ull << VU_F_PROTOCOL_FEATURES;
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;
	struct vu_msg none = { 0 };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->socket);
	if (sock < 0 || connect(sock, (struct sockaddr *)&a, sizeof(a))) {
		fprintf(stderr, "%s: %s\n", s->socket, strerror(errno));
		return -errno;
	}
	offered = vu_get(sock, VU_GET_FEATURES);
	if (want & ~offered) {
		fprintf(stderr, "%s: the back end lacks features %llx\n", s->socket,
			(unsigned long long)(want & ~offered));
		return -ENOTSUP;
	}
	vu_get(sock, VU_GET_PROTOCOL_FEATURES);
	ret = vu_u64(sock, VU_SET_PROTOCOL_FEATURES, 0, -1);
	ret = ret ? ret : vu_send(sock, VU_SET_OWNER, &none, 0, -1);
	ret = ret ? ret : vu_u64(sock, VU_SET_FEATURES, want, -1);
	ret = ret ? ret : vu_memory(sock, s);
	for (unsigned i = 0; i < s->n && !ret; i++)
		ret = vu_queue(sock, s, i);
	return ret ? ret : sock;
}
