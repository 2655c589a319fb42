/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output is written to the descriptor directly, without waiting. Bytes that the descriptor does not
 * take are kept in a buffer of OUTQ_SIZE. The main loop writes them when the descriptor has room
 * again.
 *
 * A reader that is only slow must not lose bytes, so the guest is slowed down. When OUTQ_BUSY bytes
 * are kept, the front end holds its vCPU (outq_hold(): no lock is held, and a pause ends it), or it
 * leaves its requests in the queue (outq_ask()). A serial line with flow control also stops only
 * the processor that prints. Dropping bytes at once would lose boot logs; waiting without end would
 * let a reader stop the guest. So a reader that reads nothing for OUTQ_PATIENCE_MS is regarded as
 * dead: nobody waits for it any more, the rest of the buffer fills up, and then bytes are dropped.
 * When it reads again, a line in the output says where bytes are missing and how many.
 *
 * The main loop and the held vCPUs all write the kept bytes. OUTQ_PATIENCE_MS counts from the last
 * byte that any of them could write. But that a write succeeds is a coarse sign of life: a pipe has
 * room only when a whole page was read, a socket when three quarters were read. So whoever waits
 * also checks every LOOK_MS how many bytes in the descriptor are unread. Fewer than before are a
 * sign of life, too. For a pipe this number is exact. For a local socket it changes in units of
 * what was written at once, which is why PIECE_MAX is small. A pseudo terminal does not tell this
 * number, so its reader must read about 4 KiB in OUTQ_PATIENCE_MS.
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

#define PIECE_MAX 4096u /* at most this many of the kept bytes are written at once */
#define LOOK_MS	  100u
#define PAUSE_MS  10u	/* wait this long if poll() reports room but write() finds none */
/* The time that a reader gets at the end: without reading anything, and in all. */
#define LAST_QUIET_MS 500u
#define LAST_MS	      2000u

/* The number of bytes in the descriptor that nobody has read; 0 if the descriptor does not tell. */
static int outq_unread(const struct outq *q)
{
	int n = 0;

	/* Pipes know only FIONREAD. Sockets must be asked with TIOCOUTQ first, because FIONREAD
	 * counts their input. */
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

/* Throws away everything that is kept: its reader is gone. */
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
	/* After the first dropped byte, drop all bytes until fewer than OUTQ_BUSY are kept: one gap
	 * in the output, not many. */
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

/* Writes as many kept bytes as the descriptor takes. True: it took some. */
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

/* Renames a full file to PATH.1 and replaces an older PATH.1. If that fails, the file is truncated,
 * because it must not become longer than its limit. */
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

/* Reports an error of a regular file once, for example a full disk. Other descriptors fail when
 * their reader has left (a terminal with EIO), which is not worth a message. */
static void outq_say_lost(struct outq *q, int error)
{
	if (!q->path || q->lost)
		return;
	q->lost = true;
	log_warn("%s: %s: what the guest prints is lost from here on", q->path, strerror(error));
}

/* Returns how many bytes need not be kept: they were written, or they are lost because of an
 * error. */
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

/* Writes as much as there is room for, and regards the reader as dead if it read nothing for too
 * long. True: something was written. */
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

/* The time of the next look, if nothing happens before. */
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

/* Writes the rest. The main loop and the vCPUs have ended, so this may wait. */
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
	q->asked = false; /* the owner of room() may be gone */
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
