/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/eventfd.h"

#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int eventfd_new(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

bool eventfd_signal(int fd)
{
	const uint64_t one = 1;

	return fd >= 0 && write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
}

bool eventfd_drain(int fd)
{
	uint64_t n;

	return fd >= 0 && read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

bool eventfd_is_set(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&p, 1, 0) == 1;
}
