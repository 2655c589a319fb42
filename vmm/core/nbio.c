/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * O_NONBLOCK belongs to the open file description, not to the descriptor. If it were set on a
 * standard output that the shell and other programs share, their writes would fail. So the file is
 * opened again through /proc/self/fd, which gives us our own open file description of the same pipe
 * or terminal.
 *
 * This is not possible for sockets, which have MSG_DONTWAIT instead. Without root, it is not
 * possible for a pipe or a terminal of another user, as after su. If such a terminal is the
 * controlling terminal of this process, it can be opened as /dev/tty. For the rest there are two
 * ways: RWF_NOWAIT (pipes, since Linux 6.4), or poll() and then a small write. The small write has
 * one PIPE_BUF, which a pipe takes as a whole if it has room at all, or one byte for a terminal. It
 * may nevertheless wait if another program fills the pipe between the two calls.
 *
 * Regular files are not opened again, because writing would begin at the start of the file.
 */
#include "vmm/core/nbio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS	   100
#define PAUSE_MS   10 /* wait this long if poll() reports room but write() finds none */
#define OPEN_FLAGS (O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

/* The device number of a terminal, whatever name it was opened by. 0: not a terminal. */
static unsigned tty_device(int fd)
{
	unsigned dev = 0;

	return ioctl(fd, TIOCGDEV, &dev) == 0 ? dev : 0;
}

/* Opens the file again. Opening the master end of a pty creates a new pty, which is not the
 * terminal behind fd; so the device numbers are compared. */
static int open_same(const char *path, int fd, int access)
{
	int again = open(path, access | OPEN_FLAGS);

	if (again >= 0 && tty_device(again) != tty_device(fd)) {
		close(again);
		return -1;
	}
	return again;
}

struct nbio nbio_shared(int fd, int access)
{
	char path[32];
	struct stat st;
	int again;

	if (fstat(fd, &st) < 0)
		return (struct nbio){ .fd = -1 };
	if (S_ISSOCK(st.st_mode))
		return (struct nbio){ fd, false, NBIO_SOCKET };
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return (struct nbio){ fd, false, NBIO_FLAG };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open_same(path, fd, access);
	if (again < 0 && tty_device(fd))
		again = open_same("/dev/tty", fd, access);
	if (again < 0)
		return (struct nbio){ fd, false, NBIO_NOWAIT };
	return (struct nbio){ again, true, NBIO_FLAG };
}

struct nbio nbio_own(int fd)
{
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	return (struct nbio){ fd, true, NBIO_FLAG };
}

void nbio_close(struct nbio *n)
{
	if (n->fd >= 0 && n->owned)
		close(n->fd);
	n->fd = -1;
}

static bool nbio_ready(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) > 0;
}

static size_t surely_fits(int fd, size_t len)
{
	size_t fits = tty_device(fd) ? 1 : PIPE_BUF;

	return len < fits ? len : fits;
}

static ssize_t write_once(const struct nbio *n, int how, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	switch (how) {
	case NBIO_SOCKET:
		return send(n->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case NBIO_NOWAIT:
		return pwritev2(n->fd, &iov, 1, -1, RWF_NOWAIT);
	case NBIO_POLL:
		if (!nbio_ready(n->fd, POLLOUT, 0)) {
			errno = EAGAIN;
			return -1;
		}
		len = surely_fits(n->fd, len);
	}
	return write(n->fd, buf, len);
}

static ssize_t read_once(const struct nbio *n, int how, void *buf, size_t len)
{
	struct iovec iov = { buf, len };

	switch (how) {
	case NBIO_SOCKET:
		return recv(n->fd, buf, len, MSG_DONTWAIT);
	case NBIO_NOWAIT:
		return preadv2(n->fd, &iov, 1, -1, RWF_NOWAIT);
	case NBIO_POLL:
		if (!nbio_ready(n->fd, POLLIN, 0)) {
			errno = EAGAIN;
			return -1;
		}
	}
	return read(n->fd, buf, len);
}

/* Called after a failure. True: try again at once. */
static bool try_again(struct nbio *n, int how)
{
	if (errno == EOPNOTSUPP && how == NBIO_NOWAIT) {
		__atomic_store_n(&n->how, NBIO_POLL, __ATOMIC_RELAXED);
		return true;
	}
	return errno == EINTR;
}

ssize_t nbio_write(struct nbio *n, const void *buf, size_t len)
{
	ssize_t done;
	int how;

	do {
		how = __atomic_load_n(&n->how, __ATOMIC_RELAXED);
		done = write_once(n, how, buf, len);
	} while (done < 0 && try_again(n, how));
	return done < 0 ? -errno : done;
}

ssize_t nbio_read(struct nbio *n, void *buf, size_t len)
{
	ssize_t done;
	int how;

	do {
		how = __atomic_load_n(&n->how, __ATOMIC_RELAXED);
		done = read_once(n, how, buf, len);
	} while (done < 0 && try_again(n, how));
	return done < 0 ? -errno : done;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

size_t nbio_write_all(struct nbio *n, const void *buf, size_t len, unsigned ms)
{
	int64_t end = now_ms() + ms, left = ms;
	size_t done = 0;

	while (done < len) {
		ssize_t ret = nbio_write(n, (const char *)buf + done, len - done);

		if (ret > 0) {
			done += (size_t)ret;
			continue;
		}
		if (ret != -EAGAIN || left <= 0)
			break;
		nbio_ready(n->fd, POLLOUT, (int)left);
		left = end - now_ms();
	}
	return done;
}

static bool end_is_asked(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && (sigismember(&set, SIGTERM) == 1 ||
					 sigismember(&set, SIGINT) == 1 ||
					 sigismember(&set, SIGHUP) == 1);
}

size_t nbio_write_patiently(struct nbio *n, const void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret = 0;

	while (done < len) {
		bool again = ret == -EAGAIN;

		ret = nbio_write(n, (const char *)buf + done, len - done);
		if (ret > 0) {
			done += (size_t)ret;
			continue;
		}
		if (ret != -EAGAIN || end_is_asked()) {
			errno = ret == -EAGAIN ? EINTR : ret < 0 ? (int)-ret : EIO;
			break;
		}
		if (nbio_ready(n->fd, POLLOUT, LOOK_MS) && again)
			poll(NULL, 0, PAUSE_MS);
	}
	return done;
}
