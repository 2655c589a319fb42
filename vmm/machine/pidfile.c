/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/outfile.h"

#define TRIES 10

/* What is in it, when that is nothing or a process id: anything else is not ours to overwrite and
 * remove. */
static bool pidfile_read(int fd, char text[24])
{
	struct stat st;
	ssize_t n;

	memset(text, 0, 24);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	n = pread(fd, text, 23, 0);
	return n >= 0 && n == st.st_size && strspn(text, "0123456789 \n") == (size_t)n;
}

static int pidfile_judge(int fd, const char *path, struct error *err)
{
	char text[24];

	if (!pidfile_read(fd, text))
		return error_set(err, -EEXIST, "%s exists and is not a pid file: name another file",
				 path);
	if (outfile_is_locked(fd))
		return error_set(
			err, -EBUSY,
			"%s: the process that wrote it is still running: name another file", path);
	return 0;
}

int pidfile_check(const char *path, struct error *err)
{
	scoped_fd fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[24];

	/* Of another kind and in use: that it is in use says more. */
	if (fd < 0 || (outfile_is_locked(fd) && !pidfile_read(fd, text)))
		return outfile_check(path, err);
	return pidfile_judge(fd, path, err);
}

static bool is_file(int fd, const char *path)
{
	struct stat st, at;

	return fstat(fd, &st) == 0 && lstat(path, &at) == 0 && st.st_dev == at.st_dev &&
	       st.st_ino == at.st_ino;
}

/* -EAGAIN: another process locked or removed it meanwhile. */
static int pidfile_open(struct pidfile *p, const char *path, struct error *err)
{
	scoped_fd fd = -1;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (pidfile_judge(fd, path, err) < 0)
		return err->code;
	if (!outfile_lock(fd))
		return -EAGAIN;
	free(p->name);
	p->name = realpath(path, NULL);
	if (!p->name)
		return errno == ENOENT ? -EAGAIN
				       : error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!is_file(fd, p->name))
		return -EAGAIN;
	p->fd = fd;
	fd = -1;
	return 0;
}

int pidfile_create(struct pidfile *p, const char *path, struct error *err)
{
	int ret = -EAGAIN, i;

	*p = (struct pidfile){ .fd = -1 };
	for (i = 0; i < TRIES && ret == -EAGAIN; i++)
		ret = pidfile_open(p, path, err);
	if (ret == -EAGAIN)
		error_set(err, ret, "%s: other processes make and remove it: name another file",
			  path);
	else if (ret == 0 && (ftruncate(p->fd, 0) < 0 || dprintf(p->fd, "%d\n", getpid()) < 0))
		ret = error_set(err, -errno, "%s: %s", path, strerror(errno));
	return ret;
}

/* Nothing: writing it failed. */
static bool tells_us(int fd)
{
	char text[24];

	return pidfile_read(fd, text) && (!text[0] || atoi(text) == getpid());
}

void pidfile_remove(struct pidfile *p)
{
	if (p->fd >= 0 && is_file(p->fd, p->name) && tells_us(p->fd))
		unlink(p->name);
	cleanup_close(&p->fd);
	free(p->name);
	*p = (struct pidfile){ .fd = -1 };
}
