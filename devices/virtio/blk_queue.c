// SPDX-License-Identifier: BSD-2-Clause
/*
 * A virtio-blk queue (VIRTIO 1.2 §5.2.6) and its thread.
 *
 * The loop: take up to BATCH requests from the ring, hand them to the kernel in one call, return
 * what has completed with one index update and at most one interrupt. Once the ring is empty the
 * same call also sleeps, until a completion or a kick; kicks are asked for only then. BATCH bounds
 * how long a deep queue keeps its first completions from the guest, which refills the ring while we
 * work on the rest. To an idle disk the first BATCH_FIRST go alone: the kernel tells the disk of a
 * submission when it has all of it, so a disk that answers all together would be idle while the
 * rest is prepared (depth 32, O_DIRECT: 105k requests/s with one batch, 120k with two). Buffered
 * requests mostly complete as they are submitted, so batches of half the usual depth let the driver
 * work at the same time (page cache, depth 32: 560k with 24, 780k with 16; with 8, 880k but 0.19
 * system calls a request).
 *
 * A request owns its chain of host addresses from virtq_pop() to virtq_push(). The header is copied
 * out once; what the copy says is checked against the disk; the data iovec is what is left of the
 * chain without header and status byte.
 */
#include "devices/virtio/blk_queue.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/block/blk_file.h"
#include "devices/backend/iothread.h"
#include "devices/virtio/virtq.h"
#include "vmm/core/error.h"
#include "vmm/core/evloop.h"
#include "vmm/core/iov.h"
#include "vmm/core/stats.h"

#define BATCH	       32
#define BATCH_FIRST    8
#define BATCH_BUFFERED 16
#define POLL_BATCH     4    /* a driver that fills the ring with fewer at a time waits for each */
#define POLL_REST      15   /* sleeps */
#define GATHER_NS      4000 /* while requests are in flight */
#define SECTOR	       512ull

struct blk_header {
	__le32 type;
	__le32 reserved;
	__le64 sector;
};
static_assert(sizeof(struct blk_header) == 16, "VIRTIO 1.2 5.2.6");

struct blk_range {
	__le64 sector;
	__le32 num_sectors;
	__le32 flags;
};
static_assert(sizeof(struct blk_range) == 16, "VIRTIO 1.2 5.2.6, discard_write_zeroes");

/* The queue's thread counts. */
struct counts {
	uint64_t requests[5], bytes[2]; /* by enum blk_op */
	uint64_t errors;
	uint64_t calls, interrupts; /* system calls of the engine; one more an interrupt */
	uint64_t batch[STATS_BUCKETS], depth[STATS_BUCKETS], latency[STATS_BUCKETS];
};

struct vreq {
	struct blk_req blk;
	uint64_t start; /* ns; 0: not timed */
	struct vreq *next_free;
	uint8_t *status; /* in guest RAM */
	uint32_t used;	 /* bytes written on success, the status included */
	struct virtq_chain chain;
};

struct blk_queue {
	struct blk_queue_config cfg;
	const struct blk_ops *engine_ops;
	struct blk_engine *engine;
	struct iothread *thread;
	char fallback[96];
	/* Requests: reqs[0 .. touched) have been used since the start; those that are free again
	 * are listed, last in first out. A shallow queue touches few pages of the array. */
	struct vreq *reqs, *free;
	unsigned touched, limit, in_flight;
	uint64_t now; /* ns, when the batch in hand was begun; 0: not timed */
	unsigned last_batch;
	unsigned rest, rests; /* sleeps still to come without a look at the ring; how many it was */
	struct counts counts;
	/* from start to stop */
	struct virtq *vq;
	bool stable, dead;
	const struct blk_queue_ops *ops;
	void *arg;
};

static uint64_t capacity(const struct blk_queue *q)
{
	return align_up(q->cfg.file->size, SECTOR) / SECTOR;
}

static uint8_t status_of(int res)
{
	if (res == 0)
		return VIRTIO_BLK_S_OK;
	return res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static bool vreq_room(const struct blk_queue *q)
{
	return q->free || q->touched < q->limit;
}

static struct vreq *vreq_get(struct blk_queue *q)
{
	struct vreq *v = q->free;

	if (v)
		q->free = v->next_free;
	else
		v = &q->reqs[q->touched++];
	return v;
}

static void vreq_put(struct blk_queue *q, struct vreq *v)
{
	v->next_free = q->free;
	q->free = v;
}

static void vreq_finish(struct blk_queue *q, struct vreq *v, uint8_t status)
{
	if (status != VIRTIO_BLK_S_OK)
		count_add(&q->counts.errors, 1);
	if (v->start)
		count_bucket(q->counts.latency, q->now - v->start);
	*v->status = status;
	virtq_push(q->vq, v->chain.head, status == VIRTIO_BLK_S_OK ? v->used : 1);
	vreq_put(q, v);
	q->in_flight--;
}

/* Splits the chain into header, data and status. The status is the last writable byte. */
static int vreq_split(struct vreq *v, struct blk_header *h)
{
	struct virtq_chain *c = &v->chain;
	struct iovec *last;
	unsigned gone;

	if (c->out_len < sizeof(*h) || c->in_len < 1)
		return -EINVAL;
	last = &c->iov[c->nr_out + c->nr_in - 1];
	iov_read(c->iov, c->nr_out, 0, h, sizeof(*h));
	gone = iov_skip(c->iov, c->nr_out, sizeof(*h));
	v->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	last->iov_len--;
	c->out_len -= sizeof(*h);
	c->in_len--;
	v->blk = (struct blk_req){ .iov = &c->iov[gone] };
	v->blk.niov = c->nr_out - gone; /* the readable part */
	v->used = 1;
	return 0;
}

static bool sectors_ok(const struct blk_queue *q, uint64_t sector, uint64_t n)
{
	return range_ok(sector, n, capacity(q));
}

static uint8_t start_transfer(struct blk_queue *q, struct vreq *v, uint64_t sector, bool write)
{
	struct virtq_chain *c = &v->chain;
	struct blk_req *r = &v->blk;

	r->op = write ? BLK_WRITE : BLK_READ;
	r->len = write ? c->out_len : c->in_len;
	r->stable = q->stable;
	if (!write) {
		r->iov = &c->iov[c->nr_out];
		r->niov = c->nr_in;
		if (r->niov && r->iov[r->niov - 1].iov_len == 0)
			r->niov--; /* the status had a descriptor of its own */
		v->used = (uint32_t)(r->len + 1);
	}
	/* §5.2.6.2: out of range fails; so does what the driver should never send. */
	if (r->len % SECTOR || r->len > UINT32_MAX - 1 || !sectors_ok(q, sector, r->len / SECTOR))
		return VIRTIO_BLK_S_IOERR;
	if (write && q->cfg.file->readonly)
		return VIRTIO_BLK_S_IOERR;
	r->off = sector * SECTOR;
	return VIRTIO_BLK_S_OK;
}

/* Discard and write-zeroes: one range (max_discard_seg = 1), within the limits we advertise. */
static uint8_t start_range(struct blk_queue *q, struct vreq *v, bool zero)
{
	struct blk_req *r = &v->blk;
	struct blk_range range;
	uint32_t n, flags;

	if (v->chain.out_len != sizeof(range))
		return VIRTIO_BLK_S_IOERR;
	iov_read(r->iov, r->niov, 0, &range, sizeof(range));
	n = le32toh(range.num_sectors);
	flags = le32toh(range.flags);
	/* §5.2.6.2: unknown flags, and unmap on a discard, are not supported. */
	if (flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return VIRTIO_BLK_S_UNSUPP;
	if (!zero && !q->cfg.file->discard)
		return VIRTIO_BLK_S_UNSUPP;
	if (n > (zero ? BLK_MAX_ZEROES_SECT : BLK_MAX_DISCARD_SECT) ||
	    !sectors_ok(q, le64toh(range.sector), n) || q->cfg.file->readonly)
		return VIRTIO_BLK_S_IOERR;
	r->op = zero ? BLK_WRITE_ZEROES : BLK_DISCARD;
	r->unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	r->off = le64toh(range.sector) * SECTOR;
	r->len = n * SECTOR;
	return VIRTIO_BLK_S_OK;
}

static void get_id(struct blk_queue *q, struct vreq *v)
{
	const struct virtq_chain *c = &v->chain;
	size_t n = iov_write(&c->iov[c->nr_out], c->nr_in, 0, q->cfg.serial, BLK_SERIAL_LEN);

	v->used = (uint32_t)n + 1;
}

/* Fills v->blk; a request without work (length 0) is complete with VIRTIO_BLK_S_OK. */
static uint8_t vreq_parse(struct blk_queue *q, struct vreq *v, const struct blk_header *h)
{
	uint64_t sector = le64toh(h->sector);

	switch (le32toh(h->type)) {
	case VIRTIO_BLK_T_IN:
		return start_transfer(q, v, sector, false);
	case VIRTIO_BLK_T_OUT:
		return start_transfer(q, v, sector, true);
	case VIRTIO_BLK_T_FLUSH:
		v->blk.op = BLK_FLUSH;
		v->blk.len = 1; /* there is work */
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		get_id(q, v);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
		return start_range(q, v, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return start_range(q, v, true);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static void vreq_submit(struct blk_queue *q, struct vreq *v)
{
	enum blk_op op = v->blk.op;

	v->start = q->now;
	count_add(&q->counts.requests[op], 1);
	if (op <= BLK_WRITE)
		count_add(&q->counts.bytes[op], v->blk.len);
	q->engine_ops->submit(q->engine, &v->blk);
}

/* Takes one request: 1, 0 when the ring is empty, -EINVAL when it is broken. A chain without room
 * for a status byte cannot even be failed, so it counts as broken. */
static int take_one(struct blk_queue *q)
{
	struct vreq *v = vreq_get(q);
	struct blk_header h;
	uint8_t status;
	int ret = virtq_pop(q->vq, &v->chain);

	if (ret > 0 && vreq_split(v, &h))
		ret = -EINVAL;
	if (ret <= 0) {
		vreq_put(q, v);
		return ret;
	}
	v->start = 0;
	q->in_flight++;
	status = vreq_parse(q, v, &h);
	if (status != VIRTIO_BLK_S_OK || v->blk.len == 0)
		vreq_finish(q, v, status);
	else
		vreq_submit(q, v);
	return 1;
}

static unsigned batch_max(const struct blk_queue *q)
{
	if (!q->cfg.file->direct)
		return BATCH_BUFFERED;
	return q->in_flight ? BATCH : BATCH_FIRST;
}

/* One look at the clock serves a batch. */
static uint64_t clock_of(const struct blk_queue *q)
{
	return q->cfg.timed ? evloop_now_ns() : 0;
}

static void take_batch(struct blk_queue *q)
{
	unsigned max = batch_max(q), n = 0;

	q->now = clock_of(q);
	while (n < max && vreq_room(q) && !q->dead) {
		int ret = take_one(q);

		if (ret == 0)
			break;
		if (ret < 0) {
			q->dead = true;
			q->ops->broken(q->arg);
		}
		n += ret > 0;
	}
	if (!n)
		return;
	q->last_batch = n;
	count_bucket(q->counts.batch, n);
	count_bucket(q->counts.depth, q->in_flight);
}

static void run_engine(struct blk_queue *q, enum blk_wait wait)
{
	struct blk_req *r = q->engine_ops->run(q->engine, wait), *next;

	if (r)
		q->now = clock_of(q);
	for (; r; r = next) {
		next = r->next;
		vreq_finish(q, container_of(r, struct vreq, blk), status_of(r->res));
	}
}

static void publish(struct blk_queue *q)
{
	if (!virtq_flush(q->vq))
		return;
	count_add(&q->counts.interrupts, 1);
	q->ops->notify(q->arg);
}

static bool some_work(struct blk_queue *q)
{
	return virtq_pending(q->vq) || q->engine_ops->ready(q->engine);
}

/* While requests are in flight, what has come is soon followed by more: left for a moment, it makes
 * one system call and one interrupt serve more of it. */
static void gather(const struct blk_queue *q)
{
	uint64_t end = evloop_now_ns() + GATHER_NS;

	while (q->in_flight && evloop_now_ns() < end)
		__builtin_ia32_pause();
}

/* Looks at the ring and at the completions for a while before paying for sleep and wake-up. True,
 * too, when the thread is to pause: the kick that said so may have been reaped before this. */
static bool look(struct blk_queue *q)
{
	uint64_t end = evloop_now_ns() + q->cfg.poll_usec * 1000ull;

	while (iothread_wanted(q->thread)) {
		if (some_work(q)) {
			gather(q);
			return true;
		}
		if (evloop_now_ns() >= end)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

static bool may_poll(const struct blk_queue *q)
{
	return q->cfg.poll_usec && q->last_batch >= POLL_BATCH && !q->dead && !virtq_pending(q->vq);
}

/* Where looks find work, kicks and wake-ups go away. Where they do not, they become rare: each in
 * vain is followed by twice as many sleeps without. */
static bool poll_for_work(struct blk_queue *q)
{
	bool found;

	if (q->rest) {
		q->rest--;
		return false;
	}
	run_engine(q, BLK_NOWAIT);
	publish(q);
	found = look(q);
	q->rests = found ? 0 : q->rests < POLL_REST ? 2 * q->rests + 1 : q->rests;
	q->rest = q->rests;
	return found;
}

/* Sleep? Only with an empty ring and after asking for kicks (or when there is no room to take more,
 * whatever the ring holds). */
static enum blk_wait may_wait(struct blk_queue *q)
{
	if (q->dead || !vreq_room(q))
		return BLK_WAIT;
	if (virtq_pending(q->vq))
		return BLK_NOWAIT;
	return virtq_enable_kicks(q->vq) ? BLK_NOWAIT : BLK_WAIT;
}

static void queue_loop(void *arg)
{
	struct blk_queue *q = arg;

	while (iothread_wanted(q->thread)) {
		take_batch(q);
		/* What was answered on the spot must not wait for the rest. */
		publish(q);
		if (may_poll(q) && poll_for_work(q))
			continue;
		run_engine(q, may_wait(q));
		virtq_disable_kicks(q->vq);
		publish(q);
	}
	while (q->in_flight)
		run_engine(q, BLK_WAIT);
	publish(q);
}

static int try_engine(struct blk_queue *q, const struct blk_ops *ops, struct error *err)
{
	struct blk_engine_config c = {
		.file = q->cfg.file,
		.mem = q->cfg.mem,
		.pin_ram = q->cfg.pin_ram,
		.kick_fd = q->cfg.kick_fd,
		.calls = &q->counts.calls,
		.depth = q->cfg.depth,
	};

	q->engine_ops = ops;
	return ops->open(&q->engine, &c, err);
}

/* io_uring may be compiled out (ENOSYS), switched off by kernel.io_uring_disabled (EPERM), kept
 * from us by seccomp (either), or too old. */
static int queue_init(void *arg, struct error *err)
{
	struct blk_queue *q = arg;
	struct error why = { 0 };
	int ret;

	if (q->cfg.aio != BLK_AIO_LIBAIO) {
		ret = try_engine(q, &blk_uring_ops, &why);
		if (ret == 0)
			return 0;
		if (q->cfg.aio == BLK_AIO_URING ||
		    (ret != -ENOSYS && ret != -EPERM && ret != -EOPNOTSUPP && ret != -ENOMEM))
			return error_set(err, ret,
					 "%s: use aio=libaio, which does not need io_uring",
					 why.text);
		snprintf(q->fallback, sizeof(q->fallback), "%.90s", why.text);
	}
	return try_engine(q, &blk_aio_ops, err);
}

static void queue_exit(void *arg)
{
	struct blk_queue *q = arg;

	q->engine_ops->close(q->engine);
}

static void queue_paused(void *arg)
{
	struct blk_queue *q = arg;
	/* blk_queue_stop() does not wait for this; who starts the queue again after it has no
	 * left(). */
	const struct blk_queue_ops *ops = __atomic_load_n(&q->ops, __ATOMIC_RELAXED);

	if (ops->left)
		ops->left(q->arg);
}

static const struct iothread_ops thread_ops = {
	.init = queue_init,
	.run = queue_loop,
	.paused = queue_paused,
	.exit = queue_exit,
};

struct blk_queue *blk_queue_new(const struct blk_queue_config *cfg, struct error *err)
{
	struct blk_queue *q = calloc(1, sizeof(*q));

	if (q)
		q->reqs = calloc(cfg->depth, sizeof(*q->reqs));
	if (!q || !q->reqs) {
		error_set(err, -ENOMEM, "%s: out of memory", cfg->name);
		goto fail;
	}
	q->cfg = *cfg;
	q->cfg.name = NULL; /* the caller's */
	q->thread = iothread_new(cfg->name, cfg->kick_fd, &thread_ops, q, err);
	if (q->thread)
		return q;
fail:
	if (q)
		free(q->reqs);
	free(q);
	return NULL;
}

void blk_queue_free(struct blk_queue *q)
{
	if (!q)
		return;
	iothread_free(q->thread);
	free(q->reqs);
	free(q);
}

void blk_queue_start(struct blk_queue *q, struct virtq *vq, bool stable,
		     const struct blk_queue_ops *ops, void *arg)
{
	q->free = NULL;
	q->touched = 0;
	q->limit = q->cfg.depth < vq->size ? q->cfg.depth : vq->size;
	q->vq = vq;
	q->stable = stable;
	q->dead = false;
	__atomic_store_n(&q->ops, ops, __ATOMIC_RELAXED);
	q->arg = arg;
	iothread_resume(q->thread);
}

void blk_queue_stop(struct blk_queue *q)
{
	iothread_pause(q->thread);
	q->vq = NULL;
}

bool blk_queue_leave(struct blk_queue *q)
{
	return iothread_leave(q->thread);
}

void blk_queue_add_stats(const struct blk_queue *q, struct stats *stats, const char *name)
{
	static const char *const ops[] = { "reads", "writes", "flushes", "discards", "zeroes" };
	struct stats_set *s = stats_add_set(stats, "disk queue", name);
	const struct counts *c = &q->counts;

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		stats_add_counter(s, ops[i], &c->requests[i]);
	stats_add_counter(s, "bytes_read", &c->bytes[BLK_READ]);
	stats_add_counter(s, "bytes_written", &c->bytes[BLK_WRITE]);
	stats_add_counter(s, "errors", &c->errors);
	stats_add_counter(s, "system_calls", &c->calls);
	stats_add_counter(s, "interrupts", &c->interrupts);
	stats_add_histogram(s, "batch", c->batch);
	stats_add_histogram(s, "depth", c->depth);
	if (q->cfg.timed)
		stats_add_histogram(s, "latency_ns", c->latency);
}

const char *blk_queue_engine(const struct blk_queue *q)
{
	return q->engine_ops->name;
}

const char *blk_queue_fallback(const struct blk_queue *q)
{
	return q->fallback[0] ? q->fallback : NULL;
}
