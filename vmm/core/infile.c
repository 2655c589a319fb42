/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/infile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool infile_lock(int fd)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &l) == 0 || (errno != EAGAIN && errno != EACCES);
}

int infile_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	infile_lock(fd);
	return fd;
}

int infile_open_alone(const char *path, struct error *err)
{
	int fd = infile_open(path);

	if (fd < 0)
		return error_set(err, fd, "%s", strerror(-fd));
	if (infile_lock(fd))
		return fd;
	close(fd);
	return error_set(err, -EBUSY,
			 "this machine or another may write to it: give a copy, or add ,ro to the "
			 "disk that it is");
}

FILE *infile_stream(const char *path)
{
	int fd = infile_open(path);
	FILE *f = NULL;

	if (fd < 0)
		errno = -fd;
	else if (fcntl(fd, F_SETFL, 0) == 0)
		f = fdopen(fd, "r");
	if (!f && fd >= 0)
		close(fd);
	return f;
}

const char *infile_no_writer(FILE *f)
{
	struct stat st;

	return fstat(fileno(f), &st) == 0 && S_ISFIFO(st.st_mode)
		       ? "nobody writes to it: start the writer first"
		       : NULL;
}
