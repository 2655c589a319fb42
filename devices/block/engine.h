/* SPDX-License-Identifier: BSD-2-Clause */
/* Block requests, and the engines that execute them: io_uring (blk_uring.c) and libaio (blk_aio.c)
 * are two tables of the same type. Threads: the thread of the queue opens, uses and closes the
 * engine. */
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
	bool stable; /* its data must be on stable storage before it completes */
	bool unmap;  /* BLK_WRITE_ZEROES: may free the storage */
	unsigned niov;
	struct iovec *iov; /* done pieces are removed from the front */
	uint64_t off, len; /* the bytes that are still to do */
	int res;	   /* when complete: 0 or -errno */
	unsigned retries;
	struct blk_req *next; /* the engine's */
	uint64_t start;	      /* for the runner: ns; 0: not timed */
	/* the gate's */
	void *bounce;
	size_t bounce_len;
	uint64_t first, end; /* the range that it changes, while it is tracked */
	struct blk_req *prev_tracked, *next_tracked;
	bool tracked;
};

struct blk_engine_config {
	struct blk_file *file;
	const struct guest_mem *mem;
	bool ram_pinned; /* guest RAM is pinned, in huge pages: see fixed_ram.h */
	int kick_fd;	 /* run() also waits for this eventfd */
	uint64_t *calls; /* incremented for each system call */
	unsigned depth;
};

struct blk_engine;

enum blk_wait {
	BLK_NOWAIT,
	BLK_WAIT,
	BLK_MOMENT, /* waits at most BLK_MOMENT_NS */
};
#define BLK_MOMENT_NS 50000

struct blk_ops {
	const char *name;
	/* -ENOSYS, -EPERM or -EOPNOTSUPP: the engine does not work on this system; try another one.
	 */
	int (*open)(struct blk_engine **, const struct blk_engine_config *, struct error *);
	void (*close)(struct blk_engine *); /* no request may be in flight */
	/* Queues a request without entering the kernel. The caller keeps at most `depth` requests
	 * in flight. */
	void (*submit)(struct blk_engine *, struct blk_req *);
	/* Submits the queued requests to the kernel, and returns the list of completed requests.
	 * With BLK_WAIT and BLK_MOMENT it sleeps until there is a completion or a kick. */
	struct blk_req *(*run)(struct blk_engine *, enum blk_wait);
	/* True if there are completions; does not enter the kernel. For polling. */
	bool (*ready)(struct blk_engine *);
};

extern const struct blk_ops blk_uring_ops, blk_aio_ops;

/* The gate before the kernel; each engine has one. A request enters it before it goes to the
 * kernel, and again with the kernel's result. The gate has the rules of O_DIRECT (blk_req.c). */
#define BLK_BOUNCE_ROOM (4 * MiB) /* maximum of aligned buffers of a queue, in bytes */

struct blk_gate {
	struct blk_file *file;
	bool ranges;		       /* the engine can discard and zero this file */
	size_t room;		       /* bytes of aligned buffers that are still free */
	bool busy;		       /* the first waiting request waits for another queue */
	bool looked;		       /* in this turn, where the file ends: */
	uint64_t end;		       /* there */
	struct blk_req *first, **last; /* waiting requests, in the order in which they came */
};

enum blk_way {
	/* the engine must execute it; if `bounce` is set, bounce_len bytes with that buffer */
	BLK_GO,
	BLK_DONE,  /* it is complete, and res is set */
	BLK_LATER, /* it waits in the gate, and blk_gate_next() will return it */
};

void blk_gate_init(struct blk_gate *, struct blk_file *, bool ranges);
enum blk_way blk_gate_enter(struct blk_gate *, struct blk_req *);
/* The next waiting request that can go on now, and its way. NULL: there is none. Must be called
 * after completions, and again and again while `busy` is set. */
struct blk_req *blk_gate_next(struct blk_gate *, enum blk_way *);
/* Ends a turn. Returns how the engine may wait: if a request waits for another queue, it must be
 * tried again soon. */
enum blk_wait blk_gate_wait(struct blk_gate *, enum blk_wait);
/* Takes the kernel's result of (a part of) a request. True: it is complete, and req->res is set.
 * False: there is more to do; let the rest enter again. */
bool blk_gate_answer(struct blk_gate *, struct blk_req *, int64_t ret);
/* The engine calls this if it cannot execute a request that the gate has let through. */
void blk_gate_fail(struct blk_gate *, struct blk_req *, int res);

#endif
