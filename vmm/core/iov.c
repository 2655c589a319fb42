/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/iov.h"

#include <stdint.h>
#include <string.h>

enum iov_op { IOV_READ, IOV_WRITE, IOV_ZERO };

static size_t iov_copy(const struct iovec *iov, unsigned niov, size_t off, void *buf, size_t len,
		       enum iov_op op)
{
	size_t done = 0;

	for (unsigned i = 0; i < niov && done < len; i++) {
		size_t n = iov[i].iov_len;
		char *p = iov[i].iov_base;

		if (off >= n) {
			off -= n;
			continue;
		}
		p += off;
		n -= off;
		off = 0;
		if (n > len - done)
			n = len - done;
		if (op == IOV_READ)
			memcpy((char *)buf + done, p, n);
		else if (op == IOV_WRITE)
			memcpy(p, (const char *)buf + done, n);
		else
			memset(p, 0, n);
		done += n;
	}
	return done;
}

size_t iov_read(const struct iovec *iov, unsigned niov, size_t off, void *dst, size_t len)
{
	return iov_copy(iov, niov, off, dst, len, IOV_READ);
}

size_t iov_write(const struct iovec *iov, unsigned niov, size_t off, const void *src, size_t len)
{
	return iov_copy(iov, niov, off, (void *)(uintptr_t)src, len, IOV_WRITE);
}

size_t iov_zero(const struct iovec *iov, unsigned niov, size_t off, size_t len)
{
	return iov_copy(iov, niov, off, NULL, len, IOV_ZERO);
}

unsigned iov_skip(struct iovec *iov, unsigned niov, size_t n)
{
	unsigned i;

	for (i = 0; i < niov && n >= iov[i].iov_len; i++)
		n -= iov[i].iov_len;
	if (i < niov && n != 0) {
		iov[i].iov_base = (char *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
	}
	return i;
}
