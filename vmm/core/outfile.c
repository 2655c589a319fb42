/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"

bool outfile_is_locked(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

static int in_use(const char *path, struct error *err)
{
	return error_set(err, -EBUSY, "%s is in use, by this machine or another: name another file",
			 path);
}

bool outfile_lock(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &l) == 0 || (errno != EAGAIN && errno != EACCES);
}

int outfile_open(const char *path, bool empty, struct error *err)
{
	scoped_fd fd = -1;
	struct stat st;
	int out;

	/* O_NONBLOCK: open(2) of a FIFO would wait until somebody reads it. */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (fd < 0 && errno == ENXIO)
		return error_set(err, -ENXIO, "%s: nobody reads it: start the reader first", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		return error_set(err, -EINVAL, "%s is a disk: name a file", path);
	if (S_ISREG(st.st_mode) && !outfile_lock(fd))
		return in_use(path, err);
	if (fcntl(fd, F_SETFL, 0) < 0 || (empty && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0))
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	out = fd;
	fd = -1;
	return out;
}

void outfile_remove(const char *path, int fd)
{
	struct stat st, at;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lstat(path, &at) == 0 &&
	    st.st_dev == at.st_dev && st.st_ino == at.st_ino)
		unlink(path);
}

int outfile_check_folder(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	/* A name with a mistake in it: a file would fill the memory that /dev is made of. */
	if (slash && slash == path + strlen("/dev") && strncmp(path, "/dev/", 5) == 0)
		return error_set(err, -ENOENT, "%s: there is no such device", path);
	if (snprintf(folder, sizeof(folder), "%.*s%s",
		     slash == path ? 1
		     : slash	   ? (int)(slash - path)
				   : 0,
		     path, slash ? "" : ".") >= (int)sizeof(folder))
		return error_set(err, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

int outfile_check(const char *path, struct error *err)
{
	scoped_fd fd = -1;
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? outfile_check_folder(path, err)
				       : error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		return error_set(err, -EINVAL, "%s is a disk: name a file", path);
	/* Do not open a pipe here: its reader would see the end of the file. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	return outfile_is_locked(fd) ? in_use(path, err) : 0;
}

static int rotated_name(const char *path, char name[PATH_MAX], struct error *err)
{
	if (snprintf(name, PATH_MAX, "%s.1", path) < PATH_MAX)
		return 0;
	return error_set(err, -ENAMETOOLONG, "%s.1: %s", path, strerror(ENAMETOOLONG));
}

static int check_is_file(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	return error_set(err, -EINVAL, "%s is no file: leave max= out", path);
}

int outfile_check_rotate(const char *path, struct error *err)
{
	char old[PATH_MAX];
	int ret = rotated_name(path, old, err);

	if (ret == 0)
		ret = check_is_file(path, err);
	if (ret == 0)
		ret = check_is_file(old, err);
	return ret == 0 ? outfile_check(old, err) : ret;
}

int outfile_rotate(const char *path, struct error *err)
{
	char old[PATH_MAX];
	int ret = outfile_check_rotate(path, err);

	if (ret < 0)
		return ret;
	rotated_name(path, old, err);
	if (rename(path, old) < 0)
		return error_set(err, -errno, "%s: %s", old, strerror(errno));
	return outfile_open(path, true, err);
}
