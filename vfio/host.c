/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes to sysfs, and modprobe.
 *
 * A driver that is told to let a device go may wait for whoever uses it, for ever, and nothing
 * wakes a process up that waits in there. So every write is a child's: when it is not back in time
 * it is left where it is, with no file of ours open.
 *
 * Threads: main; no state.
 */
#include "vfio/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfio/sysfs.h"
#include "vmm/cleanup.h"

#define DEPTH_MAX 8 /* of folders below a device's */

const struct host host_here = {
	.root = "",
	.timeout_ms = 20000,
	.write = host_write,
	.modprobe = host_modprobe,
};

/* ---- writing ---- */

/* In the child. The exit status is the errno, as far as it fits. */
static _Noreturn void write_and_exit(const char *path, const char *text)
{
	int fd;

	close_range(0, ~0u, 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(errno < 256 ? errno : EIO);
	_exit(0);
}

int host_write(const struct host *h, const char *path, const char *text, pid_t *stuck)
{
	struct pollfd p = { .events = POLLIN };
	scoped_fd fd = -1;
	char full[PATH_MAX];
	pid_t child;
	int status;

	*stuck = 0;
	snprintf(full, sizeof(full), "%s%s", h->root, path);
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		write_and_exit(full, text);
	p.fd = fd = pidfd_open(child, 0);
	if (fd >= 0 && poll(&p, 1, (int)h->timeout_ms) == 0) {
		*stuck = child;
		return -ETIMEDOUT;
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -EINTR;
	return -WEXITSTATUS(status);
}

/* ---- why it hangs ---- */

struct opener {
	const char *root, *dir;
	char path[128], who[64];
	unsigned depth;
};

/* The device file of a folder of sysfs. */
static bool device_file(const char *dir, char *path, size_t size)
{
	char name[PATH_MAX], line[128];
	bool found = false;
	FILE *f;

	snprintf(name, sizeof(name), "%s/uevent", dir);
	f = fopen(name, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "DEVNAME=", 8) == 0;
	}
	if (f)
		fclose(f);
	if (found)
		snprintf(path, size, "/dev/%s", line + 8);
	return found;
}

static int open_in(struct opener *o, const char *dir);

static int open_below(void *arg, const char *name)
{
	struct opener *o = arg;
	char dir[PATH_MAX];
	struct stat st;

	if (snprintf(dir, sizeof(dir), "%s/%s", o->dir, name) >= (int)sizeof(dir) ||
	    lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	return open_in(o, dir);
}

/* 1 when a process has a device file of this folder, or of one below, open. */
static int open_in(struct opener *o, const char *dir)
{
	const char *outer = o->dir;
	int found;

	if (o->depth >= DEPTH_MAX)
		return 0;
	o->depth++;
	o->dir = dir;
	found = (device_file(dir, o->path, sizeof(o->path)) &&
		 sysfs_holder(o->root, o->path, o->who, sizeof(o->who))) ||
		sysfs_each(dir, open_below, o);
	o->dir = outer;
	o->depth--;
	return found;
}

static int explain_stuck(const struct host *h, const char *bdf, const char *path, pid_t pid,
			 struct error *err)
{
	char dir[PATH_MAX], where[64], who[256] = "";
	struct opener o = { .root = h->root };

	snprintf(dir, sizeof(dir), "%s/proc/%d/wchan", h->root, pid);
	sysfs_read_line(dir, where, sizeof(where));
	snprintf(dir, sizeof(dir), "%s/sys/bus/pci/devices/%s/", h->root, bdf);
	if (open_in(&o, dir))
		snprintf(who, sizeof(who), "; process %s has %s open", o.who, o.path);
	return error_set(err, -ETIMEDOUT,
			 "%s: %s has not answered for %u s: process %d waits there in %s%s", bdf,
			 path, h->timeout_ms / 1000, pid, where[0] ? where : "the kernel", who);
}

int host_put(const struct host *h, const char *bdf, const char *path, const char *text, bool *stuck,
	     struct error *err)
{
	pid_t pid = 0;
	int rc = h->write(h, path, text, &pid);

	if (stuck)
		*stuck = pid != 0;
	if (pid)
		return explain_stuck(h, bdf, path, pid, err);
	if (rc == -EACCES || rc == -EPERM)
		return error_set(err, rc, "%s: %s may not be written: run as root", bdf, path);
	if (rc < 0)
		return error_set(err, rc, "%s: %s: %s; dmesg may say more", bdf, path,
				 strerror(-rc));
	return 0;
}

/* ---- modules ---- */

static _Noreturn void exec_modprobe(const char *module, int err_fd)
{
	dup2(err_fd, STDERR_FILENO);
	execlp("modprobe", "modprobe", module, NULL);
	execl("/sbin/modprobe", "modprobe", module, NULL);
	dprintf(STDERR_FILENO, "%s", strerror(errno));
	_exit(127);
}

/* What it says on stderr becomes part of our one line. */
int host_modprobe(const struct host *h, const char *module, struct error *err)
{
	char said[256] = "";
	int fds[2], status = 0;
	ssize_t n;
	pid_t child;

	(void)h;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, -errno, "modprobe %s: %s", module, strerror(errno));
	child = fork();
	if (child == 0)
		exec_modprobe(module, fds[1]);
	close(fds[1]);
	n = child < 0 ? 0 : read(fds[0], said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	said[strcspn(said, "\n")] = '\0';
	close(fds[0]);
	if (child >= 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0)
		return 0;
	return error_set(err, -ENOENT, "modprobe %s failed: %s", module,
			 said[0] ? said : "it did not say why");
}
