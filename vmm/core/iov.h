/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers that consist of several pieces. Lengths are in bytes. The caller owns the pieces.
 * Threads: any. */
#ifndef VMM_CORE_IOV_H
#define VMM_CORE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Copy between a flat buffer and an iovec, from byte `off` of the iovec on. They return the number
 * of bytes copied, which is less than len if the iovec is too short. */
size_t iov_read(const struct iovec *, unsigned niov, size_t off, void *dst, size_t len);
size_t iov_write(const struct iovec *, unsigned niov, size_t off, const void *src, size_t len);
size_t iov_zero(const struct iovec *, unsigned niov, size_t off, size_t len);
/* Removes the first `n` bytes, or all if there are fewer. Changes the array in place, and returns
 * how many entries at its start are now empty. */
unsigned iov_skip(struct iovec *, unsigned niov, size_t n);

#endif
