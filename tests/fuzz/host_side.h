/* SPDX-License-Identifier: BSD-2-Clause */
/* For targets with a main loop and a peer: a turn of the loop, and standard input and output as
 * pipes whose other ends the target holds. Made once and kept for all runs. */
#ifndef TESTS_FUZZ_HOST_SIDE_H
#define TESTS_FUZZ_HOST_SIDE_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/evloop.h"

static inline void require(bool ok)
{
	if (!ok)
		abort();
}

static inline void host_stop(void *loop, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	evloop_stop(loop, 0);
}

/* From now on evloop_run() serves what is ready, and returns. */
static inline void host_loop_turns(struct evloop *loop)
{
	int always = eventfd(1, EFD_CLOEXEC);

	signal(SIGPIPE, SIG_IGN);
	require(evloop_add_fd(loop, always, EPOLLIN, host_stop, loop) != NULL);
}

struct host_side {
	int in, out; /* what standard input reads, what came on standard output */
};

static inline struct host_side host_stdio(void)
{
	int in[2], out[2];

	require(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	require(dup2(in[0], 0) == 0 && dup2(out[1], 1) == 1);
	close(in[0]);
	close(out[1]);
	fcntl(out[0], F_SETPIPE_SZ, 4096); /* soon full */
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	return (struct host_side){ in[1], out[0] };
}

/* Reads up to n bytes of fd; returns how many. */
static inline size_t host_read(int fd, size_t n)
{
	static char buf[1 << 16];
	size_t done = 0;
	ssize_t ret = 1;

	while (done < n && ret > 0) {
		ret = read(fd, buf, n - done < sizeof(buf) ? n - done : sizeof(buf));
		done += ret > 0 ? (size_t)ret : 0;
	}
	return done;
}

#endif
