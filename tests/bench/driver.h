/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A synthetic virtio-blk driver: it fills a real virtqueue in memory that stands for a guest's, and
 * whoever serves the queue sees what Linux's driver would show: indirect descriptors, a segment a
 * page, EVENT_IDX, an interrupt wanted for the next completion after the last one it saw, asleep
 * until it comes. All completed requests are then replaced, and one kick (if wanted) covers them.
 *
 * One thread for each driver; driver_init() and driver_run() belong to it.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRIVER_QUEUE  256u
#define DRIVER_BS_MAX (128u << 10)
#define DRIVER_MEM    (40ull << 20) /* guest memory for each driver */
/* Where its rings are, from the start of its memory. */
#define DRIVER_DESC  0x0000u
#define DRIVER_AVAIL 0x2000u
#define DRIVER_USED  0x4000u

#define DRIVER_BUCKETS 1000000u /* latencies by 100 ns */

struct driver_config {
	unsigned depth;	  /* requests in flight */
	unsigned readers; /* and so many that read, one block each */
	unsigned bs;	  /* bytes a request */
	bool write, seq;
	bool single;	/* offer each request by itself, with a kick if one is wanted */
	unsigned work;	/* ns of computing before each request */
	bool spin;	/* look at the ring instead of sleeping */
	bool histogram; /* of the readers where there are any, else of all */
	uint64_t blocks, first_block;
};

struct driver {
	struct driver_config cfg;
	uint64_t gpa; /* of its memory */
	char *mem;
	int kick_fd, call_fd;
	uint64_t rng, next_block;
	uint16_t avail_idx, last_kick, used_idx;
	uint64_t done, read, kicks, irqs, errors; /* of the last driver_run() */
	uint32_t *lat;
};

/* Makes the rings and the eventfds. mem: DRIVER_MEM bytes, zero, at guest address gpa. */
int driver_init(struct driver *, const struct driver_config *, char *mem, uint64_t gpa);
/* Keeps the queue full for so long, then waits until it is empty. */
void driver_run(struct driver *, uint64_t ns);
/* Microseconds that the share p of the requests in lat, n of them, took at most. */
double driver_percentile(const uint32_t *lat, uint64_t n, double p);
uint64_t driver_now_ns(void);

#endif
