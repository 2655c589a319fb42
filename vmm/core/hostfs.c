/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/hostfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"

/* Makes the path from the format and the arguments after it. */
#define FULL_PATH(path, root, fmt)               \
	char path[PATH_MAX];                     \
	do {                                     \
		va_list ap_;                     \
		va_start(ap_, fmt);              \
		full_path(path, root, fmt, ap_); \
		va_end(ap_);                     \
	} while (0)

__attribute__((format(printf, 3, 0))) static void full_path(char path[PATH_MAX], const char *root,
							    const char *fmt, va_list ap)
{
	size_t n = (size_t)snprintf(path, PATH_MAX, "%s", root);

	if (n < PATH_MAX)
		vsnprintf(path + n, PATH_MAX - n, fmt, ap);
}

static int read_line(const char *path, char *buf, size_t size)
{
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

int hostfs_line(const char *root, char *buf, size_t size, const char *fmt, ...)
{
	FULL_PATH(path, root, fmt);

	return read_line(path, buf, size);
}

long hostfs_bytes(const char *root, void *buf, size_t size, const char *fmt, ...)
{
	size_t at = 0;
	ssize_t n = 1;

	FULL_PATH(path, root, fmt);
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (at < size && n > 0) {
		n = read(fd, (char *)buf + at, size - at);
		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return (long)at;
}

long long hostfs_number(const char *root, long long fallback, const char *fmt, ...)
{
	char buf[64], *end;
	long long v;

	FULL_PATH(path, root, fmt);
	if (read_line(path, buf, sizeof(buf)) < 0)
		return fallback;
	v = strtoll(buf, &end, 0);
	return end == buf ? fallback : v;
}

static void read_target(const char *path, char *buf, size_t size)
{
	ssize_t n = readlink(path, buf, size - 1);

	buf[n < 0 ? 0 : n] = '\0';
}

void hostfs_target(const char *root, char *buf, size_t size, const char *fmt, ...)
{
	FULL_PATH(path, root, fmt);

	read_target(path, buf, size);
}

void hostfs_link(const char *root, char *buf, size_t size, const char *fmt, ...)
{
	char target[PATH_MAX];
	const char *slash;

	FULL_PATH(path, root, fmt);
	read_target(path, target, sizeof(target));
	slash = strrchr(target, '/');
	snprintf(buf, size, "%.*s", (int)size - 1, slash ? slash + 1 : target);
}

bool hostfs_exists(const char *root, const char *fmt, ...)
{
	FULL_PATH(path, root, fmt);

	return access(path, F_OK) == 0;
}

int hostfs_access(const char *root, const char *fmt, ...)
{
	FULL_PATH(path, root, fmt);

	return faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int has_name(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int hostfs_each(const char *root, hostfs_fn *fn, void *arg, const char *fmt, ...)
{
	struct dirent **list;
	int i, n, ret = 0;

	FULL_PATH(path, root, fmt);
	n = scandir(path, &list, has_name, alphasort);
	if (n < 0)
		return 0;
	for (i = 0; i < n; i++) {
		if (ret == 0)
			ret = fn(arg, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return ret;
}

int hostfs_each_line(const char *root, hostfs_fn *fn, void *arg, const char *fmt, ...)
{
	char line[4096];
	int ret = 0;
	FILE *f;

	FULL_PATH(path, root, fmt);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (ret == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		ret = fn(arg, line);
	}
	fclose(f);
	return ret;
}
