/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output goes straight to the descriptor, without waiting. What it does not take is kept in a
 * buffer of OUTQ_SIZE, which the main loop writes when the descriptor has room again.
 *
 * A reader that is only slow must lose nothing, so the guest is slowed down: from OUTQ_BUSY on the
 * front end holds its processor (outq_hold(): interruptible by a pause, no lock held), or leaves
 * its requests where they are (outq_ask()). Stopping only the processor that prints is what a
 * serial line with flow control does; dropping at once would lose boot logs, and waiting without
 * end would let a reader stop the guest. A reader that takes nothing for OUTQ_PATIENCE_MS is held
 * to be dead: nobody waits any more, the rest of the buffer fills, and then bytes are dropped. When
 * it reads again, a line says where and how many.
 *
 * The main loop and the held processors all write what is kept, so the patience counts from the
 * last byte that any of them got rid of. That there is room is a coarse sign of life: a pipe has
 * room when a whole page was read, a socket when three quarters were. So whoever waits also looks
 * every LOOK_MS how much lies unread in the descriptor, and less than before is a sign of life,
 * too. A pipe tells it to the byte, a local socket by what was written at once (hence PIECE_MAX).
 * A pseudo terminal does not tell: its reader must read about 4 KiB in OUTQ_PATIENCE_MS.
 */
#include "devices/backend/outq.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/hold.h"
#include "vmm/core/log.h"
#include "vmm/core/outfile.h"

#define PIECE_MAX 4096u /* written at once of what was kept */
#define LOOK_MS	  100u
#define PAUSE_MS  10u	/* when poll() says that there is room and write() that there is none */
/* At the end, for a reader that takes nothing, and for one that takes some. */
#define LAST_QUIET_MS 500u
#define LAST_MS	      2000u

/* What the descriptor has taken and nobody has read; 0 when it does not say. */
static int outq_unread(const struct outq *q)
{
	int n = 0;

	/* FIONREAD is for pipes, which do not know the other. Of a socket it would be the input. */
	if (ioctl(q->out.fd, TIOCOUTQ, &n) < 0 && ioctl(q->out.fd, FIONREAD, &n) < 0)
		return 0;
	return n;
}

static void outq_lives(struct outq *q)
{
	q->moved_ns = evloop_now_ns();
	q->unread = outq_unread(q);
}

static void outq_update(struct outq *q)
{
	bool busy = q->used >= OUTQ_BUSY && !q->stalled;

	if (!q->used)
		q->head = 0;
	if (busy && !q->busy)
		outq_lives(q);
	__atomic_store_n(&q->busy, busy, __ATOMIC_RELAXED);
}

/* Nobody will ever read it. */
static void outq_forget(struct outq *q)
{
	q->used = 0;
	q->dropped = 0;
	q->stalled = false;
	outq_update(q);
}

static size_t ring_put(struct outq *q, const char *p, size_t len)
{
	size_t at = (q->head + q->used) % OUTQ_SIZE, n = OUTQ_SIZE - q->used;

	n = len < n ? len : n;
	if (n <= OUTQ_SIZE - at) {
		memcpy(q->buf + at, p, n);
	} else {
		memcpy(q->buf + at, p, OUTQ_SIZE - at);
		memcpy(q->buf, p + (OUTQ_SIZE - at), n - (OUTQ_SIZE - at));
	}
	q->used += n;
	return n;
}

static void outq_keep(struct outq *q, const char *p, size_t len)
{
	size_t kept = 0;

	if (!q->buf && !q->unwatchable)
		q->buf = malloc(OUTQ_SIZE);
	/* One gap, not many. */
	if (q->buf && !q->dropped)
		kept = ring_put(q, p, len);
	q->dropped += len - kept;
	outq_update(q);
	if (q->used && !q->watched) {
		q->watched = true;
		evloop_call(q->loop, &q->watch);
	}
}

static void outq_say_dropped(struct outq *q)
{
	char text[96];
	int n;

	n = snprintf(text, sizeof(text),
		     "\r\n[minivmm: %" PRIu64 " bytes were dropped here, nobody read them]\r\n",
		     q->dropped);
	q->dropped = 0;
	ring_put(q, text, (size_t)n);
}

/* Writes what the descriptor takes of what is kept; returns whether it took some. */
static bool outq_flush(struct outq *q)
{
	bool moved = false;

	while (q->used) {
		size_t n = q->used < OUTQ_SIZE - q->head ? q->used : OUTQ_SIZE - q->head;
		ssize_t done = -EPIPE;

		n = n < PIECE_MAX ? n : PIECE_MAX;
		if (q->out.fd >= 0)
			done = nbio_write(&q->out, q->buf + q->head, n);
		if (done == -EAGAIN)
			break;
		moved = true;
		if (done <= 0) {
			outq_forget(q);
			return true;
		}
		q->head = (q->head + (size_t)done) % OUTQ_SIZE;
		q->used -= (size_t)done;
		q->stalled = false;
		if (q->dropped && q->used < OUTQ_BUSY)
			outq_say_dropped(q);
	}
	outq_update(q);
	if (moved && q->busy)
		outq_lives(q);
	return moved;
}

/* A file that is full becomes PATH.1, in the place of the one before. When that fails, it is begun
 * anew where it is: longer than agreed it must not become. */
static void outq_rotate(struct outq *q)
{
	struct error err = { 0 };
	int fd = outfile_rotate(q->path, &err);

	q->size = 0;
	if (fd >= 0) {
		nbio_close(&q->out);
		q->out = nbio_own(fd);
		return;
	}
	if (ftruncate(q->out.fd, 0) < 0 || lseek(q->out.fd, 0, SEEK_SET) < 0)
		q->size = q->max;
}

/* A full disk, say. A reader that has left is not worth a word, and a terminal's end is EIO. */
static void outq_say_lost(struct outq *q, int error)
{
	if (!q->path || q->lost)
		return;
	q->lost = true;
	log_warn("%s: %s: what the guest prints is lost from here on", q->path, strerror(error));
}

/* Returns how much of it is done with: written, or lost with the one who read it. */
static size_t outq_direct(struct outq *q, const char *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t n = len - done;
		ssize_t ret;

		if (q->max && q->size >= q->max)
			outq_rotate(q);
		if (q->max && n > q->max - q->size)
			n = (size_t)(q->max - q->size);
		ret = n ? nbio_write(&q->out, p + done, n) : -ENOSPC;
		if (ret == -EAGAIN)
			return done;
		if (ret <= 0) {
			outq_say_lost(q, ret < 0 ? (int)-ret : ENOSPC);
			return len;
		}
		done += (size_t)ret;
		q->size += (size_t)ret;
	}
	return done;
}

void outq_write(struct outq *q, const void *buf, size_t len)
{
	const char *p = buf;
	size_t done = 0;

	scoped_lock(&q->lock);
	if (q->out.fd < 0)
		return;
	if (!q->used)
		done = outq_direct(q, p, len);
	if (done < len)
		outq_keep(q, p + done, len - done);
}

static uint64_t ms_after(uint64_t ns, unsigned ms)
{
	return ns + ms * 1000000ull;
}

/* Writes what there is room for, and gives the reader up when it took nothing for too long. Returns
 * whether something was written. */
static bool outq_look(struct outq *q)
{
	bool moved;
	int before;

	scoped_lock(&q->lock);
	moved = outq_flush(q);
	if (moved || !q->busy)
		return moved;
	before = q->unread;
	q->unread = outq_unread(q);
	if (q->unread < before)
		q->moved_ns = evloop_now_ns();
	q->stalled = evloop_now_ns() >= ms_after(q->moved_ns, OUTQ_PATIENCE_MS);
	outq_update(q);
	return false;
}

/* When to look again, if nothing happens before. */
static uint64_t outq_next_look(struct outq *q)
{
	uint64_t look = ms_after(evloop_now_ns(), LOOK_MS), end;

	scoped_lock(&q->lock);
	end = ms_after(q->moved_ns, OUTQ_PATIENCE_MS);
	return look < end ? look : end;
}

static int outq_fd(struct outq *q)
{
	scoped_lock(&q->lock);
	return q->out.fd;
}

static unsigned ms_until(uint64_t end)
{
	uint64_t now = evloop_now_ns();

	return now < end ? (unsigned)((end - now + 999999) / 1000000) : 0;
}

void outq_hold(struct outq *q)
{
	enum hold h;

	while (__atomic_load_n(&q->busy, __ATOMIC_RELAXED)) {
		int fd = outq_fd(q);

		h = fd < 0 ? HOLD_OVER : hold_until(fd, POLLOUT, ms_until(outq_next_look(q)));
		if (h == HOLD_OVER)
			return;
		if (!outq_look(q) && h == HOLD_READY)
			hold_until(-1, 0, PAUSE_MS);
	}
}

static void outq_answer(struct outq *q)
{
	if (!q->asked)
		return;
	if (__atomic_load_n(&q->busy, __ATOMIC_RELAXED)) {
		ev_timer_set(q->patience, outq_next_look(q));
		return;
	}
	ev_timer_set(q->patience, 0);
	q->asked = false;
	q->room(q->arg);
}

bool outq_ask(struct outq *q)
{
	if (!q->patience || !__atomic_load_n(&q->busy, __ATOMIC_RELAXED))
		return true;
	if (!q->asked)
		ev_timer_set(q->patience, outq_next_look(q));
	q->asked = true;
	return false;
}

static void on_patience(void *arg)
{
	struct outq *q = arg;

	outq_look(q);
	outq_answer(q);
}

static void outq_unwatch(struct outq *q)
{
	evloop_del_fd(q->source);
	q->source = NULL;
	q->watched = false;
	free(q->buf);
	q->buf = NULL;
}

static void on_writable(void *arg, int fd, uint32_t events)
{
	struct outq *q = arg;

	(void)fd;
	(void)events;
	{
		scoped_lock(&q->lock);
		outq_flush(q);
		if (!q->used)
			outq_unwatch(q);
	}
	outq_answer(q);
}

static void outq_watch(void *arg)
{
	struct outq *q = arg;

	scoped_lock(&q->lock);
	if (q->used && !q->source)
		q->source = evloop_add_fd(q->loop, q->out.fd, EPOLLOUT, on_writable, q);
	if (q->source)
		return;
	q->unwatchable = q->used != 0;
	outq_forget(q);
	outq_unwatch(q);
}

int outq_init(struct outq *q, struct evloop *loop, void (*room)(void *), void *arg)
{
	*q = (struct outq){ .loop = loop, .out = { .fd = -1 }, .room = room, .arg = arg };
	pthread_mutex_init(&q->lock, NULL);
	q->watch = (struct ev_call){ .fn = outq_watch, .arg = q };
	q->patience = room ? evloop_add_timer(loop, on_patience, q) : NULL;
	return room && !q->patience ? -ENOMEM : 0;
}

/* The loop has ended, and so have the processors. */
static void outq_drain(struct outq *q)
{
	uint64_t end = ms_after(evloop_now_ns(), LAST_MS);
	struct pollfd p = { .fd = q->out.fd, .events = POLLOUT };

	outq_flush(q);
	while (q->used && !q->stalled) {
		unsigned left = ms_until(end);

		if (poll(&p, 1, (int)(left < LAST_QUIET_MS ? left : LAST_QUIET_MS)) <= 0)
			break;
		if (!outq_flush(q))
			poll(NULL, 0, PAUSE_MS);
	}
	if (q->used || q->dropped)
		log_warn("nobody read the last %" PRIu64 " bytes that the guest printed",
			 q->used + q->dropped);
}

void outq_destroy(struct outq *q)
{
	q->asked = false; /* whom it would call may be gone */
	outq_drain(q);
	outq_detach(q);
	evloop_del_timer(q->patience);
	pthread_mutex_destroy(&q->lock);
}

void outq_attach(struct outq *q, struct nbio out)
{
	scoped_lock(&q->lock);
	q->out = out;
	q->unwatchable = false;
}

void outq_detach(struct outq *q)
{
	{
		scoped_lock(&q->lock);
		evloop_cancel(q->loop, &q->watch);
		outq_forget(q);
		outq_unwatch(q);
		nbio_close(&q->out);
	}
	outq_answer(q);
}

void outq_expect_nobody(struct outq *q)
{
	scoped_lock(&q->lock);
	q->stalled = true;
}

void outq_limit(struct outq *q, const char *path, uint64_t max)
{
	q->path = path;
	q->max = max;
}
