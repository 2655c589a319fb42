/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common part of io_uring and libaio: short transfers, retries, alignment.
 *
 * O_DIRECT needs aligned memory, offsets and lengths. Guests usually use the physical block size
 * that we report. The code here is for all other requests:
 *
 * For an unaligned buffer (as firmware uses), an aligned buffer is allocated, and the request stays
 * asynchronous. A queue has at most BLK_BOUNCE_ROOM bytes of such buffers. If there is no room, a
 * request waits for those before it. A request has one buffer at a time, of at most BOUNCE_MAX, and
 * only while the kernel works on it. A waiting request holds no buffer, so no request waits for
 * ever. The buffers are freed at once, so a queue that needs none has none.
 *
 * Requests for a part of a block (512 bytes on storage with 4 KiB blocks) are done synchronously; a
 * write is a read-modify-write. The lock of the file excludes two of them at the same time. There
 * is also a list of asynchronous writes of whole blocks in flight (only for a file that needs it).
 * While one of them overlaps, the read-modify-write waits.
 *
 * An image may end within a block, or within a sector. Writes there go through the page cache, byte
 * by byte, and never make the file longer. The guest reads zeroes behind the end. Writing zeroes
 * there succeeds, and writing other data fails, because it could not be stored.
 *
 * The end is the one that the guest was told. If the file ends before, somebody has truncated it.
 * Then reading the lost part fails, and so does writing, because it would make the file longer
 * again. Writes of whole blocks share one check of the file's end: there is one check for each time
 * that the queue's thread has been in the kernel for requests.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/engine.h"
#include "devices/block/blk_file.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/iov.h"

#define BOUNCE_MAX  (1 * MiB) /* larger requests take several turns */
#define PART_MAX    (64 * KiB)
#define RETRIES_MAX 16
#define BUSY_USEC   100 /* pause between two checks of what another queue has in flight */

static_assert(BOUNCE_MAX <= BLK_BOUNCE_ROOM, "the first in line always gets its buffer");

void blk_gate_init(struct blk_gate *g, struct blk_file *f, bool ranges)
{
	*g = (struct blk_gate){ .file = f, .ranges = ranges, .room = BLK_BOUNCE_ROOM };
	g->last = &g->first;
}

static bool is_transfer(const struct blk_req *req)
{
	return req->op == BLK_READ || req->op == BLK_WRITE;
}

static bool is_change(const struct blk_req *req)
{
	return req->op != BLK_READ && req->op != BLK_FLUSH;
}

static void consume(struct blk_req *req, size_t n)
{
	unsigned gone = iov_skip(req->iov, req->niov, n);

	req->iov += gone;
	req->niov -= gone;
	req->off += n;
	req->len -= n;
}

/* ---- requests in flight that change whole blocks ---- */

static void track(struct blk_file *f, struct blk_req *req)
{
	if (req->tracked)
		return;
	scoped_lock(&f->part_lock);
	req->tracked = true;
	req->first = req->off;
	/* cannot wrap: it was checked against the size of the disk */
	req->end = req->off + req->len;
	req->prev_tracked = NULL;
	req->next_tracked = f->tracked;
	if (f->tracked)
		f->tracked->prev_tracked = req;
	f->tracked = req;
}

static void untrack(struct blk_file *f, struct blk_req *req)
{
	scoped_lock(&f->part_lock);

	req->tracked = false;
	if (req->next_tracked)
		req->next_tracked->prev_tracked = req->prev_tracked;
	if (req->prev_tracked)
		req->prev_tracked->next_tracked = req->next_tracked;
	else
		f->tracked = req->next_tracked;
}

/* True if one of the request's blocks is being changed. Called with part_lock held. */
static bool overlaps_tracked(const struct blk_file *f, const struct blk_req *req)
{
	uint64_t first = align_down(req->off, f->io_align);
	uint64_t n = align_up(req->len + (req->off - first), f->io_align);

	for (const struct blk_req *t = f->tracked; t; t = t->next_tracked)
		if (range_overlaps(first, n, t->first, t->end - t->first))
			return true;
	return false;
}

/* ---- aligned buffers ---- */

static void bounce_put(struct blk_gate *g, struct blk_req *req)
{
	if (!req->bounce)
		return;
	free(req->bounce);
	req->bounce = NULL;
	g->room += req->bounce_len;
}

/* 0; -EAGAIN while other requests have all the room; or -ENOMEM. */
static int bounce_get(struct blk_gate *g, struct blk_req *req)
{
	size_t n = req->len < BOUNCE_MAX ? (size_t)req->len : BOUNCE_MAX;

	bounce_put(g, req);
	if (n > g->room)
		return -EAGAIN;
	req->bounce = aligned_alloc(4096, align_up(n, 4096));
	if (!req->bounce)
		return g->room < BLK_BOUNCE_ROOM ? -EAGAIN : -ENOMEM;
	req->bounce_len = n;
	g->room -= n;
	if (req->op == BLK_WRITE)
		iov_read(req->iov, req->niov, 0, req->bounce, n);
	return 0;
}

static bool iov_aligned(const struct blk_file *f, const struct blk_req *req)
{
	uintptr_t bits = 0;
	size_t lens = 0;

	for (unsigned i = 0; i < req->niov; i++) {
		bits |= (uintptr_t)req->iov[i].iov_base;
		lens |= req->iov[i].iov_len;
	}
	return !(bits & (f->mem_align - 1)) && !(lens & (f->io_align - 1));
}

/* ---- answers ---- */

static bool finish(struct blk_gate *g, struct blk_req *req, int res)
{
	bounce_put(g, req);
	if (req->tracked)
		untrack(g->file, req);
	req->res = res;
	return true;
}

void blk_gate_fail(struct blk_gate *g, struct blk_req *req, int res)
{
	finish(g, req, res);
}

/* The image's last sector may be partial; the rest of it reads as zeroes. The end before that
 * means that somebody truncated the file under us. */
static bool read_past_end(struct blk_gate *g, struct blk_req *req)
{
	if (req->off < g->file->size)
		return finish(g, req, -EIO);
	iov_zero(req->iov, req->niov, 0, req->len);
	return finish(g, req, 0);
}

/* ---- what is done here and now ---- */

/* Whole blocks into buf; what lies past the end is zero. A read stops before a block that cannot be
 * read, and one that begins there says why. Nothing to read before the end means that somebody
 * truncated the file under us. */
static int blocks_read(const struct blk_file *f, char *buf, uint64_t start, size_t span)
{
	uint64_t left = start < f->size ? f->size - start : 0;
	size_t want = span < left ? span : (size_t)left, got = 0;

	while (got < want) {
		ssize_t n = pread(f->fd, buf + got, span - got, (off_t)(start + got));
		size_t end = n > 0 ? got + (size_t)n : got;

		if (n < 0)
			return -errno;
		if (end < want)
			end = (size_t)align_down(end, f->io_align);
		if (end == got)
			return -EIO;
		got = end;
	}
	memset(buf + want, 0, span - want);
	return 0;
}

/* True if somebody has truncated the file, so that the write would make it longer. */
static bool lacks_room(const struct blk_file *f, const struct blk_req *req)
{
	/* cannot wrap: it was checked before */
	uint64_t end = align_up(req->off + req->len, f->io_align);
	struct stat st;

	if (f->is_blkdev || req->op != BLK_WRITE)
		return false;
	return fstat(f->fd, &st) || (uint64_t)st.st_size < (end < f->size ? end : f->size);
}

static int exactly(ssize_t done, size_t n)
{
	if (done == (ssize_t)n)
		return 0;
	return done < 0 ? -errno : -EIO;
}

/* Does one turn of at most PART_MAX bytes within whole blocks. Returns the number of bytes done, or
 * a negative errno. */
static int64_t part_turn(struct blk_file *f, const struct blk_req *req, uint64_t max)
{
	uint64_t start = align_down(req->off, f->io_align);
	size_t skip = (size_t)(req->off - start);
	size_t n = max < PART_MAX - skip ? (size_t)max : PART_MAX - skip;
	size_t span = (size_t)align_up(skip + n, f->io_align);
	scoped_free char *buf = aligned_alloc(4096, align_up(span, 4096));
	int ret = 0;

	if (!buf)
		return -ENOMEM;
	if (req->op == BLK_READ || skip || span != n)
		ret = blocks_read(f, buf, start, span);
	if (ret)
		return ret;
	if (req->op == BLK_READ)
		return (int64_t)iov_write(req->iov, req->niov, 0, buf + skip, n);
	iov_read(req->iov, req->niov, 0, buf + skip, n);
	ret = exactly(pwrite(f->fd, buf, span, (off_t)start), span);
	return ret ? ret : (int64_t)n;
}

static bool all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* The same behind the last whole block: data up to the image's end, and zeroes behind it. */
static int64_t tail_turn(struct blk_file *f, const struct blk_req *req)
{
	size_t n = req->len < PART_MAX ? (size_t)req->len : PART_MAX;
	uint64_t left = req->off < f->size ? f->size - req->off : 0;
	size_t keep = n < left ? n : (size_t)left;
	scoped_free char *buf = malloc(n);
	int ret = 0;

	if (!buf)
		return -ENOMEM;
	iov_read(req->iov, req->niov, 0, buf, n);
	if (!all_zero(buf + keep, n - keep))
		return -ENOSPC;
	if (keep)
		ret = exactly(
			pwrite(f->tail_fd >= 0 ? f->tail_fd : f->fd, buf, keep, (off_t)req->off),
			keep);
	return ret ? ret : (int64_t)n;
}

static int64_t transfer_turn(struct blk_file *f, const struct blk_req *req)
{
	uint64_t max = req->len;

	if (req->op == BLK_READ)
		return part_turn(f, req, max);
	if (req->off >= f->whole)
		return tail_turn(f, req);
	if (max > f->whole - req->off)
		max = f->whole - req->off;
	return part_turn(f, req, max);
}

static int transfer_sync(struct blk_file *f, struct blk_req *req)
{
	if (lacks_room(f, req))
		return -EIO;
	while (req->len) {
		int64_t n = transfer_turn(f, req);

		if (n <= 0)
			return n ? (int)n : -EIO;
		consume(req, (size_t)n);
	}
	return 0;
}

/* The last way, for storage that supports neither, or needs larger blocks. */
static int write_zeros(struct blk_file *f, const struct blk_req *req)
{
	scoped_free char *zeros = calloc(1, PART_MAX);
	uint64_t left = req->off < f->size ? f->size - req->off : 0, off = req->off;
	int ret = zeros ? 0 : -ENOMEM;

	if (left > req->len)
		left = req->len;
	while (left && !ret) {
		size_t n = left < PART_MAX ? (size_t)left : PART_MAX;
		struct iovec iov = { zeros, n };
		struct blk_req part = {
			.op = BLK_WRITE, .iov = &iov, .niov = 1, .off = off, .len = n
		};

		ret = transfer_sync(f, &part);
		off += n;
		left -= n;
	}
	return ret;
}

static int range_sync(struct blk_file *f, struct blk_req *req)
{
	int ret;

	if (req->op == BLK_DISCARD)
		return blk_file_discard(f, req->off, req->len);
	ret = blk_file_zero(f, req->off, req->len, req->unmap);
	return ret ? write_zeros(f, req) : 0;
}

static int carry_out(struct blk_file *f, struct blk_req *req)
{
	bool stable = req->stable && is_change(req);
	int ret;

	if (is_transfer(req))
		ret = transfer_sync(f, req);
	else
		ret = req->op == BLK_FLUSH ? 0 : range_sync(f, req);
	if (!ret && (stable || req->op == BLK_FLUSH))
		ret = fdatasync(f->fd) ? -errno : 0;
	return ret;
}

static enum blk_way change_sync(struct blk_gate *g, struct blk_req *req)
{
	struct blk_file *f = g->file;

	if (req->tracked)
		untrack(f, req); /* this request itself came back from the kernel */
	scoped_lock(&f->part_lock);
	if (overlaps_tracked(f, req))
		return BLK_LATER;
	req->res = carry_out(f, req);
	return BLK_DONE;
}

static enum blk_way go_sync(struct blk_gate *g, struct blk_req *req)
{
	enum blk_way way;

	if (!is_change(req)) {
		finish(g, req, carry_out(g->file, req));
		return BLK_DONE;
	}
	way = change_sync(g, req);
	g->busy = way == BLK_LATER;
	return way;
}

/* The same for what the kernel writes. A look costs a system call, which a turn's writes share. */
static bool is_cut(struct blk_gate *g, const struct blk_req *req)
{
	struct stat st;

	if (req->op != BLK_WRITE || g->file->is_blkdev)
		return false;
	if (!g->looked)
		g->end = fstat(g->file->fd, &st) ? 0 : (uint64_t)st.st_size;
	g->looked = true;
	return !range_ok(req->off, req->len, g->end);
}

/* ---- the gate ---- */

/* True if the kernel cannot do the request as it is. */
static bool needs_sync(const struct blk_gate *g, const struct blk_req *req)
{
	const struct blk_file *f = g->file;
	bool part = (req->off | req->len) & (f->io_align - 1);

	if (req->op == BLK_READ)
		return part;
	if (req->op == BLK_WRITE)
		return part || !range_ok(req->off, req->len, f->whole);
	return req->op != BLK_FLUSH && (part || !g->ranges);
}

static enum blk_way way_in(struct blk_gate *g, struct blk_req *req)
{
	struct blk_file *f = g->file;

	if (needs_sync(g, req))
		return go_sync(g, req);
	if (is_cut(g, req)) {
		finish(g, req, -EIO);
		return BLK_DONE;
	}
	if (f->direct && is_transfer(req) && !iov_aligned(f, req)) {
		int ret = bounce_get(g, req);

		if (ret == -EAGAIN)
			return BLK_LATER;
		if (ret) {
			finish(g, req, ret);
			return BLK_DONE;
		}
	}
	if (f->tracks && is_change(req))
		track(f, req);
	return BLK_GO;
}

/* True if it would use something that waiting requests wait for. */
static bool may_wait(const struct blk_gate *g, const struct blk_req *req)
{
	const struct blk_file *f = g->file;

	return f->direct && (needs_sync(g, req) || (is_transfer(req) && !iov_aligned(f, req)));
}

enum blk_way blk_gate_enter(struct blk_gate *g, struct blk_req *req)
{
	enum blk_way way = BLK_LATER;

	if (!g->first || !may_wait(g, req))
		way = way_in(g, req);
	if (way == BLK_LATER) {
		if (req->tracked) /* it has come back short; a waiting request must hold nothing */
			untrack(g->file, req);
		req->next = NULL;
		*g->last = req;
		g->last = &req->next;
	}
	return way;
}

struct blk_req *blk_gate_next(struct blk_gate *g, enum blk_way *way)
{
	struct blk_req *req = g->first;

	if (!req)
		return NULL;
	g->busy = false;
	*way = way_in(g, req);
	if (*way == BLK_LATER)
		return NULL;
	g->first = req->next;
	if (!g->first)
		g->last = &g->first;
	return req;
}

enum blk_wait blk_gate_wait(struct blk_gate *g, enum blk_wait wait)
{
	g->looked = false;
	if (wait == BLK_NOWAIT || !g->busy)
		return wait;
	usleep(BUSY_USEC);
	return BLK_NOWAIT;
}

static bool answer_error(struct blk_gate *g, struct blk_req *req, int err)
{
	if ((err == -EINTR || err == -EAGAIN) && req->retries++ < RETRIES_MAX)
		return false;
	/* Only for whole blocks: if a part of a block can be written meanwhile, the request is
	 * tracked. */
	if (!is_transfer(req) && (err == -EOPNOTSUPP || err == -EINVAL))
		err = carry_out(g->file, req);
	return finish(g, req, err);
}

bool blk_gate_answer(struct blk_gate *g, struct blk_req *req, int64_t ret)
{
	size_t n = (uint64_t)ret > req->len ? (size_t)req->len : (size_t)ret;

	if (ret < 0)
		return answer_error(g, req, (int)ret);
	if (!is_transfer(req)) {
		if (req->op == BLK_FLUSH || !req->stable)
			return finish(g, req, 0);
		req->op = BLK_FLUSH; /* the flush is a separate request, which is asynchronous */
		return false;
	}
	if (req->bounce && req->op == BLK_READ)
		iov_write(req->iov, req->niov, 0, req->bounce, n);
	bounce_put(g, req);
	consume(req, n);
	if (req->len == 0)
		return finish(g, req, 0);
	if (req->op == BLK_READ && (n == 0 || req->off >= g->file->size))
		return read_past_end(g, req);
	if (n == 0)
		return finish(g, req, -EIO);
	req->retries = 0;
	return false;
}
