/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring engine: one ring per queue, one thread per ring.
 *
 * The kick eventfd is part of the ring: a multishot poll on it completes like any other request. So
 * one io_uring_enter(2) submits a batch and waits for a completion or a kick. Nobody reads the
 * eventfd, because each write wakes the poll, whatever its count is. At depth 1 a request costs two
 * enters (wait for the kick; submit and wait) and the write to the irqfd.
 *
 * Interrupts of deep queues are moderated, as network cards do. With many requests in flight we
 * wait for half of them, at most MODERATE_NS, so that one wake-up and one interrupt serve many. If
 * a disk is too slow for that, the first time-out shows it, and we do not wait like this for a
 * while. Without moderation, a disk whose completions come one by one costs two system calls for
 * one or two of them. A disk may also answer in bursts (a virtual one raises its interrupt when it
 * has done everything that it was given). Then the rest has usually come when we wake up. Since
 * Linux 6.14 the kernel leaves completions beyond the number that we waited for pending. One more
 * call gets them; otherwise half of a burst would split the next ones. Waiting for the whole burst
 * would save that call, but wakes us later (depth 32, O_DIRECT: 0.88 instead of 0.91 of fio's
 * rate).
 *
 * With DEFER_TASKRUN (Linux 6.1) completions are processed only inside our own enter: there are no
 * inter-processor interrupts, and no task work at random points. The disk is a registered file.
 * Guest RAM is registered if it is pinned in huge pages anyway (fixed_ram.h). Both are
 * optimisations: if the kernel refuses, we use the normal forms.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "devices/block/engine.h"
#include "devices/block/blk_file.h"
#include "devices/block/fixed_ram.h"
#include "vmm/core/error.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/stats.h"

#define MODERATE_NS   200000
#define MODERATE_MIN  8 /* completions worth collecting */
#define MODERATE_SKIP 4 /* waits after a time-out */

/* An entry of the submission queue has 64 bytes, and only those of one batch are in use at a time.
 * If there are more, get_sqe() submits the first ones. Completions need space for all requests and
 * some kicks. */
#define RING_SQ	     64
#define RING_KICKS   64
#define SUBMIT_TRIES 100

#define IO_MAX GiB /* the maximum of one SQE; longer requests come back short and continue */

struct blk_engine {
	struct io_uring ring;
	struct blk_gate gate;
	int kick_fd, fd;   /* fd: the disk as SQEs name it */
	unsigned fd_flags; /* IOSQE_FIXED_FILE */
	bool kick_armed;
	uint64_t *calls;
	unsigned in_flight;
	/* number of waits until completions are collected again */
	unsigned no_moderation;
	struct blk_req *done, **done_tail; /* completed requests that did not come from the ring */
	struct fixed_ram *fixed;	   /* NULL: guest RAM is not registered */
};

static void done_add(struct blk_engine *e, struct blk_req *req)
{
	req->next = NULL;
	*e->done_tail = req;
	e->done_tail = &req->next;
}

static int ring_init(struct blk_engine *e, unsigned depth)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	unsigned sq = depth + 2 < RING_SQ ? depth + 2 : RING_SQ;
	int ret = -EINVAL;

	for (unsigned i = 0; i < ARRAY_SIZE(flags) && ret == -EINVAL; i++) {
		struct io_uring_params p = { .flags = flags[i] | IORING_SETUP_CQSIZE,
					     .cq_entries = depth + RING_KICKS };

		ret = io_uring_queue_init_params(sq, &e->ring, &p);
		if (ret == 0 && !(p.features & IORING_FEAT_RSRC_TAGS)) {
			/* Before Linux 5.13 there is no multishot poll. */
			io_uring_queue_exit(&e->ring);
			return -EOPNOTSUPP;
		}
	}
	return ret;
}

/* Reads from tmpfs are only copies, but io_uring gives them to a worker thread, because tmpfs does
 * not set FMODE_NOWAIT. For a regular file, O_NONBLOCK has the same effect for io_uring, and no
 * other effect (open(2)). Then we wait here if a page is swapped out. */
static void read_in_place(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st) == 0 && st.f_type == TMPFS_MAGIC)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int uring_open(struct blk_engine **out, const struct blk_engine_config *cfg,
		      struct error *err)
{
	struct blk_engine *e = calloc(1, sizeof(*e));
	int ret = e ? ring_init(e, cfg->depth) : -ENOMEM;

	if (ret) {
		free(e);
		return error_set(err, ret, "io_uring: %s", strerror(-ret));
	}
	/* Block devices have ioctls for discard and zeroes, and no asynchronous form before 6.12.
	 */
	blk_gate_init(&e->gate, cfg->file, !cfg->file->is_blkdev);
	e->kick_fd = cfg->kick_fd;
	e->calls = cfg->calls;
	e->done_tail = &e->done;
	e->fd = cfg->file->fd;
	read_in_place(e->fd);
	if (io_uring_register_files(&e->ring, &e->fd, 1) == 0) {
		e->fd = 0; /* the index */
		e->fd_flags = IOSQE_FIXED_FILE;
	}
	io_uring_register_ring_fd(&e->ring); /* Linux 5.18; saves a lookup for each enter */
	if (cfg->ram_pinned && cfg->file->direct)
		e->fixed = fixed_ram_new(&e->ring, cfg->mem, FIXED_RAM_CHUNK);
	*out = e;
	return 0;
}

static void uring_close(struct blk_engine *e)
{
	/* A kernel worker frees the ring some time later. Unregister the disk now, so that its lock
	 * does not stay until then. */
	if (e->fd_flags)
		io_uring_unregister_files(&e->ring);
	io_uring_queue_exit(&e->ring);
	fixed_ram_free(e->fixed);
	free(e);
}

static struct io_uring_sqe *get_sqe(struct blk_engine *e)
{
	struct io_uring_sqe *sqe;

	/* Usually the first one succeeds, or the second one after a submission. If the kernel has
	 * no memory for a request, it may have some soon. */
	for (unsigned i = 0; !(sqe = io_uring_get_sqe(&e->ring)) && i < SUBMIT_TRIES; i++) {
		count_add(e->calls, 1);
		if (io_uring_submit(&e->ring) <= 0)
			usleep(1000);
	}
	return sqe;
}

static void prep_flat(const struct blk_engine *e, struct io_uring_sqe *sqe,
		      const struct blk_req *req, void *p, size_t len)
{
	unsigned n = (unsigned)(len < IO_MAX ? len : IO_MAX);
	int buf = e->fixed ? fixed_ram_find(e->fixed, p, n) : -1;

	if (buf >= 0 && req->op == BLK_READ)
		io_uring_prep_read_fixed(sqe, e->fd, p, n, req->off, buf);
	else if (buf >= 0)
		io_uring_prep_write_fixed(sqe, e->fd, p, n, req->off, buf);
	else if (req->op == BLK_READ)
		io_uring_prep_read(sqe, e->fd, p, n, req->off);
	else
		io_uring_prep_write(sqe, e->fd, p, n, req->off);
}

static void prep_transfer(const struct blk_engine *e, struct io_uring_sqe *sqe,
			  const struct blk_req *req)
{
	if (req->bounce)
		prep_flat(e, sqe, req, req->bounce, req->bounce_len);
	else if (req->niov == 1)
		prep_flat(e, sqe, req, req->iov[0].iov_base, req->iov[0].iov_len);
	else if (req->op == BLK_READ)
		io_uring_prep_readv(sqe, e->fd, req->iov, req->niov, req->off);
	else
		io_uring_prep_writev(sqe, e->fd, req->iov, req->niov, req->off);
	if (req->op == BLK_WRITE && req->stable)
		sqe->rw_flags = RWF_DSYNC;
}

static void prep(const struct blk_engine *e, struct io_uring_sqe *sqe, const struct blk_req *req)
{
	int mode = FALLOC_FL_KEEP_SIZE;

	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		prep_transfer(e, sqe, req);
		break;
	case BLK_FLUSH:
		io_uring_prep_fsync(sqe, e->fd, IORING_FSYNC_DATASYNC);
		break;
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		mode |= req->op == BLK_DISCARD || req->unmap ? FALLOC_FL_PUNCH_HOLE
							     : FALLOC_FL_ZERO_RANGE;
		/* liburing 2.3 takes the lengths as off_t, which is 64 bits here. */
		io_uring_prep_fallocate(sqe, e->fd, mode, (off_t)req->off, (off_t)req->len);
		break;
	}
}

static void carry_out(struct blk_engine *e, struct blk_req *req, enum blk_way way)
{
	struct io_uring_sqe *sqe = way == BLK_GO ? get_sqe(e) : NULL;

	if (way == BLK_LATER)
		return;
	if (!sqe) {
		if (way == BLK_GO)
			blk_gate_fail(&e->gate, req, -EBUSY);
		done_add(e, req);
		return;
	}
	prep(e, sqe, req);
	sqe->flags |= (uint8_t)e->fd_flags;
	io_uring_sqe_set_data(sqe, req);
	e->in_flight++;
}

static void uring_submit(struct blk_engine *e, struct blk_req *req)
{
	carry_out(e, req, blk_gate_enter(&e->gate, req));
}

static void resume(struct blk_engine *e)
{
	enum blk_way way;

	for (struct blk_req *req; (req = blk_gate_next(&e->gate, &way));)
		carry_out(e, req, way);
}

static void arm_kick(struct blk_engine *e)
{
	struct io_uring_sqe *sqe = get_sqe(e);

	if (!sqe)
		return;
	io_uring_prep_poll_multishot(sqe, e->kick_fd, POLLIN);
	io_uring_sqe_set_data(sqe, NULL);
	e->kick_armed = true;
}

/* Requests that came back short go into the next submission. */
static void reap(struct blk_engine *e)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&e->ring, head, cqe)
	{
		struct blk_req *req = io_uring_cqe_get_data(cqe);

		n++;
		if (!req) {
			e->kick_armed = cqe->flags & IORING_CQE_F_MORE;
			continue;
		}
		e->in_flight--;
		if (blk_gate_answer(&e->gate, req, cqe->res))
			done_add(e, req);
		else
			uring_submit(e, req);
	}
	io_uring_cq_advance(&e->ring, n);
	if (e->gate.first)
		resume(e);
}

/* True if the kernel holds back completions until we enter it. */
static bool task_work(const struct blk_engine *e)
{
	return IO_URING_READ_ONCE(*e->ring.sq.kflags) & IORING_SQ_TASKRUN;
}

static bool uring_ready(struct blk_engine *e)
{
	return e->done || io_uring_cq_ready(&e->ring) || task_work(e);
}

/* Submits, and waits for half of what is in flight. */
static void wait_moderated(struct blk_engine *e)
{
	struct __kernel_timespec limit = { .tv_nsec = MODERATE_NS };
	struct io_uring_cqe *cqe;
	unsigned want = e->in_flight / 2;

	count_add(e->calls, 1);
	io_uring_submit_and_wait_timeout(&e->ring, &cqe, want, &limit, NULL);
	if (task_work(e)) {
		count_add(e->calls, 1);
		io_uring_get_events(&e->ring);
	}
	if (io_uring_cq_ready(&e->ring) < want)
		e->no_moderation = MODERATE_SKIP;
}

static void submit_and_wait(struct blk_engine *e)
{
	if (e->no_moderation) {
		e->no_moderation--;
	} else if (e->in_flight / 2 >= MODERATE_MIN) {
		wait_moderated(e);
		if (io_uring_cq_ready(&e->ring))
			return;
	}
	count_add(e->calls, 1);
	io_uring_submit_and_wait(&e->ring, 1);
}

static void wait_moment(struct blk_engine *e)
{
	struct __kernel_timespec limit = { .tv_nsec = BLK_MOMENT_NS };
	struct io_uring_cqe *cqe;

	count_add(e->calls, 1);
	io_uring_submit_and_wait_timeout(&e->ring, &cqe, 1, &limit, NULL);
}

static struct blk_req *uring_run(struct blk_engine *e, enum blk_wait wait)
{
	struct blk_req *list;

	if (!e->kick_armed)
		arm_kick(e);
	wait = blk_gate_wait(&e->gate, wait);
	if (wait == BLK_WAIT && !e->done) {
		submit_and_wait(e);
	} else if (wait == BLK_MOMENT && !e->done) {
		wait_moment(e);
	} else if (io_uring_sq_ready(&e->ring) || uring_ready(e)) {
		count_add(e->calls, 1);
		io_uring_submit_and_get_events(&e->ring);
	}
	reap(e);
	list = e->done;
	e->done = NULL;
	e->done_tail = &e->done;
	return list;
}

const struct blk_ops blk_uring_ops = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.run = uring_run,
	.ready = uring_ready,
};
