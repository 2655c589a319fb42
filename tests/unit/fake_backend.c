/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_backend.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/eventfd.h"

enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_BACKEND_REQ_FD = 21,
	GET_CONFIG = 24,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
};

#define PAYLOAD 512
#define REPLY	4u
#define NEEDS	8u

struct msg {
	struct {
		uint32_t request, flags, size;
	} h;
	uint8_t data[PAYLOAD];
	int fd[16];
	unsigned n_fds;
};

static void keep_fd(_Atomic int *at, struct msg *m)
{
	if (*at >= 0)
		close(*at);
	*at = m->n_fds ? m->fd[0] : -1;
	for (unsigned i = 1; i < m->n_fds; i++)
		close(m->fd[i]);
	m->n_fds = 0;
}

static bool msg_read(int fd, struct msg *m)
{
	char control[CMSG_SPACE(sizeof(m->fd))];
	struct iovec iov = { &m->h, sizeof(m->h) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	memset(m, 0, sizeof(*m));
	if (recvmsg(fd, &h, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(m->h))
		return false;
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		m->n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fd, CMSG_DATA(c), m->n_fds * sizeof(int));
	}
	return m->h.size <= PAYLOAD &&
	       (!m->h.size || recv(fd, m->data, m->h.size, MSG_WAITALL) == (ssize_t)m->h.size);
}

static void msg_send(int to, struct msg *m, size_t len, unsigned fds)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} c = { .buf = { 0 } };
	struct iovec iov = { &m->h, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds) {
		c.h = (struct cmsghdr){ CMSG_LEN(fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (unsigned i = 0; i < fds; i++)
			memcpy(CMSG_DATA(&c.h) + i * sizeof(int), &m->fd[fds == 1 ? 0 : 15],
			       sizeof(int));
		h.msg_control = c.buf;
		h.msg_controllen = CMSG_SPACE(fds * sizeof(int));
	}
	(void)!sendmsg(to, &h, MSG_NOSIGNAL);
}

/* False: the connection ends. */
static bool msg_answer(struct fake_backend *b, struct msg *m, unsigned fds)
{
	enum backend_fault fault = b->fault_at == m->h.request ? b->fault : FAULT_NONE;
	size_t len = sizeof(m->h) + m->h.size;
	int extra = -1;

	m->h.flags = 1 | REPLY;
	switch (fault) {
	case FAULT_CLOSE:
		return false;
	case FAULT_HALF:
		msg_send(b->conn, m, sizeof(m->h) / 2, 0);
		return false;
	case FAULT_SHORT:
		msg_send(b->conn, m, len - 1, 0);
		return false;
	case FAULT_SILENT:
		return true;
	case FAULT_GARBAGE:
		memset(m, 0xa5, sizeof(m->h));
		break;
	case FAULT_OTHER:
		m->h.request++;
		break;
	case FAULT_NO_REPLY_FLAG:
		m->h.flags = 1;
		break;
	case FAULT_SIZE:
		m->h.size++;
		break;
	case FAULT_HUGE:
		m->h.size = UINT32_MAX;
		break;
	case FAULT_FDS:
		extra = m->fd[15] = eventfd_new();
		fds = 15;
		break;
	case FAULT_REFUSE:
		memset(m->data, 1, sizeof(uint64_t));
		break;
	default:
		break;
	}
	msg_send(b->conn, m, len, fds);
	if (extra >= 0)
		close(extra);
	return true;
}

static void set_u64(struct msg *m, uint64_t v)
{
	memcpy(m->data, &v, sizeof(v));
	m->h.size = sizeof(v);
}

static void get_inflight(struct fake_backend *b, struct msg *m)
{
	const uint64_t size = 4096;

	m->fd[0] = memfd_create("inflight", MFD_CLOEXEC);
	memcpy(m->data, &size, sizeof(size));
	b->inflights_made++;
}

static void take_memory(struct fake_backend *b, struct msg *m)
{
	memcpy(&b->regions, m->data, 4);
	if (b->regions <= 8)
		memcpy(b->region, m->data + 8, b->regions * sizeof(b->region[0]));
	if (m->n_fds != b->regions)
		b->regions = 0;
	keep_fd(&b->memory, m);
}

static void take_ring(struct fake_backend *b, struct msg *m)
{
	struct backend_ring *r = &b->ring[m->data[0] % BACKEND_RINGS];
	uint64_t addr[3];
	uint32_t num;

	memcpy(&num, m->data + 4, sizeof(num));
	switch (m->h.request) {
	case SET_VRING_NUM:
		r->num = num;
		break;
	case SET_VRING_BASE:
		r->base = num;
		break;
	case SET_VRING_ADDR:
		memcpy(addr, m->data + 8, sizeof(addr));
		r->desc = addr[0];
		r->used = addr[1];
		r->avail = addr[2];
		break;
	case SET_VRING_KICK:
		keep_fd(&r->kick, m);
		break;
	case SET_VRING_CALL:
		keep_fd(&r->call, m);
		break;
	case SET_VRING_ERR:
		keep_fd(&r->err, m);
		break;
	case SET_VRING_ENABLE:
		r->enabled = num;
		break;
	case GET_VRING_BASE:
		num = r->base;
		memcpy(m->data + 4, &num, sizeof(num));
		r->enabled = false;
		break;
	}
}

static bool is_get(uint32_t request)
{
	return request == GET_FEATURES || request == GET_PROTOCOL_FEATURES ||
	       request == GET_QUEUE_NUM || request == GET_CONFIG || request == GET_VRING_BASE ||
	       request == GET_INFLIGHT_FD;
}

static void msg_take(struct fake_backend *b, struct msg *m)
{
	switch (m->h.request) {
	case GET_FEATURES:
		set_u64(m, b->features);
		break;
	case GET_PROTOCOL_FEATURES:
		set_u64(m, b->protocol);
		break;
	case GET_QUEUE_NUM:
		set_u64(m, b->queues);
		break;
	case GET_CONFIG:
		for (unsigned i = 0; i < sizeof(b->config); i++)
			m->data[12 + i] = __atomic_load_n(&b->config[i], __ATOMIC_RELAXED);
		break;
	case GET_INFLIGHT_FD:
		get_inflight(b, m);
		break;
	case SET_BACKEND_REQ_FD:
		keep_fd(&b->requests, m);
		break;
	case SET_INFLIGHT_FD:
		keep_fd(&b->inflight, m);
		break;
	case SET_FEATURES:
		memcpy(&b->got_features, m->data, 8);
		break;
	case SET_PROTOCOL_FEATURES:
		memcpy(&b->got_protocol, m->data, 8);
		break;
	case SET_MEM_TABLE:
		take_memory(b, m);
		break;
	default:
		take_ring(b, m);
	}
}

/* One message. False: the connection ends. */
static bool serve(struct fake_backend *b)
{
	struct msg m;
	bool more = true, needs;

	if (!msg_read(b->conn, &m))
		return false;
	needs = m.h.flags & NEEDS;
	msg_take(b, &m);
	for (unsigned i = 0; i < m.n_fds; i++)
		close(m.fd[i]);
	if (is_get(m.h.request)) {
		bool file = m.h.request == GET_INFLIGHT_FD;

		more = msg_answer(b, &m, file);
		if (file)
			close(m.fd[0]);
	} else if (needs) {
		set_u64(&m, 0);
		more = msg_answer(b, &m, 0);
	} else if (b->fault_at == m.h.request && b->fault == FAULT_CLOSE) {
		more = false;
	}
	b->seen[m.h.request % 64]++; /* last: the test may look now */
	return more;
}

static void forget(struct fake_backend *b)
{
	for (unsigned i = 0; i < BACKEND_RINGS; i++) {
		struct backend_ring *r = &b->ring[i];
		_Atomic int *fds[] = { &r->kick, &r->call, &r->err };

		for (unsigned k = 0; k < 3; k++)
			if (*fds[k] >= 0)
				close(*fds[k]);
		r->num = r->base = 0;
		r->desc = r->used = r->avail = 0;
		r->kick = r->call = r->err = -1;
		r->enabled = false;
	}
	if (b->memory >= 0)
		close(b->memory);
	if (b->requests >= 0)
		close(b->requests);
	b->memory = b->requests = -1;
	b->got_features = b->got_protocol = 0;
}

static void *backend_main(void *arg)
{
	struct fake_backend *b = arg;

	for (;;) {
		struct pollfd p[2] = { { b->stop, POLLIN, 0 },
				       { b->conn >= 0 ? b->conn : b->listener, POLLIN, 0 } };

		poll(p, 2, -1);
		if (p[0].revents)
			break;
		if (b->conn < 0) {
			b->conn = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
			forget(b);
			b->connections++;
		} else if (!serve(b)) {
			close(b->conn);
			b->conn = -1;
		}
	}
	return NULL;
}

int backend_revive(struct fake_backend *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", b->path);
	unlink(b->path);
	b->conn = -1;
	b->stop = eventfd_new();
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(b->listener, (struct sockaddr *)&a, sizeof(a)) || listen(b->listener, 4))
		return -errno;
	return -pthread_create(&b->thread, NULL, backend_main, b);
}

int backend_start(struct fake_backend *b)
{
	char dir[] = "/tmp/backend.XXXXXX";

	if (!mkdtemp(dir))
		return -errno;
	snprintf(b->path, sizeof(b->path), "%s/s", dir);
	b->memory = b->inflight = b->requests = -1;
	for (unsigned i = 0; i < BACKEND_RINGS; i++)
		b->ring[i].kick = b->ring[i].call = b->ring[i].err = -1;
	return backend_revive(b);
}

void backend_die(struct fake_backend *b)
{
	eventfd_signal(b->stop);
	pthread_join(b->thread, NULL);
	close(b->stop);
	close(b->listener);
	if (b->conn >= 0)
		close(b->conn);
	b->conn = -1;
}

void backend_forget(struct fake_backend *b)
{
	forget(b);
	if (b->inflight >= 0)
		close(b->inflight);
	b->inflight = -1;
}

void backend_stop(struct fake_backend *b)
{
	backend_die(b);
	backend_forget(b);
	unlink(b->path);
	*strrchr(b->path, '/') = '\0';
	rmdir(b->path);
}
