/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk and a network card with a hostile back end, and a hostile guest in front. The back end has
 * no thread: it answers while a request is sent to it (sendmsg() is linked in by --wrap), and as
 * the input says: rightly, with other numbers, in pieces, with the wrong header, with descriptors,
 * late or not at all; or it goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "devices/virtio/vhost_user_blk.h"
#include "devices/virtio/vhost_user_device.h"
#include "devices/virtio/vhost_user_net.h"
#include "tests/fuzz/virtio_guest.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int __wrap_connect(int fd, const struct sockaddr *, socklen_t);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *, int flags);
int __wrap_pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

enum answer { RIGHT, NUMBERS, HEADER, PIECE, FDS, SILENT, GONE, RAW };

static struct target {
	const struct device_class *class;
	struct fake_driver driver;
	struct device_list list;
	struct device *dev;
	int back;     /* the back end's end of the connection; -1: none */
	int requests; /* its channel for requests; -1: none */
} targets[2] = { { .class = &vhost_user_blk_class, .back = -1, .requests = -1 },
		 { .class = &vhost_user_net_class, .back = -1, .requests = -1 } };
static struct target *now;
static enum answer answer; /* of the request after `after` others */
static unsigned after;
static uint8_t bytes[6];

/* ---- the back end ---- */

int __wrap_connect(int fd, const struct sockaddr *a, socklen_t len)
{
	int s[2];

	(void)a;
	(void)len;
	if (answer == GONE && after == 0) {
		errno = bytes[0] & 1 ? ECONNREFUSED : EAGAIN;
		answer = RIGHT;
		return -1;
	}
	if (now->back >= 0)
		close(now->back);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s) ||
	    dup3(s[0], fd, O_CLOEXEC) < 0)
		abort();
	close(s[0]);
	now->back = s[1];
	return 0;
}

static void send_fds(const void *data, size_t len, unsigned n)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} c = { .buf = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		c.h = (struct cmsghdr){ CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(&c.h) + i * sizeof(int), &now->back, sizeof(int));
		h.msg_control = c.buf;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	__real_sendmsg(now->back, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
}

struct reply {
	uint32_t request, flags, size;
	uint8_t data[300];
} __attribute__((packed));

static void set_u64(struct reply *r, uint64_t v)
{
	memcpy(r->data, &v, sizeof(v));
	r->size = sizeof(v);
}

/* False: the request has no answer. */
static bool right_answer(struct reply *r, bool needs)
{
	switch (r->request) {
	case 1: /* GET_FEATURES */
		set_u64(r, ~0ull);
		return true;
	case 15: /* GET_PROTOCOL_FEATURES */
		set_u64(r, ~0ull);
		return true;
	case 17: /* GET_QUEUE_NUM */
		set_u64(r, 4);
		return true;
	case 11: /* GET_VRING_BASE */
	case 24: /* GET_CONFIG */
	case 31: /* GET_INFLIGHT_FD */
		return true;
	}
	set_u64(r, 0);
	return needs;
}

static void do_answer(struct reply *r, enum answer how, bool has)
{
	size_t len = 12 + r->size;
	unsigned fds = r->request == 31;

	if (how == GONE)
		shutdown(now->back, SHUT_RDWR);
	if (how == NUMBERS)
		for (unsigned i = 0; i < r->size; i++)
			r->data[i] ^= bytes[i % 6];
	if (how == HEADER)
		memcpy((uint8_t *)r + bytes[0] % 8, bytes + 1, 4);
	if (how == PIECE)
		len = bytes[0] % (len + 1);
	if (how == FDS)
		fds = bytes[0] % 16;
	if (how == RAW)
		memcpy(r, bytes, sizeof(bytes));
	if (how == SILENT || how == GONE || (!has && how != RAW))
		return;
	send_fds(r, len, fds);
	if (how == PIECE && bytes[1] & 1)
		shutdown(now->back, SHUT_RDWR);
}

static void keep_requests(const struct msghdr *h)
{
	int fd;

	if (!CMSG_FIRSTHDR(h))
		abort();
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(h)), sizeof(fd));
	if (now->requests >= 0)
		close(now->requests);
	now->requests = dup(fd);
}

/* A request of the back end: rightly made, but for what the input makes of it. */
static void back_end_request(void)
{
	uint32_t m[5] = { bytes[0] & 1 ? 2 : bytes[0], 1u | (bytes[1] & 12u), bytes[2] & 15u };

	if (bytes[3] & 1)
		memcpy((uint8_t *)m + bytes[3] % 8, bytes, 4);
	if (now->requests >= 0)
		(void)!send(now->requests, m, 12 + (bytes[4] & 8u), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (bytes[4] & 1)
		shutdown(now->requests, SHUT_RDWR);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *h, int flags)
{
	static struct reply r;
	size_t n = 0;
	bool needs;
	enum answer how = after ? RIGHT : answer;

	(void)flags;
	memset(&r, 0, sizeof(r));
	for (unsigned i = 0; i < h->msg_iovlen; i++) {
		if (h->msg_iov[i].iov_len > sizeof(r) - n)
			abort();
		if (h->msg_iov[i].iov_len)
			memcpy((uint8_t *)&r + n, h->msg_iov[i].iov_base, h->msg_iov[i].iov_len);
		n += h->msg_iov[i].iov_len;
	}
	if (r.size + 12 != n || fd < 0)
		abort();
	if (after)
		after--;
	else
		answer = RIGHT;
	if (r.request == 21) /* SET_BACKEND_REQ_FD */
		keep_requests(h);
	needs = r.flags & 8;
	r.flags = 1 | 4;
	do_answer(&r, how, right_answer(&r, needs));
	return (ssize_t)n;
}

/* ---- the machine ---- */

/* The back end may keep track of time: it never passes. */
static void run(void)
{
	struct vhost_user_device *d = now->dev->state;

	d->again_ns = 0;
	threads_run();
	threads_run();
}

/* Somebody waits for the thread, which is this one. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
	(void)c;
	(void)t;
	pthread_mutex_unlock(m);
	run();
	pthread_mutex_lock(m);
	return ETIMEDOUT;
}

static void make(struct target *t)
{
	struct mem_file f = { memfd_create("ram", MFD_CLOEXEC), NULL, 2 * RING_MEM };
	struct device_env env = { .devices = &t->list, .cpus = 2, .devfn = FAKE_DEVFN };
	struct vhost_user_device *d;
	struct error err = { 0 };

	if (fake_driver_init(&t->driver) || ftruncate(f.fd, 2 * RING_MEM) ||
	    mmap(t->driver.r.ram, 2 * RING_MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 f.fd, 0) == MAP_FAILED)
		abort();
	f.host = t->driver.r.ram;
	guest_mem_set_file(t->driver.r.mem, &f);
	env.pci = t->driver.root;
	env.bus = &env.pci->bus;
	if (device_create(&t->list, t->class, "/s,queues=2", &err))
		abort();
	t->dev = t->list.first;
	if (t->class->open(t->dev, &env, &err) || t->class->plug(t->dev, &env, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	d = t->dev->state;
	d->back.timeout_ms = d->back.stop_ms = 1;
}

static void back_end_step(struct fake_driver *d, const uint8_t *s)
{
	if (s[0] & 0x80) { /* a command on the card's control queue */
		memcpy(d->r.ram + RING_DATA, s + 1, 6);
		driver_command(d, 4, RING_DATA, 2 + (s[0] >> 4 & 7), RING_DATA + 0x100);
		run();
		return;
	}
	answer = s[1] & 7;
	after = s[1] >> 3;
	memcpy(bytes, s + 2, sizeof(bytes));
	if ((s[0] & 0x60) == 0x40 && now->back >= 0)
		shutdown(now->back, SHUT_RDWR);
	if ((s[0] & 0x60) == 0x60)
		back_end_request();
	if ((s[0] & 0x60) == 0x20 && now->back >= 0)
		send_fds(bytes, sizeof(bytes), bytes[0] % 16);
	if (s[0] & 0x10)
		driver_go(d);
	run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fake_driver *d;

	if (len < STEP_BYTES)
		return 0;
	log_set_level(LOG_ERROR);
	threads_poll = true;
	now = &targets[data[0] & 1];
	answer = RIGHT;
	after = 0;
	d = &now->driver;
	if (!now->dev)
		make(now);
	virtio_begin(d, data[0] & 1 ? 5 : 2,
		     data[0] & 1 ? 1u << 17 | 1u << 23 | (data[0] & 2 ? 1u << 22 : 0) : 1u << 9);
	run();
	for (size_t i = 1; i + STEP_BYTES <= len && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES) {
		if ((data[i] & 15) >= STEP_OTHER)
			back_end_step(d, data + i);
		else
			virtio_step(d, data + i);
	}
	answer = RIGHT;
	run();
	return 0;
}
