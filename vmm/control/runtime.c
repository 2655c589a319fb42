/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/control/runtime.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int runtime_dir(char *buf, size_t len, struct error *err)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int n;

	if (geteuid() == 0)
		n = snprintf(buf, len, "/run/minivmm");
	else if (own && own[0] == '/')
		n = snprintf(buf, len, "%s/minivmm", own);
	else
		return error_set(err, -ENOENT,
				 "XDG_RUNTIME_DIR is not set: give the path of a socket");
	return n < 0 || (size_t)n >= len ? error_set(err, -ENAMETOOLONG, "the path is too long")
					 : 0;
}

int runtime_socket(const char *name, char *buf, size_t len, struct error *err)
{
	char dir[RUNTIME_PATH_MAX];
	int n, ret;

	if (!name[0] || name[0] == '.' || strchr(name, '/') || strlen(name) > 64)
		return error_set(err, -EINVAL,
				 "a machine that is found by its name has one of 1 to 64 "
				 "characters without '/', not beginning with '.': not %.80s",
				 name);
	ret = runtime_dir(dir, sizeof(dir), err);
	if (ret < 0)
		return ret;
	n = snprintf(buf, len, "%s/%s/qmp.sock", dir, name);
	return n < 0 || (size_t)n >= len ? error_set(err, -ENAMETOOLONG, "the path is too long")
					 : 0;
}

/* A folder that is there already must be ours: in one of somebody else's he could put his socket in
 * the place of ours. */
static int check_own(const char *dir, struct error *err)
{
	struct stat st;

	if (lstat(dir, &st) < 0)
		return error_set(err, -errno, "%s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return error_set(err, -EPERM, "%s is not a folder that only you can write to", dir);
	return 0;
}

/* Nobody else can rename a folder of ours in it. */
static int check_above(const char *dir, struct error *err)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return error_set(err, -errno, "%s: %s", dir, strerror(errno));
	if ((st.st_uid == geteuid() || st.st_uid == 0) &&
	    (!(st.st_mode & 022) || (st.st_mode & S_ISVTX)))
		return 0;
	return error_set(err, -EPERM,
			 "others can replace files in %s: set XDG_RUNTIME_DIR to a folder "
			 "of yours",
			 dir);
}

static int make_own(const char *dir, struct error *err)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_set(err, -errno, "%s: %s", dir, strerror(errno));
	return check_own(dir, err);
}

int runtime_make(const char *socket, struct error *err)
{
	char machine[RUNTIME_PATH_MAX], all[RUNTIME_PATH_MAX], above[RUNTIME_PATH_MAX];
	int ret;

	snprintf(machine, sizeof(machine), "%s", socket);
	dirname(machine);
	snprintf(all, sizeof(all), "%s", machine);
	dirname(all);
	snprintf(above, sizeof(above), "%s", all);
	ret = check_above(dirname(above), err);
	if (ret == 0)
		ret = make_own(all, err);
	return ret < 0 ? ret : make_own(machine, err);
}

void runtime_remove(const char *socket)
{
	char machine[RUNTIME_PATH_MAX];

	snprintf(machine, sizeof(machine), "%s", socket);
	rmdir(dirname(machine));
}
