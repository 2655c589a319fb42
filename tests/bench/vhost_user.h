/* SPDX-License-Identifier: BSD-2-Clause */
/* The smallest vhost-user front end that can hand virtqueues to a back end: enough to let the
 * bench's drivers drive qemu-storage-daemon. */
#ifndef BENCH_VHOST_USER_H
#define BENCH_VHOST_USER_H

#include <stddef.h>
#include <stdint.h>

struct vu_queue {
	uint64_t desc, avail, used; /* guest addresses */
	int kick_fd, call_fd;
};

struct vu_setup {
	const char *socket;
	int mem_fd; /* guest memory from guest address 0 */
	size_t mem_size;
	void *mem; /* where we have it mapped */
	unsigned size;
	unsigned n;
	const struct vu_queue *queues;
	uint64_t features; /* wanted, of the device; the back end must offer them */
};

/* Returns the connection, to be kept open while the queue runs, or -errno after saying why on
 * stderr. */
int vu_connect(const struct vu_setup *);

#endif
