/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads and writes descriptors without waiting for the other side. This works also for descriptors
 * that other programs share with us (standard input, output and error).
 *
 * Threads: any; the caller keeps the descriptor open meanwhile.
 */
#ifndef VMM_CORE_NBIO_H
#define VMM_CORE_NBIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum nbio_how {
	NBIO_FLAG,   /* O_NONBLOCK is set; or this is a file, which does not need it */
	NBIO_SOCKET, /* MSG_DONTWAIT */
	NBIO_NOWAIT, /* RWF_NOWAIT; NBIO_POLL if the kernel does not support it here */
	NBIO_POLL,   /* poll(), then a write of so few bytes that they fit */
};

struct nbio {
	int fd; /* -1: no descriptor */
	bool owned;
	int how; /* enum nbio_how */
};

/* For a descriptor that other programs share. It stays open, and its flags do not change. access:
 * O_RDONLY or O_WRONLY. */
struct nbio nbio_shared(int fd, int access);
/* For a descriptor of our own, which nbio_close() will close. fd may be -1. */
struct nbio nbio_own(int fd);
void nbio_close(struct nbio *);

/* Return the number of bytes, or -errno; -EAGAIN: not possible now. On a regular file they take as
 * long as the file system needs (NFS may wait until its server is back). */
ssize_t nbio_write(struct nbio *, const void *, size_t);
ssize_t nbio_read(struct nbio *, void *, size_t); /* 0: the end */
/* Writes all bytes, or as many as the other side takes within ms milliseconds. Returns their
 * number. */
size_t nbio_write_all(struct nbio *, const void *, size_t, unsigned ms);
/* Writes all bytes, however long the other side takes. While a machine starts, the signals that end
 * it (SIGTERM, SIGINT, SIGHUP) are blocked; a pending one ends the wait. Returns the number of
 * bytes written. If it is less than asked for, errno has the reason. EINTR: a signal is pending. */
size_t nbio_write_patiently(struct nbio *, const void *, size_t);

#endif
