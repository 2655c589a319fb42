/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers in pieces. Lengths are in bytes; the pieces are the caller's. Threads: any. */
#ifndef VMM_CORE_IOV_H
#define VMM_CORE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Copies between a flat buffer and an iovec, starting at byte `off` of it; returns the number of
 * bytes copied, which is less than len when the iovec ends. */
size_t iov_read(const struct iovec *, unsigned niov, size_t off, void *dst, size_t len);
size_t iov_write(const struct iovec *, unsigned niov, size_t off, const void *src, size_t len);
size_t iov_zero(const struct iovec *, unsigned niov, size_t off, size_t len);
/* Removes the first `n` bytes (or all, if there are fewer). Edits the array in place and returns
 * how many leading entries are now empty. */
unsigned iov_skip(struct iovec *, unsigned niov, size_t n);

#endif
