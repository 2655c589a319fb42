/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio-blk queue (VIRTIO 1.2 §5.2.6): requests from a virtqueue for the thread in
 * devices/block/runner.c.
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
#include <stdlib.h>
#include <string.h>

#include "devices/block/blk_file.h"
#include "devices/virtio/virtq.h"
#include "vmm/core/error.h"
#include "vmm/core/iov.h"

#define SECTOR 512ull

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

struct vreq {
	struct blk_req blk;
	struct vreq *next_free;
	uint8_t *status; /* in guest RAM */
	uint32_t used;	 /* bytes written on success, the status included */
	struct virtq_chain chain;
};

struct blk_queue {
	struct blk_runner *runner;
	const struct blk_file *file;
	char serial[BLK_SERIAL_LEN];
	/* Requests: reqs[0 .. touched) have been used since the start; those that are free again
	 * are listed, last in first out. A shallow queue touches few pages of the array. */
	struct vreq *reqs, *free;
	unsigned touched, depth;
	/* from start to stop */
	struct virtq *vq;
	bool stable, dead;
	const struct blk_queue_ops *ops;
	void *arg;
};

static uint64_t capacity(const struct blk_queue *q)
{
	return align_up(q->file->size, SECTOR) / SECTOR;
}

static uint8_t status_of(int res)
{
	if (res == 0)
		return VIRTIO_BLK_S_OK;
	return res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* There is one: the runner asks for no more than its limit. */
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
	*v->status = status;
	virtq_push(q->vq, v->chain.head, status == VIRTIO_BLK_S_OK ? v->used : 1);
	vreq_put(q, v);
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
	if (write && q->file->readonly)
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
	if (!zero && !q->file->discard)
		return VIRTIO_BLK_S_UNSUPP;
	if (n > (zero ? BLK_MAX_ZEROES_SECT : BLK_MAX_DISCARD_SECT) ||
	    !sectors_ok(q, le64toh(range.sector), n) || q->file->readonly)
		return VIRTIO_BLK_S_IOERR;
	r->op = zero ? BLK_WRITE_ZEROES : BLK_DISCARD;
	r->stable = q->stable;
	r->unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	r->off = le64toh(range.sector) * SECTOR;
	r->len = n * SECTOR;
	return VIRTIO_BLK_S_OK;
}

static void get_id(struct blk_queue *q, struct vreq *v)
{
	const struct virtq_chain *c = &v->chain;
	size_t n = iov_write(&c->iov[c->nr_out], c->nr_in, 0, q->serial, BLK_SERIAL_LEN);

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
	status = vreq_parse(q, v, &h);
	if (status == VIRTIO_BLK_S_OK && v->blk.len) {
		blk_runner_submit(q->runner, &v->blk);
		return 1;
	}
	if (status != VIRTIO_BLK_S_OK)
		blk_runner_refused(q->runner);
	vreq_finish(q, v, status);
	return 1;
}

/* ---- for the runner ---- */

static unsigned queue_take(void *front, unsigned max)
{
	struct blk_queue *q = front;
	unsigned n;
	int ret;

	for (n = 0; n < max && !q->dead; n++) {
		ret = take_one(q);
		if (ret == 0)
			break;
		if (ret < 0) {
			q->dead = true;
			q->ops->broken(q->arg);
			break;
		}
	}
	return n;
}

static void queue_complete(void *front, struct blk_req *list)
{
	struct blk_req *next;

	for (; list; list = next) {
		next = list->next;
		vreq_finish(front, container_of(list, struct vreq, blk), status_of(list->res));
	}
}

static bool queue_publish(void *front)
{
	struct blk_queue *q = front;

	if (!virtq_flush(q->vq))
		return false;
	q->ops->notify(q->arg);
	return true;
}

static bool queue_pending(void *front)
{
	struct blk_queue *q = front;

	return !q->dead && virtq_pending(q->vq);
}

/* Of a broken ring nothing is wanted. */
static bool queue_kicks_on(void *front)
{
	struct blk_queue *q = front;

	return q->dead || (!virtq_pending(q->vq) && !virtq_enable_kicks(q->vq));
}

static unsigned queue_kick_at(void *front, unsigned n)
{
	struct blk_queue *q = front;

	return q->dead ? 0 : virtq_kick_at(q->vq, n);
}

static void queue_kicks_off(void *front)
{
	virtq_disable_kicks(((struct blk_queue *)front)->vq);
}

static void queue_left(void *front)
{
	struct blk_queue *q = front;
	/* blk_queue_stop() does not wait for this; who starts the queue again after it has no
	 * left(). */
	const struct blk_queue_ops *ops = __atomic_load_n(&q->ops, __ATOMIC_RELAXED);

	if (ops->left)
		ops->left(q->arg);
}

static const struct blk_front_ops front_ops = {
	.take = queue_take,
	.complete = queue_complete,
	.publish = queue_publish,
	.pending = queue_pending,
	.kicks_on = queue_kicks_on,
	.kick_at = queue_kick_at,
	.kicks_off = queue_kicks_off,
	.left = queue_left,
};

/* ---- for the device ---- */

struct blk_queue *blk_queue_new(const struct blk_queue_config *cfg, struct error *err)
{
	struct blk_queue *q = calloc(1, sizeof(*q));

	if (!q) {
		error_set(err, -ENOMEM, "%s: out of memory", cfg->run.name);
		return NULL;
	}
	q->depth = cfg->run.engine.depth;
	q->file = cfg->run.engine.file;
	memcpy(q->serial, cfg->serial, sizeof(q->serial));
	q->reqs = calloc(q->depth, sizeof(*q->reqs));
	if (q->reqs)
		q->runner = blk_runner_new(&cfg->run, &front_ops, q, err);
	else
		error_set(err, -ENOMEM, "%s: out of memory", cfg->run.name);
	if (q->runner)
		return q;
	blk_queue_free(q);
	return NULL;
}

void blk_queue_free(struct blk_queue *q)
{
	if (!q)
		return;
	blk_runner_free(q->runner);
	free(q->reqs);
	free(q);
}

void blk_queue_start(struct blk_queue *q, struct virtq *vq, bool stable,
		     const struct blk_queue_ops *ops, void *arg)
{
	q->free = NULL;
	q->touched = 0;
	q->vq = vq;
	q->stable = stable;
	q->dead = false;
	__atomic_store_n(&q->ops, ops, __ATOMIC_RELAXED);
	q->arg = arg;
	blk_runner_start(q->runner, q->depth < vq->size ? q->depth : vq->size);
}

void blk_queue_stop(struct blk_queue *q)
{
	blk_runner_stop(q->runner);
	q->vq = NULL;
}

const struct blk_runner *blk_queue_runner(const struct blk_queue *q)
{
	return q->runner;
}

bool blk_queue_leave(struct blk_queue *q)
{
	return blk_runner_leave(q->runner);
}
