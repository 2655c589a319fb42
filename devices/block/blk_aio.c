/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The libaio engine, for systems where io_uring is not permitted. Same threading as blk_uring.c.
 *
 * Completions raise an eventfd, so that one poll() waits for both them and the kick. Linux AIO is
 * asynchronous only with O_DIRECT; buffered requests complete within io_submit().
 */
#include <errno.h>
#include <libaio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/engine.h"
#include "devices/block/blk_file.h"
#include "vmm/core/addr.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/stats.h"

#define AIO_BATCH 64

struct blk_engine {
	io_context_t ctx;
	struct blk_gate gate;
	int fd, kick_fd, done_fd;
	uint64_t *calls;
	unsigned depth, in_flight, n_queued;
	struct iocb *iocbs, **queued;
	unsigned *free, n_free;
	struct blk_req *done, **done_tail;
};

static void done_add(struct blk_engine *e, struct blk_req *req)
{
	req->next = NULL;
	*e->done_tail = req;
	e->done_tail = &req->next;
}

static void aio_close(struct blk_engine *e)
{
	if (e->ctx)
		io_destroy(e->ctx);
	if (e->done_fd >= 0)
		close(e->done_fd);
	free(e->iocbs);
	free(e->queued);
	free(e->free);
	free(e);
}

static int aio_setup(struct blk_engine *e)
{
	e->iocbs = calloc(e->depth, sizeof(*e->iocbs));
	e->queued = calloc(e->depth, sizeof(*e->queued));
	e->free = calloc(e->depth, sizeof(*e->free));
	if (!e->iocbs || !e->queued || !e->free)
		return -ENOMEM;
	for (unsigned i = 0; i < e->depth; i++)
		e->free[e->n_free++] = i;
	e->done_fd = eventfd_new();
	if (e->done_fd < 0)
		return -errno;
	return io_setup((int)e->depth, &e->ctx);
}

static int aio_open(struct blk_engine **out, const struct blk_engine_config *cfg, struct error *err)
{
	struct blk_engine *e = calloc(1, sizeof(*e));
	int ret = -ENOMEM;

	if (e) {
		*e = (struct blk_engine){ .fd = cfg->file->fd,
					  .kick_fd = cfg->kick_fd,
					  .calls = cfg->calls };
		e->done_fd = -1;
		e->depth = cfg->depth;
		e->done_tail = &e->done;
		blk_gate_init(&e->gate, cfg->file, false);
		ret = aio_setup(e);
	}
	if (ret == 0) {
		*out = e;
		return 0;
	}
	if (e)
		aio_close(e);
	if (ret == -EAGAIN)
		return error_set(err, ret,
				 "libaio: the kernel's limit of requests is reached: raise the "
				 "sysctl fs.aio-max-nr");
	return error_set(err, ret, "libaio: %s", strerror(-ret));
}

static void prep(const struct blk_engine *e, struct iocb *cb, struct blk_req *req)
{
	int fd = e->fd;

	if (req->op == BLK_FLUSH)
		io_prep_fdsync(cb, fd);
	else if (req->bounce && req->op == BLK_READ)
		io_prep_pread(cb, fd, req->bounce, req->bounce_len, (long long)req->off);
	else if (req->bounce)
		io_prep_pwrite(cb, fd, req->bounce, req->bounce_len, (long long)req->off);
	else if (req->op == BLK_READ)
		io_prep_preadv(cb, fd, req->iov, (int)req->niov, (long long)req->off);
	else
		io_prep_pwritev(cb, fd, req->iov, (int)req->niov, (long long)req->off);
	if (req->op == BLK_WRITE && req->stable)
		cb->aio_rw_flags = RWF_DSYNC;
	io_set_eventfd(cb, e->done_fd);
	cb->data = req;
}

static void carry_out(struct blk_engine *e, struct blk_req *req, enum blk_way way)
{
	struct iocb *cb;

	if (way == BLK_LATER)
		return;
	if (way == BLK_DONE || e->n_free == 0) {
		if (way == BLK_GO)
			blk_gate_fail(&e->gate, req, -EBUSY);
		done_add(e, req);
		return;
	}
	cb = &e->iocbs[e->free[--e->n_free]];
	memset(cb, 0, sizeof(*cb));
	prep(e, cb, req);
	e->queued[e->n_queued++] = cb;
	e->in_flight++;
}

static void aio_submit(struct blk_engine *e, struct blk_req *req)
{
	carry_out(e, req, blk_gate_enter(&e->gate, req));
}

static void resume(struct blk_engine *e)
{
	enum blk_way way;

	for (struct blk_req *req; (req = blk_gate_next(&e->gate, &way));)
		carry_out(e, req, way);
}

static void complete(struct blk_engine *e, struct iocb *cb, int64_t ret)
{
	struct blk_req *req = cb->data;

	e->free[e->n_free++] = (unsigned)(cb - e->iocbs);
	e->in_flight--;
	if (blk_gate_answer(&e->gate, req, ret))
		done_add(e, req);
	else
		aio_submit(e, req);
}

static void queued_drop(struct blk_engine *e, unsigned n)
{
	e->n_queued -= n;
	memmove(e->queued, e->queued + n, e->n_queued * sizeof(*e->queued));
}

/* io_submit() stops at the first request that it refuses, and returns the reason. That request
 * completes with the error, and the rest is submitted again. -EAGAIN: the kernel has no space now;
 * there will be some when requests in flight complete. */
static void push(struct blk_engine *e)
{
	while (e->n_queued) {
		int ret = io_submit(e->ctx, (long)e->n_queued, e->queued);
		struct iocb *refused = e->queued[0];

		count_add(e->calls, 1);
		if (ret > 0) {
			queued_drop(e, (unsigned)ret);
			continue;
		}
		if (ret == -EAGAIN && e->in_flight > e->n_queued)
			return;
		queued_drop(e, 1);
		complete(e, refused, ret ? ret : -EIO);
	}
}

/* The kernel's ring at the address io_context_t (fs/aio.c): completions are between head and tail.
 * libaio reads it in the same way. */
struct aio_ring {
	unsigned id, nr, head, tail, magic;
};
#define AIO_RING_MAGIC 0xa10a10a1u

/* Whether a completion is there; true, too, where the ring cannot be read. */
static bool completed(const struct blk_engine *e)
{
	const struct aio_ring *r = (const struct aio_ring *)e->ctx;

	return r->magic != AIO_RING_MAGIC || __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) != r->head;
}

static void reap(struct blk_engine *e)
{
	struct timespec none = { 0 };
	struct io_event ev[AIO_BATCH];
	int n = 0;

	if (!completed(e))
		return;
	do {
		count_add(e->calls, 1);
		n = io_getevents(e->ctx, 0, AIO_BATCH, ev, &none);
		for (int i = 0; i < n; i++)
			complete(e, ev[i].obj, (int64_t)(long)ev[i].res);
	} while (n == AIO_BATCH);
	if (e->gate.first)
		resume(e);
}

static void wait_any(struct blk_engine *e, const struct timespec *limit)
{
	struct pollfd p[2] = { { e->kick_fd, POLLIN, 0 }, { e->done_fd, POLLIN, 0 } };

	count_add(e->calls, 1);
	if (ppoll(p, 2, limit, NULL) <= 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		if (!p[i].revents)
			continue;
		count_add(e->calls, 1);
		eventfd_drain(p[i].fd);
	}
}

static bool aio_ready(struct blk_engine *e)
{
	return e->done || (e->in_flight && completed(e));
}

static struct blk_req *aio_run(struct blk_engine *e, enum blk_wait wait)
{
	static const struct timespec moment = { .tv_nsec = BLK_MOMENT_NS };
	struct blk_req *list;

	wait = blk_gate_wait(&e->gate, wait);
	if (e->gate.first)
		resume(e);
	if (e->n_queued)
		push(e);
	/* Buffered requests are already complete, so check before sleeping. */
	if (e->in_flight)
		reap(e);
	/* Submit again what came back short, and what waited for it. */
	if (e->n_queued && !e->done)
		push(e);
	if (wait != BLK_NOWAIT && !e->done) {
		wait_any(e, wait == BLK_MOMENT ? &moment : NULL);
		reap(e);
	}
	list = e->done;
	e->done = NULL;
	e->done_tail = &e->done;
	return list;
}

const struct blk_ops blk_aio_ops = {
	.name = "libaio",
	.open = aio_open,
	.close = aio_close,
	.submit = aio_submit,
	.run = aio_run,
	.ready = aio_ready,
};
