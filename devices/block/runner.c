/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop takes up to BATCH requests, submits them to the kernel in one call, and returns
 * completed requests with one update and at most one interrupt. If the queue is empty, the same
 * call also sleeps until a completion or a kick; kicks are asked for only then.
 *
 * BATCH limits how long the guest waits for the first completions of a deep queue; it refills the
 * queue while we work on the rest. If the disk is idle, the first BATCH_FIRST requests are
 * submitted alone: the kernel notifies the disk only when a submission is complete, so the disk
 * would be idle while the rest is prepared (depth 32, O_DIRECT: 105k requests/s with one batch,
 * 120k with two). A disk that completes requests while they are submitted is never idle; see
 * burst.h for what we do then. Buffered requests usually complete while they are submitted. So
 * batches of half the usual depth let the driver work at the same time (page cache, depth 32: 560k
 * with 24, 780k with 16; with 8 it is 880k, but with 0.19 system calls per request).
 */
#include "devices/block/runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "devices/backend/iothread.h"
#include "devices/block/blk_file.h"
#include "devices/block/blk_node.h"
#include "devices/block/burst.h"
#include "vmm/core/error.h"
#include "vmm/core/evloop.h"
#include "vmm/core/stats.h"

#define BATCH	       32
#define BATCH_FIRST    8
#define BATCH_BUFFERED 16
#define POLL_REST      15   /* sleeps without polling, if many requests share the cost of a poll */
#define POLL_REST_FEW  255  /* the same for others: one CPU may serve the driver and us */
#define GATHER_NS      4000 /* while requests are in flight */
#define BURST_MAX      16   /* half of a deep queue: driver and device work at the same time */
#define PROMPT_REST    63   /* batches of a disk that is not prompt, until we look again */

/* The counters of the runner's thread. */
struct counts {
	uint64_t requests[5], bytes[2]; /* by enum blk_op */
	uint64_t errors;
	uint64_t calls, interrupts; /* system calls of the engine, and one for each interrupt */
	uint64_t batch[STATS_BUCKETS], depth[STATS_BUCKETS], latency[STATS_BUCKETS];
};

struct blk_runner {
	struct blk_runner_config cfg;
	const struct blk_front_ops *ops;
	void *front;
	const struct blk_ops *engine_ops;
	struct blk_engine *engine;
	struct iothread *thread;
	char fallback[96];
	unsigned limit, in_flight;
	uint64_t now; /* ns, start of the current batch; 0: not timed */
	unsigned last_batch;
	struct {
		unsigned rest, rests; /* sleeps left without polling; the last number of them */
	} polls[2];		      /* without and with requests in flight */
	struct blk_burst burst;
	bool prompt; /* the disk completes requests while they are submitted */
	unsigned prompt_rest;
	struct counts counts;
};

/* The clock is read once for a batch. */
static uint64_t clock_of(const struct blk_runner *r)
{
	return r->cfg.timed ? evloop_now_ns() : 0;
}

/* ---- requests ---- */

void blk_runner_submit(struct blk_runner *r, struct blk_req *req)
{
	enum blk_op op = req->op;

	req->start = r->now;
	count_add(&r->counts.requests[op], 1);
	if (op <= BLK_WRITE)
		count_add(&r->counts.bytes[op], req->len);
	r->in_flight++;
	r->engine_ops->submit(r->engine, req);
}

void blk_runner_refused(struct blk_runner *r)
{
	count_add(&r->counts.errors, 1);
}

static unsigned batch_max(const struct blk_runner *r)
{
	unsigned max = BATCH_BUFFERED, room = r->limit - r->in_flight;

	if (r->cfg.engine.file->direct)
		max = r->in_flight || r->prompt ? BATCH : BATCH_FIRST;
	return max < room ? max : room;
}

static void publish(struct blk_runner *r)
{
	if (r->ops->publish(r->front))
		count_add(&r->counts.interrupts, 1);
}

static void take_batch(struct blk_runner *r)
{
	unsigned max = batch_max(r), before = r->in_flight, n;

	r->now = clock_of(r);
	n = max ? r->ops->take(r->front, max) : 0;
	if (!n)
		return;
	r->last_batch = n;
	count_bucket(r->counts.batch, n);
	count_bucket(r->counts.depth, r->in_flight);
	/* Requests that were completed at once must not wait for the rest. */
	if (r->in_flight - before < n)
		publish(r);
}

static void run_engine(struct blk_runner *r, enum blk_wait wait)
{
	struct blk_req *done = r->engine_ops->run(r->engine, wait);

	if (!done)
		return;
	r->now = clock_of(r);
	for (const struct blk_req *req = done; req; req = req->next) {
		if (req->res)
			count_add(&r->counts.errors, 1);
		if (req->start)
			count_bucket(r->counts.latency, r->now - req->start);
		r->in_flight--;
	}
	r->ops->complete(r->front, done);
	publish(r);
}

/* ---- polling and sleep ---- */

static bool some_work(struct blk_runner *r)
{
	return r->ops->pending(r->front) || r->engine_ops->ready(r->engine);
}

/* While requests are in flight, more completions follow soon. If we wait a moment, one system call
 * and one interrupt serve more of them. */
static void gather(const struct blk_runner *r)
{
	uint64_t end = evloop_now_ns() + GATHER_NS;

	while (r->in_flight > 1 && evloop_now_ns() < end)
		__builtin_ia32_pause();
}

/* Polls the queue and the completions for a while, because sleeping and waking up are expensive.
 * Also returns true if the thread must pause, because the kick that said so may have been read
 * before. */
static bool look_for_work(struct blk_runner *r)
{
	uint64_t end = evloop_now_ns() + r->cfg.poll_usec * 1000ull;

	while (iothread_wanted(r->thread)) {
		if (some_work(r)) {
			gather(r);
			return true;
		}
		if (evloop_now_ns() >= end)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

static bool may_poll(struct blk_runner *r)
{
	unsigned *rest = &r->polls[r->in_flight > 0].rest;

	if (!r->cfg.poll_usec || r->ops->pending(r->front))
		return false;
	if (r->cfg.poll_always || !*rest)
		return true;
	--*rest;
	return false;
}

/* While polls find work, kicks and wake-ups are saved. Two of them are separate: after how long the
 * disk answers, and after how long the driver has the next request. After polls that find nothing,
 * we sleep more and more often before polling again. */
static bool poll_for_work(struct blk_runner *r)
{
	unsigned waits_for = r->in_flight > 0, rests = r->polls[waits_for].rests;
	bool many = r->last_batch >= BLK_MANY, found;

	run_engine(r, BLK_NOWAIT);
	found = look_for_work(r);
	rests = found ? 0 : blk_longer_rest(rests, many, many ? POLL_REST : POLL_REST_FEW);
	r->polls[waits_for].rest = r->polls[waits_for].rests = rests;
	return found;
}

/* Decides whether to sleep: only if the queue is empty and kicks were asked for, or if there is no
 * room for more requests. */
static enum blk_wait may_wait(struct blk_runner *r)
{
	if (r->in_flight == r->limit)
		return BLK_WAIT;
	/* run_prompt() may have read the kick that says that the thread must pause. */
	return r->ops->kicks_on(r->front) && iothread_wanted(r->thread) ? BLK_WAIT : BLK_NOWAIT;
}

/* ---- bursts ---- */

/* If the disk completes requests while they are submitted, it loses nothing when we wait for more
 * of them. */
static void run_prompt(struct blk_runner *r)
{
	if (!r->in_flight)
		return;
	if (!r->prompt && r->prompt_rest) {
		r->prompt_rest--;
		return;
	}
	run_engine(r, BLK_NOWAIT);
	r->prompt = !r->in_flight;
	r->prompt_rest = PROMPT_REST;
}

/* A kick has woken us. Lets the driver add the rest of its burst. (If requests come while we are
 * awake, the driver has a CPU of its own.) */
static void wait_for_burst(struct blk_runner *r)
{
	unsigned room = r->limit - r->in_flight, n, before = 0;
	unsigned goal = blk_burst_goal(&r->burst, room < BURST_MAX ? room : BURST_MAX);

	if (goal < 2)
		return;
	while ((n = r->ops->kick_at(r->front, goal)) < goal && n > before &&
	       iothread_wanted(r->thread)) {
		before = n;
		run_engine(r, BLK_MOMENT);
	}
	if (before)
		blk_burst_learn(&r->burst, goal, n);
}

/* ---- the thread ---- */

static void runner_loop(void *arg)
{
	struct blk_runner *r = arg;
	enum blk_wait wait;

	while (iothread_wanted(r->thread)) {
		take_batch(r);
		run_prompt(r);
		if (may_poll(r) && poll_for_work(r))
			continue;
		wait = may_wait(r);
		run_engine(r, wait);
		if (wait == BLK_WAIT && r->prompt && !r->in_flight)
			wait_for_burst(r);
		r->ops->kicks_off(r->front);
	}
	while (r->in_flight)
		run_engine(r, BLK_WAIT);
}

static int try_engine(struct blk_runner *r, const struct blk_ops *ops, struct error *err)
{
	r->engine_ops = ops;
	return ops->open(&r->engine, &r->cfg.engine, err);
}

/* io_uring may be missing in the kernel (ENOSYS), switched off by kernel.io_uring_disabled (EPERM),
 * denied by seccomp (either), or too old. */
static int runner_init(void *arg, struct error *err)
{
	struct blk_runner *r = arg;
	struct error why = { 0 };
	int ret;

	/* The default, 50 us, is as long as the times that we wait for. */
	prctl(PR_SET_TIMERSLACK, 1);
	/* Before the ring is made, whose memory comes from the thread's node. Without that node's
	 * CPUs it is slower and works. */
	blk_node_stay("", r->cfg.engine.file->node);
	if (r->cfg.aio != BLK_AIO_LIBAIO) {
		ret = try_engine(r, &blk_uring_ops, &why);
		if (ret == 0)
			return 0;
		if (r->cfg.aio == BLK_AIO_URING ||
		    (ret != -ENOSYS && ret != -EPERM && ret != -EOPNOTSUPP && ret != -ENOMEM))
			return error_set(err, ret,
					 "%s: use aio=libaio, which does not need io_uring",
					 why.text);
		snprintf(r->fallback, sizeof(r->fallback), "%.90s", why.text);
	}
	return try_engine(r, &blk_aio_ops, err);
}

static void runner_exit(void *arg)
{
	struct blk_runner *r = arg;

	r->engine_ops->close(r->engine);
}

static void runner_paused(void *arg)
{
	struct blk_runner *r = arg;

	r->ops->left(r->front);
}

static const struct iothread_ops thread_ops = {
	.init = runner_init,
	.run = runner_loop,
	.paused = runner_paused,
	.exit = runner_exit,
};

/* ---- for the front end ---- */

struct blk_runner *blk_runner_new(const struct blk_runner_config *cfg,
				  const struct blk_front_ops *ops, void *front, struct error *err)
{
	struct blk_runner *r = calloc(1, sizeof(*r));

	if (!r) {
		error_set(err, -ENOMEM, "%s: out of memory", cfg->name);
		return NULL;
	}
	r->cfg = *cfg;
	r->cfg.name = NULL; /* the caller's */
	r->cfg.engine.calls = &r->counts.calls;
	r->ops = ops;
	r->front = front;
	r->thread = iothread_new(cfg->name, cfg->engine.kick_fd, &thread_ops, r, err);
	if (r->thread)
		return r;
	free(r);
	return NULL;
}

void blk_runner_free(struct blk_runner *r)
{
	if (!r)
		return;
	iothread_free(r->thread);
	free(r);
}

void blk_runner_start(struct blk_runner *r, unsigned limit)
{
	r->limit = limit;
	iothread_resume(r->thread);
}

void blk_runner_stop(struct blk_runner *r)
{
	iothread_pause(r->thread);
}

bool blk_runner_leave(struct blk_runner *r)
{
	return iothread_leave(r->thread);
}

void blk_runner_add_stats(const struct blk_runner *r, struct stats *stats, const char *name)
{
	static const char *const ops[] = { "reads", "writes", "flushes", "discards", "zeroes" };
	struct stats_set *s = stats_add_set(stats, "disk queue", name);
	const struct counts *c = &r->counts;

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		stats_add_counter(s, ops[i], &c->requests[i]);
	stats_add_counter(s, "bytes_read", &c->bytes[BLK_READ]);
	stats_add_counter(s, "bytes_written", &c->bytes[BLK_WRITE]);
	stats_add_counter(s, "errors", &c->errors);
	stats_add_counter(s, "system_calls", &c->calls);
	stats_add_counter(s, "interrupts", &c->interrupts);
	stats_add_histogram(s, "batch", c->batch);
	stats_add_histogram(s, "depth", c->depth);
	if (r->cfg.timed)
		stats_add_histogram(s, "latency_ns", c->latency);
}

const char *blk_runner_fallback(const struct blk_runner *r)
{
	return r->fallback[0] ? r->fallback : NULL;
}
