/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records: two lines of text,
 *
 *	driver=e1000e
 *	override=
 *
 * in /run/minivmm/bind-0000:01:00.0. The name of a driver is the name of a folder in sysfs, so it
 * must not contain a slash.
 */
#include "vfio/host/bind_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/hostfs.h"
#include "vmm/core/cleanup.h"

#define PREFIX "bind-"

static void record_path(const char *root, const char *bdf, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s" BIND_RECORD_DIR "/" PREFIX "%s", root, bdf);
}

/* Reads "key=value\n" from *text and moves *text behind it. */
static int take_line(const char **text, size_t *size, const char *key, char *value, size_t max)
{
	size_t len = strlen(key), i;
	const char *end = memchr(*text, '\n', *size);

	if (!end || (size_t)(end - *text) < len || memcmp(*text, key, len) != 0)
		return -EINVAL;
	*text += len;
	*size -= len;
	len = (size_t)(end - *text);
	if (len >= max)
		return -EINVAL;
	for (i = 0; i < len; i++)
		if ((*text)[i] < ' ' || (*text)[i] > '~' || (*text)[i] == '/')
			return -EINVAL;
	memcpy(value, *text, len);
	value[len] = '\0';
	*text += len + 1;
	*size -= len + 1;
	return strcmp(value, ".") == 0 || strcmp(value, "..") == 0 ? -EINVAL : 0;
}

int bind_record_parse(struct bind_record *r, const char *text, size_t size)
{
	if (take_line(&text, &size, "driver=", r->driver, sizeof(r->driver)) < 0 ||
	    take_line(&text, &size, "override=", r->override, sizeof(r->override)) < 0)
		return -EINVAL;
	return size == 0 ? 0 : -EINVAL;
}

static int record_error(const char *what, struct error *err)
{
	int ret = -errno;

	return error_set(err, ret, "%s: %s%s", what, strerror(-ret),
			 ret == -EACCES || ret == -EPERM ? ": run as root" : "");
}

int bind_record_lock(const char *root, struct error *err)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s" BIND_RECORD_DIR, root);
	if ((mkdir(path, 0755) < 0 && errno != EEXIST) || access(path, W_OK) < 0)
		return record_error(path, err);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		record_error(path, err);
		cleanup_close(&fd);
		return err->code;
	}
	return fd;
}

static int write_text(const char *path, const char *text)
{
	scoped_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	size_t len = strlen(text);

	if (fd < 0)
		return -1;
	return write(fd, text, len) == (ssize_t)len && fsync(fd) == 0 ? 0 : -1;
}

/* The file's name begins with a dot until it is complete, so bind_record_each() does not find
 * it. */
int bind_record_put(const char *root, const char *file, const char *text, struct error *err)
{
	char path[PATH_MAX], temporary[PATH_MAX];

	snprintf(path, sizeof(path), "%s" BIND_RECORD_DIR "/%s", root, file);
	snprintf(temporary, sizeof(temporary), "%s" BIND_RECORD_DIR "/.%s", root, file);
	if (write_text(temporary, text) < 0 || rename(temporary, path) < 0) {
		record_error(path, err);
		unlink(temporary);
		return err->code;
	}
	return 0;
}

int bind_record_write(const char *root, const struct bind_record *r, struct error *err)
{
	char file[sizeof(PREFIX) + VFIO_BDF_SIZE], text[BIND_RECORD_SIZE];

	snprintf(file, sizeof(file), PREFIX "%s", r->bdf);
	snprintf(text, sizeof(text), "driver=%s\noverride=%s\n", r->driver, r->override);
	return bind_record_put(root, file, text, err);
}

int bind_record_read(const char *root, const char *bdf, struct bind_record *r, struct error *err)
{
	char path[PATH_MAX], text[BIND_RECORD_SIZE + 1];
	scoped_fd fd = -1;
	ssize_t n;

	*r = (struct bind_record){ 0 };
	snprintf(r->bdf, sizeof(r->bdf), "%s", bdf);
	record_path(root, bdf, path);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : record_error(path, err);
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return record_error(path, err);
	if (n > BIND_RECORD_SIZE || bind_record_parse(r, text, (size_t)n) < 0)
		return error_set(err, -EINVAL,
				 "%s is damaged: remove it, and bind %s to its driver by hand",
				 path, bdf);
	return 0;
}

void bind_record_remove(const char *root, const char *bdf)
{
	char path[PATH_MAX];

	record_path(root, bdf, path);
	unlink(path);
}

struct each {
	int (*fn)(void *, const char *bdf);
	void *arg;
};

static int is_record(void *arg, const char *name)
{
	const struct each *e = arg;
	char bdf[VFIO_BDF_SIZE];

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	name += strlen(PREFIX);
	if (sysfs_parse_bdf(name, bdf) < 0 || strcmp(name, bdf) != 0)
		return 0;
	return e->fn(e->arg, bdf);
}

int bind_record_each(const char *root, int (*fn)(void *, const char *bdf), void *arg)
{
	struct each e = { fn, arg };

	return hostfs_each(root, is_record, &e, BIND_RECORD_DIR);
}
