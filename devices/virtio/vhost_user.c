/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of vhost-user. A message is a header, up to 256 bytes of payload, and descriptors that
 * come with its first bytes. All numbers have the byte order of the host.
 *
 * GET_* requests have a reply. With REPLY_ACK, every other request asks for one, too: a number, 0
 * for success. So an error is known at the request that has caused it.
 */
#include "devices/virtio/vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/error.h"
#include "vmm/core/evloop.h"
#include "vmm/core/mem.h"

#define BIT(n)	      (1ull << (n))
#define VERSION	      1u
#define FLAG_VERSION  3u
#define FLAG_REPLY    BIT(2)
#define FLAG_NEEDS    BIT(3) /* a reply is wanted */
#define REGIONS_MAX   8u     /* each back end takes so many */
#define CONFIG_MAX    256u
#define FDS_MAX	      REGIONS_MAX
#define SIGNALS_EVERY 100 /* ms, while we start */

#define PROTOCOL                                                                   \
	(BIT(VHOST_USER_MQ) | BIT(VHOST_USER_REPLY_ACK) | BIT(VHOST_USER_CONFIG) | \
	 BIT(VHOST_USER_INFLIGHT) | BIT(VHOST_USER_BACKEND_REQ))

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
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

static const char *const request_names[] = {
	[GET_FEATURES] = "GET_FEATURES",
	[SET_FEATURES] = "SET_FEATURES",
	[SET_OWNER] = "SET_OWNER",
	[SET_MEM_TABLE] = "SET_MEM_TABLE",
	[SET_VRING_NUM] = "SET_VRING_NUM",
	[SET_VRING_ADDR] = "SET_VRING_ADDR",
	[SET_VRING_BASE] = "SET_VRING_BASE",
	[GET_VRING_BASE] = "GET_VRING_BASE",
	[SET_VRING_KICK] = "SET_VRING_KICK",
	[SET_VRING_CALL] = "SET_VRING_CALL",
	[SET_VRING_ERR] = "SET_VRING_ERR",
	[GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
	[SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
	[GET_QUEUE_NUM] = "GET_QUEUE_NUM",
	[SET_VRING_ENABLE] = "SET_VRING_ENABLE",
	[SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
	[GET_CONFIG] = "GET_CONFIG",
	[GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
	[SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
};

#define CONFIG_CHANGE 2u /* a request of the back end */

struct header {
	uint32_t request, flags, size;
};

struct ring_state {
	uint32_t index, num;
};

struct ring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct mem_region {
	uint64_t gpa, size, user, offset;
};

struct mem_table {
	uint32_t n, padding;
	struct mem_region region[REGIONS_MAX];
};

struct config {
	uint32_t offset, size, flags;
	uint8_t data[CONFIG_MAX];
};

struct inflight {
	uint64_t size, offset;
	uint16_t queues, queue_size;
} __attribute__((packed));

static_assert(sizeof(struct header) == 12, "vhost-user.rst, Header");
static_assert(sizeof(struct ring_addr) == 40, "vhost-user.rst, A vring address description");
static_assert(sizeof(struct mem_region) == 32, "vhost-user.rst, Memory region description");
static_assert(sizeof(struct inflight) == 20, "vhost-user.rst, Inflight description");

/* What is sent and what comes back. */
struct message {
	enum request request;
	const void *data;
	size_t size;
	const int *fds;
	unsigned n_fds;
	void *reply; /* NULL: none but an acknowledgement */
	size_t reply_size;
	int *reply_fd; /* NULL: none is expected */
	unsigned timeout_ms;
};

/* ---- bytes ---- */

static bool signal_pends(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
					 sigismember(&set, SIGHUP));
}

static int sock_wait(const struct vhost_user *u, int sock, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = events };
		uint64_t now = evloop_now_ns();
		int ms = now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0;

		if (u->starting && ms > SIGNALS_EVERY)
			ms = SIGNALS_EVERY;
		if (poll(&p, 1, ms) > 0)
			return 0;
		if (u->starting && signal_pends())
			return -EINTR;
		if (evloop_now_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

/* The descriptors go with the first byte. */
static ssize_t sock_send_some(struct vhost_user *u, struct iovec *iov, const struct message *m,
			      bool first)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} c = { .buf = { 0 } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t len = m->n_fds * sizeof(int);

	if (first && m->n_fds) {
		c.h.cmsg_len = CMSG_LEN(len);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&c.h), m->fds, len);
		h.msg_control = c.buf;
		h.msg_controllen = CMSG_SPACE(len);
	}
	return sendmsg(u->sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int sock_send(struct vhost_user *u, const struct header *h, const struct message *m,
		     uint64_t deadline)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)h, sizeof(*h) },
				{ (void *)(uintptr_t)m->data, m->size } };
	bool first = true;

	while (iov[0].iov_len + iov[1].iov_len > 0) {
		ssize_t n = sock_send_some(u, iov, m, first);
		int ret;

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		ret = n < 0 ? sock_wait(u, u->sock, POLLOUT, deadline) : 0;
		if (ret)
			return ret;
		first = first && n <= 0;
		for (unsigned i = 0; i < 2 && n > 0; i++) {
			size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return 0;
}

/* Keeps one descriptor in *keep, where one is expected, and closes all others. */
static void take_fds(struct msghdr *h, int *keep)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (keep && *keep < 0)
				*keep = fd;
			else
				close(fd);
		}
	}
}

/* All of it, or an error. */
static int sock_recv(const struct vhost_user *u, int sock, void *data, size_t size, int *fd,
		     uint64_t deadline)
{
	while (size) {
		char control[CMSG_SPACE(FDS_MAX * sizeof(int))] __attribute__((aligned(8)));
		struct iovec iov = { data, size };
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int ret = 0;

		if (n == 0)
			return -ECONNRESET;
		if (n > 0)
			take_fds(&h, fd);
		else if (errno == EAGAIN || errno == EINTR)
			ret = sock_wait(u, sock, POLLIN, deadline);
		else
			ret = -errno;
		if (ret)
			return ret;
		if (n > 0) {
			data = (char *)data + n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* ---- messages ---- */

static int request_failed(const struct message *m, int ret, struct error *err)
{
	const char *name = request_names[m->request];

	switch (ret) {
	case -ECONNRESET:
	case -EPIPE:
		return error_set(err, -ECONNRESET, "the back end has closed the connection at %s",
				 name);
	case -ETIMEDOUT:
		return error_set(
			err, ret, "the back end has not answered %s within %u s%s", name,
			m->timeout_ms / 1000,
			m->request == GET_FEATURES ? ": it may be in use by another machine" : "");
	case -EPROTO:
		return error_set(err, ret, "the answer to %s is not one of a vhost-user back end",
				 name);
	case -EREMOTEIO:
		return error_set(err, ret, "the back end has refused %s", name);
	case -EINTR:
		return error_set(err, ret, "stopped by a signal");
	}
	return error_set(err, ret, "%s: %s", name, strerror(-ret));
}

static int reply_read(struct vhost_user *u, const struct message *m, void *reply, size_t size,
		      uint64_t deadline)
{
	struct header h;
	int fd = -1, ret = sock_recv(u, u->sock, &h, sizeof(h), m->reply_fd ? &fd : NULL, deadline);

	if (!ret && (h.request != m->request || (h.flags & FLAG_VERSION) != VERSION ||
		     !(h.flags & FLAG_REPLY) || h.size != size))
		ret = -EPROTO;
	if (!ret)
		ret = sock_recv(u, u->sock, reply, size, m->reply_fd ? &fd : NULL, deadline);
	if (ret)
		cleanup_close(&fd);
	else if (m->reply_fd)
		*m->reply_fd = fd;
	return ret;
}

static int message_run(struct vhost_user *u, const struct message *m)
{
	bool ack = !m->reply && vhost_user_has(u, VHOST_USER_REPLY_ACK);
	struct header h = { m->request, VERSION | (ack ? FLAG_NEEDS : 0), (uint32_t)m->size };
	uint64_t deadline = evloop_now_ns() + m->timeout_ms * 1000000ull, refused = 0;
	int ret = sock_send(u, &h, m, deadline);

	if (!ret && m->reply)
		ret = reply_read(u, m, m->reply, m->reply_size, deadline);
	else if (!ret && ack)
		ret = reply_read(u, m, &refused, sizeof(refused), deadline);
	return ret ? ret : refused ? -EREMOTEIO : 0;
}

static int message_call(struct vhost_user *u, struct message m, struct error *err)
{
	int ret;

	if (!m.timeout_ms)
		m.timeout_ms = u->timeout_ms;
	ret = u->sock < 0 ? -ENOTCONN : message_run(u, &m);
	return ret ? request_failed(&m, ret, err) : 0;
}

#define CALL(u, err, ...) message_call(u, (struct message){ __VA_ARGS__ }, err)

static int get_u64(struct vhost_user *u, enum request r, uint64_t *value, struct error *err)
{
	return CALL(u, err, .request = r, .reply = value, .reply_size = sizeof(*value));
}

static int set_u64(struct vhost_user *u, enum request r, uint64_t value, struct error *err)
{
	return CALL(u, err, .request = r, .data = &value, .size = sizeof(value));
}

static int set_state(struct vhost_user *u, enum request r, unsigned index, uint32_t num,
		     struct error *err)
{
	const struct ring_state s = { index, num };

	return CALL(u, err, .request = r, .data = &s, .size = sizeof(s));
}

static int set_eventfd(struct vhost_user *u, enum request r, unsigned index, int fd,
		       struct error *err)
{
	const uint64_t value = index;

	return CALL(u, err, .request = r, .data = &value, .size = sizeof(value), .fds = &fd,
		    .n_fds = 1);
}

/* ---- the connection ---- */

void vhost_user_init(struct vhost_user *u)
{
	*u = (struct vhost_user){ .sock = -1,
				  .requests = -1,
				  .timeout_ms = VHOST_USER_REPLY_MS,
				  .stop_ms = VHOST_USER_STOP_MS };
	pthread_mutex_init(&u->lock, NULL);
}

void vhost_user_close(struct vhost_user *u)
{
	scoped_lock(&u->lock);

	cleanup_close(&u->sock);
	cleanup_close(&u->requests);
	u->sock = u->requests = -1;
}

void vhost_user_destroy(struct vhost_user *u)
{
	vhost_user_close(u);
	pthread_mutex_destroy(&u->lock);
}

void vhost_user_abort(struct vhost_user *u)
{
	scoped_lock(&u->lock);

	u->aborted = true;
	if (u->sock >= 0)
		shutdown(u->sock, SHUT_RDWR);
	if (u->requests >= 0)
		shutdown(u->requests, SHUT_RDWR);
}

static int sock_open(struct vhost_user *u)
{
	scoped_lock(&u->lock);

	u->sock = u->aborted ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return u->aborted ? -ECANCELED : u->sock < 0 ? -errno : 0;
}

static int connect_failed(const char *path, int ret, struct error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return error_set(err, -ENOTSOCK, "this is not a socket");
	switch (ret) {
	case -ENOENT:
		return error_set(err, ret, "there is no such socket: start the back end first");
	case -ECONNREFUSED:
		return error_set(err, ret,
				 "nobody listens on this socket any more: start the back "
				 "end again");
	case -EACCES:
		return error_set(err, ret,
				 "this user may not connect to it: change the owner or "
				 "the mode of the socket and its folders");
	case -EAGAIN:
		return error_set(err, ret,
				 "the back end does not take another client: it may be in "
				 "use by another machine");
	}
	return error_set(err, ret, "%s", strerror(-ret));
}

static int sock_connect(struct vhost_user *u, const char *path, struct error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int ret;

	if (strlen(path) >= sizeof(a.sun_path))
		return error_set(err, -ENAMETOOLONG,
				 "the path of a socket has at most %zu bytes: use a shorter one",
				 sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path));
	ret = sock_open(u);
	if (!ret && connect(u->sock, (struct sockaddr *)&a, sizeof(a)))
		ret = -errno;
	return ret ? connect_failed(path, ret, err) : 0;
}

/* Only news of its configuration are of interest. */
static int open_requests(struct vhost_user *u, struct error *err)
{
	int s[2], ret;

	if (!vhost_user_has(u, VHOST_USER_BACKEND_REQ) || !vhost_user_has(u, VHOST_USER_CONFIG))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s))
		return error_set(err, -errno, "socketpair: %s", strerror(errno));
	ret = CALL(u, err, .request = SET_BACKEND_REQ_FD, .fds = &s[1], .n_fds = 1);
	close(s[1]);
	pthread_mutex_lock(&u->lock);
	u->requests = s[0];
	pthread_mutex_unlock(&u->lock);
	return ret;
}

/* Without protocol features, there is one queue, and no configuration. */
static int negotiate(struct vhost_user *u, struct error *err)
{
	uint64_t queues = 1, protocol = 0;
	int ret = get_u64(u, GET_FEATURES, &u->features, err);
	bool extended = u->features & BIT(VHOST_USER_F_PROTOCOL);

	if (!ret && extended)
		ret = get_u64(u, GET_PROTOCOL_FEATURES, &protocol, err);
	protocol &= PROTOCOL;
	if (!ret && extended)
		ret = set_u64(u, SET_PROTOCOL_FEATURES, protocol, err);
	u->protocol = ret ? 0 : protocol;
	if (!ret)
		ret = CALL(u, err, .request = SET_OWNER);
	if (!ret)
		ret = open_requests(u, err);
	if (!ret && vhost_user_has(u, VHOST_USER_MQ))
		ret = get_u64(u, GET_QUEUE_NUM, &queues, err);
	u->queues = queues > UINT16_MAX ? UINT16_MAX : (unsigned)queues;
	return ret;
}

int vhost_user_connect(struct vhost_user *u, const char *path, struct error *err)
{
	int ret;

	u->features = u->protocol = 0;
	ret = sock_connect(u, path, err);
	if (!ret)
		ret = negotiate(u, err);
	if (ret)
		vhost_user_close(u);
	return ret;
}

/* ---- requests ---- */

int vhost_user_get_config(struct vhost_user *u, void *config, size_t size, struct error *err)
{
	const size_t head = offsetof(struct config, data);
	struct config c = { .size = (uint32_t)size }, got;
	int ret = CALL(u, err, .request = GET_CONFIG, .data = &c, .size = head + size,
		       .reply = &got, .reply_size = head + size);

	if (ret)
		return ret;
	if (got.offset != 0 || got.size != size)
		return error_set(err, -EPROTO, "the back end has not sent its configuration");
	memcpy(config, got.data, size);
	return 0;
}

int vhost_user_set_features(struct vhost_user *u, uint64_t features, struct error *err)
{
	features |= u->features & BIT(VHOST_USER_F_PROTOCOL);
	return set_u64(u, SET_FEATURES, features, err);
}

struct add_regions {
	struct mem_table table;
	struct mem_file file;
};

static int region_add(void *arg, const struct mem_range *r)
{
	struct add_regions *a = arg;
	uint64_t offset = (uint64_t)((const char *)r->host - a->file.host);

	if (r->kind != MEM_RAM)
		return 0;
	if (!range_within(offset, r->size, 0, a->file.size))
		return -EINVAL;
	if (a->table.n == REGIONS_MAX)
		return -E2BIG;
	a->table.region[a->table.n++] = (struct mem_region){ r->gpa, r->size, (uintptr_t)r->host,
							     offset };
	return 0;
}

int vhost_user_set_memory(struct vhost_user *u, const struct guest_mem *mem, struct error *err)
{
	struct add_regions a = { .file = guest_mem_file(mem) };
	int fds[REGIONS_MAX], ret = a.file.fd < 0 ? -EINVAL : guest_mem_each(mem, region_add, &a);

	if (ret)
		return error_set(err, ret, "guest memory cannot be shared: %s", strerror(-ret));
	for (unsigned i = 0; i < a.table.n; i++)
		fds[i] = a.file.fd;
	return CALL(u, err, .request = SET_MEM_TABLE, .data = &a.table,
		    .size = offsetof(struct mem_table, region[a.table.n]), .fds = fds,
		    .n_fds = a.table.n);
}

int vhost_user_get_inflight(struct vhost_user *u, unsigned queues, uint16_t queue_size,
			    struct vhost_user_inflight *f, struct error *err)
{
	const struct inflight want = { .queues = (uint16_t)queues, .queue_size = queue_size };
	struct inflight got;
	int fd = -1,
	    ret = CALL(u, err, .request = GET_INFLIGHT_FD, .data = &want, .size = sizeof(want),
		       .reply = &got, .reply_size = sizeof(got), .reply_fd = &fd);

	if (ret)
		return ret;
	if (fd < 0)
		return error_set(err, -EPROTO, "GET_INFLIGHT_FD: the back end has sent no file");
	*f = (struct vhost_user_inflight){ fd, got.size, got.offset, got.queues, got.queue_size };
	return 0;
}

int vhost_user_set_inflight(struct vhost_user *u, const struct vhost_user_inflight *f,
			    struct error *err)
{
	const struct inflight i = { f->size, f->offset, f->queues, f->queue_size };

	return CALL(u, err, .request = SET_INFLIGHT_FD, .data = &i, .size = sizeof(i),
		    .fds = &f->fd, .n_fds = 1);
}

int vhost_user_set_ring(struct vhost_user *u, const struct vhost_user_ring *r, struct error *err)
{
	const struct ring_addr addr = {
		.index = r->index,
		.desc = (uintptr_t)r->desc,
		.used = (uintptr_t)r->used,
		.avail = (uintptr_t)r->avail,
	};
	int ret = set_state(u, SET_VRING_NUM, r->index, r->size, err);

	if (!ret)
		ret = set_state(u, SET_VRING_BASE, r->index, r->base, err);
	if (!ret)
		ret = CALL(u, err, .request = SET_VRING_ADDR, .data = &addr, .size = sizeof(addr));
	if (!ret)
		ret = set_eventfd(u, SET_VRING_ERR, r->index, r->err, err);
	if (!ret)
		ret = set_eventfd(u, SET_VRING_CALL, r->index, r->call, err);
	return ret ? ret : set_eventfd(u, SET_VRING_KICK, r->index, r->kick, err);
}

/* Without protocol features, rings are always enabled. */
int vhost_user_enable_ring(struct vhost_user *u, unsigned index, bool enable, struct error *err)
{
	if (!(u->features & BIT(VHOST_USER_F_PROTOCOL)))
		return 0;
	return set_state(u, SET_VRING_ENABLE, index, enable, err);
}

int vhost_user_sync(struct vhost_user *u, struct error *err)
{
	uint64_t features;

	return get_u64(u, GET_FEATURES, &features, err);
}

/* The answer, where one is wanted, must fit: the back end has read the earlier ones. */
static int request_answer(const struct vhost_user *u, const struct header *h, uint64_t refused)
{
	struct {
		struct header h;
		uint64_t value;
	} __attribute__((packed))
	r = { { h->request, VERSION | FLAG_REPLY, sizeof(refused) }, refused };

	if (!(h->flags & FLAG_NEEDS))
		return 0;
	return send(u->requests, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(r) ? 0
											  : -EPROTO;
}

int vhost_user_request(struct vhost_user *u, struct error *err)
{
	uint64_t deadline = evloop_now_ns() + u->timeout_ms * 1000000ull;
	uint8_t data[CONFIG_MAX];
	struct header h;
	int ret = sock_recv(u, u->requests, &h, sizeof(h), NULL, deadline);

	if (!ret && ((h.flags & FLAG_VERSION) != VERSION || (h.flags & FLAG_REPLY) ||
		     h.size > sizeof(data)))
		ret = -EPROTO;
	if (!ret)
		ret = sock_recv(u, u->requests, data, h.size, NULL, deadline);
	if (!ret)
		ret = request_answer(u, &h, h.request != CONFIG_CHANGE);
	if (ret)
		return error_set(err, ret, "a request of the back end is not valid: %s",
				 strerror(-ret));
	return h.request == CONFIG_CHANGE;
}

int vhost_user_stop_ring(struct vhost_user *u, unsigned index, uint16_t *base, struct error *err)
{
	const struct ring_state s = { .index = index };
	struct ring_state got;
	int ret = CALL(u, err, .request = GET_VRING_BASE, .data = &s, .size = sizeof(s),
		       .reply = &got, .reply_size = sizeof(got), .timeout_ms = u->stop_ms);

	if (ret)
		return ret;
	if (got.index != index)
		return error_set(err, -EPROTO,
				 "the answer to GET_VRING_BASE is about another queue");
	*base = (uint16_t)got.num;
	return 0;
}
