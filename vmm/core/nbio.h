/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that are read and written without ever waiting for the other side, also those that
 * were handed to us and that others use too (standard input, output and error).
 *
 * Threads: any; the descriptor is the caller's to keep open meanwhile.
 */
#ifndef VMM_CORE_NBIO_H
#define VMM_CORE_NBIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum nbio_how {
	NBIO_FLAG,   /* O_NONBLOCK is set, or this is a file, where it means nothing */
	NBIO_SOCKET, /* MSG_DONTWAIT */
	NBIO_NOWAIT, /* RWF_NOWAIT, until the kernel says that it does not know it here */
	NBIO_POLL,   /* poll() first, then no more than surely fits */
};

struct nbio {
	int fd; /* -1: none */
	bool owned;
	int how; /* enum nbio_how */
};

/* For a descriptor that others share. It stays open and its flags stay as they are. access:
 * O_RDONLY or O_WRONLY. */
struct nbio nbio_shared(int fd, int access);
/* For a descriptor of our own; nbio_close() closes it. fd -1: none. */
struct nbio nbio_own(int fd);
void nbio_close(struct nbio *);

/* How many bytes, or a negative errno; -EAGAIN: not now. A regular file takes as long as its file
 * system does (NFS with a server that is gone: until it is back). */
ssize_t nbio_write(struct nbio *, const void *, size_t);
ssize_t nbio_read(struct nbio *, void *, size_t); /* 0: the end */
/* Writes all of it, or what the other side takes within so many milliseconds; returns how much. */
size_t nbio_write_all(struct nbio *, const void *, size_t, unsigned ms);
/* Writes all of it, however long the other side takes. While a machine starts, the signals that end
 * it (SIGTERM, SIGINT, SIGHUP) are held back; one that is pending ends the waiting. Returns how much
 * was written. When that is less, errno tells why: EINTR: a signal is pending. */
size_t nbio_write_patiently(struct nbio *, const void *, size_t);

#endif
