/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/control/qmp_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control/json_stream.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"

#define IN_SIZE	    65536u
#define ANSWER_MAX  (64u << 20)
#define KEPT_MAX    4096u /* events that nobody has asked for yet */
#define POLL_MAX_MS 60000

struct qmp_peer {
	int fd;
	struct json_stream stream;
	char in[IN_SIZE];
	size_t at, len;
	json_t *events; /* an array */
};

static int gone(struct error *err)
{
	return error_set(err, -EPIPE, "the machine has closed its control socket");
}

static int too_late(struct error *err)
{
	return error_set(err, -ETIMEDOUT, "the machine does not answer in time");
}

/* Waits until the socket can be read or written. */
static int wait_for(const struct qmp_peer *p, short events, uint64_t deadline, struct error *err)
{
	struct pollfd fd = { .fd = p->fd, .events = events };

	for (;;) {
		uint64_t now = evloop_now_ns(), left = deadline > now ? deadline - now : 0;
		uint64_t ms = left / 1000000 + (left > 0);
		int n = poll(&fd, 1, ms < POLL_MAX_MS ? (int)ms : POLL_MAX_MS);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set(err, -errno, "poll: %s", strerror(errno));
		if (left == 0)
			return too_late(err);
	}
}

static int send_text(struct qmp_peer *p, const char *text, size_t n, uint64_t deadline,
		     struct error *err)
{
	while (n > 0) {
		ssize_t done = send(p->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (done > 0) {
			text += done;
			n -= (size_t)done;
		} else if (errno != EAGAIN && errno != EINTR) {
			return gone(err);
		} else if (wait_for(p, POLLOUT, deadline, err) < 0) {
			return err->code;
		}
	}
	return 0;
}

static int refill(struct qmp_peer *p, uint64_t deadline, struct error *err)
{
	ssize_t n;

	if (wait_for(p, POLLIN, deadline, err) < 0)
		return err->code;
	n = recv(p->fd, p->in, sizeof(p->in), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return gone(err);
	p->at = 0;
	p->len = (size_t)n;
	return 0;
}

/* The next object, whatever it is. */
static json_t *receive(struct qmp_peer *p, uint64_t deadline, struct error *err)
{
	for (;;) {
		const char *why = NULL;
		json_t *o = NULL;
		size_t used;

		/* Also if it sends without end what nobody has asked for. */
		if (evloop_now_ns() > deadline) {
			too_late(err);
			return NULL;
		}
		if (p->at == p->len && refill(p, deadline, err) < 0)
			return NULL;
		switch (json_stream_take(&p->stream, p->in + p->at, p->len - p->at, &used, &o,
					 &why)) {
		case JSON_STREAM_OBJECT:
			p->at += used;
			return o;
		case JSON_STREAM_MORE:
			p->at += used;
			break;
		case JSON_STREAM_FULL:
			error_set(err, -EMSGSIZE, "its answer is too long");
			return NULL;
		case JSON_STREAM_BAD:
			error_set(err, -EPROTO, "what it sends is not QMP");
			return NULL;
		}
	}
}

static json_t *take_event(json_t *events)
{
	json_t *o = json_incref(json_array_get(events, 0));

	if (o)
		json_array_remove(events, 0);
	return o;
}

json_t *qmp_peer_event(struct qmp_peer *p, uint64_t deadline, struct error *err)
{
	json_t *o = take_event(p->events);

	while (!o) {
		o = receive(p, deadline, err);
		if (!o)
			return NULL;
		if (!json_is_string(json_object_get(o, "event"))) {
			json_decref(o);
			o = NULL;
		}
	}
	return o;
}

/* The answer to what was asked; events are kept. */
static json_t *answer(struct qmp_peer *p, uint64_t deadline, struct error *err)
{
	for (;;) {
		json_t *o = receive(p, deadline, err), *result, *bad;

		if (!o)
			return NULL;
		result = json_incref(json_object_get(o, "return"));
		bad = json_object_get(o, "error");
		if (json_object_get(o, "event") && json_array_size(p->events) < KEPT_MAX)
			json_array_append(p->events, o);
		if (bad) {
			const char *desc = json_string_value(json_object_get(bad, "desc"));

			error_set(err, -EREMOTEIO, "%s", desc ? desc : "the command failed");
		}
		json_decref(o);
		if (result || bad)
			return result;
	}
}

json_t *qmp_peer_ask(struct qmp_peer *p, const char *command, json_t *args, uint64_t deadline,
		     struct error *err)
{
	json_t *o = json_pack("{s: s}", "execute", command);
	scoped_free char *text = NULL;

	if (o && args)
		json_object_set_new(o, "arguments", args);
	else
		json_decref(args);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text) {
		error_set(err, -EINVAL, "%s is not a command", command);
		return NULL;
	}
	if (send_text(p, text, strlen(text), deadline, err) < 0)
		return NULL;
	return answer(p, deadline, err);
}

/* A machine with too many clients does not accept for now: that is tried again. */
static int connect_to(struct qmp_peer *p, const char *path, uint64_t deadline, struct error *err)
{
	const struct timespec pause = { 0, 20000000 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path))
		return error_set(err, -ENAMETOOLONG, "the path of a socket has at most %zu bytes",
				 sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	while (p->fd >= 0) {
		if (connect(p->fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
			return 0;
		if (errno != EAGAIN || evloop_now_ns() >= deadline)
			break;
		nanosleep(&pause, NULL);
	}
	if (errno == ECONNREFUSED)
		return error_set(err, -errno, "no machine listens on it any more");
	if (errno == EAGAIN)
		return error_set(err, -errno, "the machine has too many clients: try again");
	return error_set(err, -errno, "%s", strerror(errno));
}

static int negotiate(struct qmp_peer *p, uint64_t deadline, struct error *err)
{
	json_t *o = receive(p, deadline, err);
	bool qmp = json_object_get(o, "QMP");

	if (!o)
		return err->code;
	json_decref(o);
	if (!qmp)
		return error_set(err, -EPROTO, "what it sends is not QMP");
	o = qmp_peer_ask(p, "qmp_capabilities", NULL, deadline, err);
	json_decref(o);
	return o ? 0 : err->code;
}

struct qmp_peer *qmp_peer_open(const char *path, uint64_t deadline, struct error *err)
{
	struct qmp_peer *p = calloc(1, sizeof(*p));

	if (!p) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	p->fd = -1;
	p->events = json_array();
	p->stream.max = ANSWER_MAX;
	if (connect_to(p, path, deadline, err) == 0 && negotiate(p, deadline, err) == 0)
		return p;
	error_prefix(err, "%s", path);
	qmp_peer_close(p);
	return NULL;
}

void qmp_peer_close(struct qmp_peer *p)
{
	if (!p)
		return;
	cleanup_close(&p->fd);
	json_stream_free(&p->stream);
	json_decref(p->events);
	free(p);
}

pid_t qmp_peer_pid(const struct qmp_peer *p)
{
	struct ucred c = { 0 };
	socklen_t len = sizeof(c);

	return getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 ? c.pid : 0;
}
