// SPDX-License-Identifier: BSD-2-Clause
/*
 * What io_uring and libaio have in common: short transfers, retries, alignment.
 *
 * O_DIRECT wants memory, offset and length aligned. Guests keep to the block size we advertise, so
 * everything here is for the rest: firmware with odd buffers (a bounce buffer, still asynchronous),
 * and 512-byte requests to a disk of 4 KiB blocks, which VIRTIO allows whatever blk_size says
 * (§5.2.6): those are done synchronously, a write as read-modify-write under the file's lock so
 * that two writes into one block keep each other's half.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/blk.h"
#include "devices/blk_file.h"
#include "devices/virtq.h"
#include "vmm/cleanup.h"

#define BOUNCE_MAX  (1 * MiB) /* more goes in several turns */
#define RMW_MAX	    (64 * KiB)
#define RETRIES_MAX 16

static bool finish(struct blk_req *req, int res)
{
	free(req->bounce);
	req->bounce = NULL;
	req->res = res;
	return true;
}

static bool is_transfer(const struct blk_req *req)
{
	return req->op == BLK_READ || req->op == BLK_WRITE;
}

static void consume(struct blk_req *req, size_t n)
{
	unsigned gone = iov_skip(req->iov, req->niov, n);

	req->iov += gone;
	req->niov -= gone;
	req->off += n;
	req->len -= n;
}

/* The image's last sector may be partial; the rest of it reads as zeroes. The end before that
 * means that somebody truncated the file under us. */
static bool read_past_end(const struct blk_file *f, struct blk_req *req)
{
	if (req->off < f->size)
		return finish(req, -EIO);
	iov_zero(req->iov, req->niov, 0, req->len);
	return finish(req, 0);
}

static bool advance_error(struct blk_file *f, struct blk_req *req, int err)
{
	if ((err == -EINTR || err == -EAGAIN) && req->retries++ < RETRIES_MAX)
		return false;
	if (!is_transfer(req) && (err == -EOPNOTSUPP || err == -EINVAL)) {
		blk_req_sync(f, req);
		return true;
	}
	return finish(req, err);
}

bool blk_req_advance(struct blk_file *f, struct blk_req *req, int64_t ret)
{
	size_t n = (uint64_t)ret > req->len ? (size_t)req->len : (size_t)ret;

	if (ret < 0)
		return advance_error(f, req, (int)ret);
	if (!is_transfer(req))
		return finish(req, 0);
	if (req->bounce && req->op == BLK_READ)
		iov_write(req->iov, req->niov, 0, req->bounce, n);
	free(req->bounce);
	req->bounce = NULL;
	consume(req, n);
	if (req->len == 0)
		return finish(req, 0);
	if (req->op == BLK_READ && (n == 0 || req->off >= f->size))
		return read_past_end(f, req);
	if (n == 0)
		return finish(req, -EIO);
	req->retries = 0;
	return false;
}

static bool iov_aligned(const struct blk_file *f, const struct blk_req *req)
{
	uintptr_t bits = 0;
	size_t lens = 0;

	for (unsigned i = 0; i < req->niov; i++) {
		bits |= (uintptr_t)req->iov[i].iov_base;
		lens |= req->iov[i].iov_len;
	}
	return !(bits & (f->mem_align - 1)) && !(lens & (f->block_size - 1));
}

int blk_req_bounce(struct blk_file *f, struct blk_req *req)
{
	size_t n = req->len < BOUNCE_MAX ? (size_t)req->len : BOUNCE_MAX;

	if (!f->direct)
		return 0;
	if ((req->off | req->len) & (f->block_size - 1))
		return -EXDEV;
	if (iov_aligned(f, req))
		return 0;
	free(req->bounce);
	req->bounce = aligned_alloc(4096, align_up(n, 4096));
	if (!req->bounce)
		return -ENOMEM;
	if (req->op == BLK_WRITE)
		iov_read(req->iov, req->niov, 0, req->bounce, n);
	return (int)n;
}

/* Whole blocks around [off, off + n) into buf; what lies past the end is zero. */
static int rmw_read(struct blk_file *f, char *buf, uint64_t start, size_t span)
{
	ssize_t n = pread(f->fd, buf, span, (off_t)start);

	if (n < 0)
		return -errno;
	memset(buf + n, 0, span - (size_t)n);
	return 0;
}

/* One turn of at most RMW_MAX bytes; returns the bytes done or -errno. */
static int64_t rmw_turn(struct blk_file *f, const struct blk_req *req)
{
	uint64_t start = align_down(req->off, f->block_size);
	size_t skip = (size_t)(req->off - start);
	size_t n = req->len < RMW_MAX - skip ? (size_t)req->len : RMW_MAX - skip;
	size_t span = (size_t)align_up(skip + n, f->block_size);
	scoped_free char *buf = aligned_alloc(4096, align_up(span, 4096));
	int ret;

	if (!buf)
		return -ENOMEM;
	ret = rmw_read(f, buf, start, span);
	if (ret)
		return ret;
	if (req->op == BLK_READ)
		return (int64_t)iov_write(req->iov, req->niov, 0, buf + skip, n);
	iov_read(req->iov, req->niov, 0, buf + skip, n);
	if (pwrite(f->fd, buf, span, (off_t)start) != (ssize_t)span)
		return errno ? -errno : -EIO;
	return (int64_t)n;
}

static int rmw(struct blk_file *f, struct blk_req *req)
{
	scoped_lock(&f->rmw_lock);

	while (req->len) {
		int64_t n;

		errno = 0;
		n = rmw_turn(f, req);
		if (n <= 0)
			return n ? (int)n : -EIO;
		consume(req, (size_t)n);
	}
	return req->stable && fdatasync(f->fd) ? -errno : 0;
}

void blk_req_sync(struct blk_file *f, struct blk_req *req)
{
	int ret = 0;

	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		ret = rmw(f, req);
		break;
	case BLK_FLUSH:
		ret = fdatasync(f->fd) ? -errno : 0;
		break;
	case BLK_DISCARD:
		ret = blk_file_discard(f, req->off, req->len);
		break;
	case BLK_WRITE_ZEROES:
		ret = blk_file_zero(f, req->off, req->len, req->unmap);
		break;
	}
	finish(req, ret);
}
