/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block requests and the engines that carry them out: io_uring (blk_uring.c) and libaio
 * (blk_aio.c) are two tables of the same shape.
 *
 * Threads: an engine is opened, used and closed by one thread, its queue's.
 */
#ifndef DEVICES_BLOCK_ENGINE_H
#define DEVICES_BLOCK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/core/addr.h"

struct blk_file;
struct error;
struct guest_mem;

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

struct blk_req {
	enum blk_op op;
	bool stable; /* what it changes is on stable storage before it completes */
	bool unmap;  /* BLK_WRITE_ZEROES: may deallocate */
	unsigned niov;
	struct iovec *iov; /* consumed from the front as the transfer advances */
	uint64_t off, len; /* bytes still to do */
	int res;	   /* when complete: 0 or -errno */
	unsigned retries;
	struct blk_req *next; /* the engine's */
	uint64_t start;	      /* the runner's: ns; 0: not timed */
	/* the gate's */
	void *bounce;
	size_t bounce_len;
	uint64_t first, end; /* what it changes while it is tracked */
	struct blk_req *prev_tracked, *next_tracked;
	bool tracked;
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

/*
 * What engines share: a gate before the kernel, one an engine. Requests enter it on their way in
 * and pass it again with the kernel's answer. It has the rules of O_DIRECT (blk_req.c).
 */
#define BLK_BOUNCE_ROOM (4 * MiB) /* of aligned buffers that a queue has at one time */

struct blk_gate {
	struct blk_file *file;
	bool ranges;		       /* the engine can discard and zero this file */
	size_t room;		       /* bytes of aligned buffers that may still be taken */
	bool busy;		       /* the first that waits does so for another queue */
	bool looked;		       /* in this turn, where the file ends: */
	uint64_t end;		       /* there */
	struct blk_req *first, **last; /* wait, in the order they came in */
};

enum blk_way {
	BLK_GO,	   /* the engine carries it out; with `bounce` set, bounce_len bytes from there */
	BLK_DONE,  /* it is complete, res is set */
	BLK_LATER, /* it waits in the gate; blk_gate_next() returns it */
};

void blk_gate_init(struct blk_gate *, struct blk_file *, bool ranges);
enum blk_way blk_gate_enter(struct blk_gate *, struct blk_req *);
/* The next of those that waited, and its way; NULL: nothing waits that could go on now. To be
 * called after completions, and with `busy` set time and again. */
struct blk_req *blk_gate_next(struct blk_gate *, enum blk_way *);
/* Ends a turn. How an engine may wait: what waits for another queue is to be tried again soon. */
enum blk_wait blk_gate_wait(struct blk_gate *, enum blk_wait);
/* Takes the kernel's answer to (a part of) a request. True: complete, req->res is set. False: there
 * is more to do, let the rest enter again. */
bool blk_gate_answer(struct blk_gate *, struct blk_req *, int64_t ret);
/* The engine cannot carry out what the gate let through. */
void blk_gate_fail(struct blk_gate *, struct blk_req *, int res);

#endif
