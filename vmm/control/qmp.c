/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients. Each has the bytes that were read and not looked at, a stream that cuts them into
 * requests, and the output that it has not taken yet. A client that does not read its answers is
 * not read from any more; one that lets events pile up beyond a bound is disconnected.
 *
 * One turn of the loop reads at most IN_SIZE bytes of a client, so that none keeps the loop.
 */
#include "vmm/control/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "devices/backend/unix_listener.h"
#include "vmm/control/json_stream.h"
#include "vmm/control/qmp_commands.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"
#include "vmm/core/nbio.h"

#define IN_SIZE	    4096u
#define OUT_ENOUGH  (256 * KiB) /* unread answers: no more requests are read */
#define OUT_MAX	    (4 * MiB)	/* unread answers and events: the client is disconnected */
#define BACKLOG	    16
#define LAST_MS	    200u	   /* for all clients together, when the machine ends */
#define LOOK_NS	    10000000ull	   /* how often it is asked whether the machine is quiet, ... */
#define LOOK_MAX_NS 30000000000ull /* ... and how long */

struct qmp_client {
	struct qmp *q;
	struct qmp_client *next;
	struct nbio io;
	struct ev_source *source;
	struct json_stream stream;
	char in[IN_SIZE];
	size_t in_at, in_len;
	char *out;
	size_t out_len, out_cap;
	bool negotiated;
	bool ended; /* it sends no more */
	bool lost;  /* to be dropped */
	/* The answer to a command that waits until the machine is quiet; NULL: none. */
	json_t *waiting;
	uint64_t wait_until; /* ns */
	/* A command that the machine answers later; 0: none. */
	uint64_t ticket;
	json_t *ticket_id; /* the request's id; NULL: none */
};

struct qmp {
	struct evloop *loop;
	const struct qmp_machine *machine;
	struct unix_listener listener[QMP_MAX_SOCKETS];
	unsigned n_listeners, n_clients;
	struct qmp_client *clients;
	uint64_t tickets;      /* given out so far */
	struct ev_timer *look; /* for those that wait */
	struct ev_call sweep;  /* drops the clients that are lost */
	struct ev_call go_on;  /* reads on where an answer was waited for */
};

/* ---- output ---- */

static void lose(struct qmp_client *c)
{
	c->lost = true;
	evloop_set_events(c->source, 0);
	evloop_call(c->q->loop, &c->q->sweep);
}

static bool may_read(const struct qmp_client *c)
{
	return !c->lost && !c->waiting && !c->ticket && c->out_len < OUT_ENOUGH;
}

static void watch(struct qmp_client *c)
{
	if (c->lost)
		return;
	evloop_set_events(c->source,
			  (may_read(c) && !c->ended ? EPOLLIN : 0) | (c->out_len ? EPOLLOUT : 0));
	/* All that it asked is answered, and all answers are read. */
	if (c->ended && !c->out_len && !c->waiting && !c->ticket && c->in_at == c->in_len)
		lose(c);
}

static void flush(struct qmp_client *c)
{
	ssize_t n = c->out_len ? nbio_write(&c->io, c->out, c->out_len) : 0;

	if (n < 0 && n != -EAGAIN) {
		lose(c);
		return;
	}
	if (n <= 0)
		return;
	c->out_len -= (size_t)n;
	memmove(c->out, c->out + n, c->out_len);
}

static bool reserve(struct qmp_client *c, size_t n)
{
	size_t cap = c->out_cap ? c->out_cap : 1024;
	char *out;

	/* One answer may be longer, if it is all there is: statistics of many processors. */
	if (c->out_len && c->out_len + n > OUT_MAX)
		return false;
	while (cap < c->out_len + n)
		cap *= 2;
	if (cap == c->out_cap)
		return true;
	out = realloc(c->out, cap);
	if (!out)
		return false;
	c->out = out;
	c->out_cap = cap;
	return true;
}

/* One object a line: some clients read lines. Takes o. */
static void send_object(struct qmp_client *c, json_t *o)
{
	scoped_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;

	json_decref(o);
	if (c->lost)
		return;
	if (!text || !reserve(c, n + 2)) {
		log_warn("--qmp: a client does not read its events, and is disconnected");
		lose(c);
		return;
	}
	memcpy(c->out + c->out_len, text, n);
	memcpy(c->out + c->out_len + n, "\r\n", 2);
	c->out_len += n + 2;
	flush(c);
}

/* ---- requests ---- */

static const char *error_class(int code)
{
	switch (code) {
	case -ENOSYS:
		return "CommandNotFound";
	case -ENODEV:
		return "DeviceNotFound";
	default:
		return "GenericError";
	}
}

static json_t *error_answer(const struct error *err)
{
	json_t *desc = json_string(err->text);

	/* A request's own words may be in it, cut anywhere: then it is not UTF-8 any more. */
	return json_pack("{s: {s: s, s: o}}", "error", "class", error_class(err->code), "desc",
			 desc ? desc : json_string("the request is not valid"));
}

static void set_id(json_t *answer, json_t *id)
{
	if (answer && id)
		json_object_set(answer, "id", id);
}

/* Takes result; NULL: the error is the answer. */
static json_t *make_answer(json_t *result, const struct error *err, json_t *id)
{
	json_t *answer = result ? json_pack("{s: o}", "return", result) : error_answer(err);

	set_id(answer, id);
	return answer;
}

static void handle(struct qmp_client *c, const json_t *request)
{
	const struct qmp_machine *m = c->q->machine;
	struct qmp_call call = { .machine = m,
				 .negotiated = c->negotiated,
				 .ticket = ++c->q->tickets };
	json_t *id = json_object_get(request, "id");
	const struct qmp_command *command;
	struct error err = { 0 };
	json_t *result = qmp_execute(&call, request, &command, &err), *answer;

	c->negotiated = call.negotiated;
	if (!result && err.code == -EINPROGRESS) {
		c->ticket = call.ticket;
		c->ticket_id = json_incref(id);
		return;
	}
	answer = make_answer(result, &err, id);
	if (result && command->waits_quiet && !m->quiet(m->opaque)) {
		c->waiting = answer;
		c->wait_until = evloop_now_ns() + LOOK_MAX_NS;
		ev_timer_set(c->q->look, evloop_now_ns() + LOOK_NS);
		return;
	}
	send_object(c, answer);
}

static void refuse(struct qmp_client *c, const char *why)
{
	struct error err = { 0 };

	error_set(&err, -EINVAL, "%s", why);
	send_object(c, error_answer(&err));
}

/* What was read, as long as the client takes the answers. */
static void work(struct qmp_client *c)
{
	while (may_read(c) && c->in_at < c->in_len) {
		const char *why = "";
		json_t *request;
		size_t used;

		switch (json_stream_take(&c->stream, c->in + c->in_at, c->in_len - c->in_at, &used,
					 &request, &why)) {
		case JSON_STREAM_OBJECT:
			handle(c, request);
			json_decref(request);
			break;
		case JSON_STREAM_BAD:
			refuse(c, why);
			break;
		case JSON_STREAM_FULL:
			refuse(c, "the request is too long");
			lose(c);
			return;
		case JSON_STREAM_MORE:
			break;
		}
		c->in_at += used;
	}
}

static void on_client(void *arg, int fd, uint32_t events)
{
	struct qmp_client *c = arg;
	ssize_t n;

	(void)fd;
	if (events & EPOLLOUT)
		flush(c);
	work(c);
	if (may_read(c) && !c->ended && c->in_at == c->in_len &&
	    (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		n = nbio_read(&c->io, c->in, sizeof(c->in));
		c->in_at = 0;
		c->in_len = n > 0 ? (size_t)n : 0;
		c->ended = n == 0;
		if (n < 0 && n != -EAGAIN)
			lose(c);
		work(c);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		lose(c); /* nobody is there to read the answers */
	}
	watch(c);
}

/* ---- waiting for an answer ---- */

static void go_on(void *arg)
{
	struct qmp *q = arg;
	struct qmp_client *c;

	for (c = q->clients; c; c = c->next) {
		if (c->lost)
			continue;
		work(c);
		watch(c);
	}
}

static void look(void *arg)
{
	struct qmp *q = arg;
	bool quiet = q->machine->quiet(q->machine->opaque), again = false;
	struct qmp_client *c;

	for (c = q->clients; c; c = c->next) {
		json_t *answer = c->waiting;

		if (!answer)
			continue;
		if (!quiet && evloop_now_ns() < c->wait_until) {
			again = true;
			continue;
		}
		c->waiting = NULL;
		if (quiet) {
			send_object(c, answer);
		} else {
			refuse(c, "the processors stand still, but a disk's storage does not "
				  "answer");
			json_decref(answer);
		}
		work(c);
		watch(c);
	}
	if (again)
		ev_timer_set(q->look, evloop_now_ns() + LOOK_NS);
}

/* ---- clients come and go ---- */

static void pause_listeners(struct qmp *q)
{
	unsigned i;

	for (i = 0; i < q->n_listeners; i++)
		unix_listener_pause(&q->listener[i], q->n_clients >= QMP_MAX_CLIENTS);
}

static void free_client(struct qmp_client *c)
{
	evloop_del_fd(c->source);
	nbio_close(&c->io);
	json_stream_free(&c->stream);
	json_decref(c->waiting);
	json_decref(c->ticket_id);
	free(c->out);
	free(c);
}

static void sweep(void *arg)
{
	struct qmp *q = arg;
	struct qmp_client **at = &q->clients, *c;

	while ((c = *at)) {
		if (!c->lost) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		free_client(c);
		q->n_clients--;
	}
	pause_listeners(q);
}

static void on_connect(void *arg, int fd)
{
	struct qmp_client *c = calloc(1, sizeof(*c));
	struct qmp *q = arg;

	if (!c) {
		close(fd);
		return;
	}
	c->q = q;
	c->io = nbio_own(fd);
	c->source = evloop_add_fd(q->loop, fd, EPOLLIN, on_client, c);
	if (!c->source) {
		free_client(c);
		return;
	}
	c->next = q->clients;
	q->clients = c;
	q->n_clients++;
	pause_listeners(q);
	send_object(c, json_pack("{s: {s: o, s: []}}", "QMP", "version", qmp_version(),
				 "capabilities"));
	watch(c);
}

/* ---- the server ---- */

struct qmp *qmp_new(struct evloop *loop, const struct qmp_machine *machine)
{
	struct qmp *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->loop = loop;
	q->machine = machine;
	q->sweep = (struct ev_call){ .fn = sweep, .arg = q };
	q->go_on = (struct ev_call){ .fn = go_on, .arg = q };
	q->look = evloop_add_timer(loop, look, q);
	if (!q->look) {
		free(q);
		return NULL;
	}
	return q;
}

int qmp_listen(struct qmp *q, const char *path, struct error *err)
{
	int ret;

	if (q->n_listeners == QMP_MAX_SOCKETS)
		return error_set(err, -ENOSPC, "at most %u sockets", QMP_MAX_SOCKETS);
	ret = unix_listener_open(&q->listener[q->n_listeners], q->loop, path, BACKLOG, true,
				 on_connect, q, err);
	if (ret == 0)
		q->n_listeners++;
	return ret;
}

const char qmp_event_names[] =
	"STOP RESUME RESET POWERDOWN SHUTDOWN DEVICE_DELETED DEVICE_UNPLUG_GUEST_ERROR "
	"X_MINIVMM_DEVICE_TAKEN X_MINIVMM_DEVICE_ERROR X_MINIVMM_DEVICE_RECOVERED "
	"X_MINIVMM_BACKEND_LOST X_MINIVMM_BACKEND_BACK ";

static json_t *timestamp(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s: I, s: I}", "seconds", (json_int_t)now.tv_sec, "microseconds",
			 (json_int_t)(now.tv_nsec / 1000));
}

void qmp_event(struct qmp *q, const char *name, json_t *data)
{
	struct qmp_client *c;
	json_t *event;

	if (!q) {
		json_decref(data);
		return;
	}
	event = json_pack("{s: o, s: s, s: o}", "timestamp", timestamp(), "event", name, "data",
			  data ? data : json_object());
	for (c = q->clients; c && event; c = c->next) {
		if (!c->negotiated)
			continue;
		send_object(c, json_incref(event));
		watch(c);
	}
	json_decref(event);
}

void qmp_answer(struct qmp *q, uint64_t ticket, json_t *result, const struct error *err)
{
	struct qmp_client *c = q ? q->clients : NULL;
	json_t *id;

	while (c && (c->lost || c->ticket != ticket))
		c = c->next;
	if (!c) {
		json_decref(result);
		return;
	}
	id = c->ticket_id;
	c->ticket = 0;
	c->ticket_id = NULL;
	send_object(c, make_answer(result, err, id));
	json_decref(id);
	watch(c);
	/* Not now: the caller may be in the middle of something, such as the machine's end. */
	evloop_call(q->loop, &q->go_on);
}

void qmp_free(struct qmp *q)
{
	uint64_t end = evloop_now_ns() + LAST_MS * 1000000ull, now;
	struct qmp_client *c;

	if (!q)
		return;
	evloop_cancel(q->loop, &q->sweep);
	evloop_cancel(q->loop, &q->go_on);
	evloop_del_timer(q->look);
	while (q->n_listeners)
		unix_listener_close(&q->listener[--q->n_listeners]);
	while ((c = q->clients)) {
		q->clients = c->next;
		now = evloop_now_ns();
		if (!c->lost && c->out_len)
			nbio_write_all(&c->io, c->out, c->out_len,
				       now < end ? (unsigned)((end - now) / 1000000) : 0);
		free_client(c);
	}
	free(q);
}
