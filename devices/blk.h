/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block requests and the engines that carry them out: io_uring (blk_uring.c) and libaio
 * (blk_aio.c) are two tables of the same shape.
 *
 * Threads: an engine is opened, used and closed by one thread, its queue's.
 */
#ifndef DEVICES_BLK_H
#define DEVICES_BLK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct blk_file;
struct error;
struct guest_mem;

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

struct blk_req {
	enum blk_op op;
	bool stable; /* BLK_WRITE: on stable storage before it completes (RWF_DSYNC) */
	bool unmap;  /* BLK_WRITE_ZEROES: may deallocate */
	unsigned niov;
	struct iovec *iov; /* consumed from the front as the transfer advances */
	uint64_t off, len; /* bytes still to do */
	int res;	   /* when complete: 0 or -errno */
	unsigned retries;
	/* the engine's */
	void *bounce;
	struct blk_req *next;
};

struct blk_engine_config {
	struct blk_file *file;
	const struct guest_mem *mem; /* registered with the kernel when pin_ram */
	bool pin_ram;
	int kick_fd;	 /* eventfd that run() also waits for */
	uint64_t *calls; /* count_add()ed for each system call */
	unsigned depth;
};

struct blk_engine;

enum blk_wait { BLK_NOWAIT, BLK_WAIT };

struct blk_ops {
	const char *name;
	/* -ENOSYS, -EPERM or -EOPNOTSUPP: not on this system, try another. */
	int (*open)(struct blk_engine **, const struct blk_engine_config *, struct error *);
	void (*close)(struct blk_engine *); /* nothing is in flight */
	/* Queues a request without entering the kernel. The caller keeps at most `depth` requests
	 * in flight. */
	void (*submit)(struct blk_engine *, struct blk_req *);
	/* Hands what is queued to the kernel and reaps; returns the list of complete requests. With
	 * BLK_WAIT it sleeps until there is a completion or a kick. */
	struct blk_req *(*run)(struct blk_engine *, enum blk_wait);
	/* Something to reap, without entering the kernel? For polling. */
	bool (*ready)(struct blk_engine *);
};

extern const struct blk_ops blk_uring_ops, blk_aio_ops;

/* What engines share. */

/* Takes the kernel's answer to (a part of) a request. True: complete, req->res is set. False: there
 * is more to do, submit the rest. */
bool blk_req_advance(struct blk_file *, struct blk_req *, int64_t ret);
/* Operations that have no asynchronous form, or whose form this file refused. Sets req->res. */
void blk_req_sync(struct blk_file *, struct blk_req *);
/* Gives a transfer that O_DIRECT would refuse an aligned buffer (write: filled). 1: use
 * req->bounce, len req->len; 0: not needed; -errno: cannot, the request fails, or -EXDEV: only
 * blk_req_sync() can do it (part of a block). */
int blk_req_bounce(struct blk_file *, struct blk_req *);

#endif
