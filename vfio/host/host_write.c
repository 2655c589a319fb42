/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes to sysfs, and modprobe.
 *
 * A driver that must release a device may wait for ever for the users of the device, and a process
 * that waits inside the kernel cannot be interrupted. So each write is done by a child process. If
 * the child does not return in time, it is left alone; it has none of our files open.
 *
 * Threads: main; no state.
 */
#include "vfio/host/host_write.h"

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

#include "vmm/core/hostfs.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"

#define DEPTH_MAX 8 /* levels of folders below the device's folder */
#define WHO_SIZE  128

const struct host host_here = {
	.root = "",
	.timeout_ms = 20000,
	.write = host_write,
	.modprobe = host_modprobe,
};

/* ---- writing ---- */

/* Runs in the child. The exit status is errno, or EIO if errno does not fit. */
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

struct search {
	struct sysfs_files files;
	const char *dir;
	unsigned depth;
};

static int uevent_line(void *arg, const char *line)
{
	struct search *s = arg;

	if (strncmp(line, "DEVNAME=", 8) == 0)
		sysfs_add_file(&s->files, "/dev", line + 8);
	return 0;
}

static void find_files(struct search *s, const char *dir);

static int find_below(void *arg, const char *name)
{
	struct search *s = arg;
	char dir[PATH_MAX];
	struct stat st;

	if (snprintf(dir, sizeof(dir), "%s/%s", s->dir, name) < (int)sizeof(dir) &&
	    lstat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		find_files(s, dir);
	return 0;
}

/* Finds the device files that this folder of sysfs, and the folders below it, name. */
static void find_files(struct search *s, const char *dir)
{
	const char *outer = s->dir;

	if (s->depth >= DEPTH_MAX)
		return;
	s->depth++;
	s->dir = dir;
	hostfs_each_line("", uevent_line, s, "%s/uevent", dir);
	hostfs_each("", find_below, s, "%s", dir);
	s->dir = outer;
	s->depth--;
}

static int tell_holder(void *who, const char *pid, const char *comm, const char *path)
{
	snprintf(who, WHO_SIZE, "; process %s (%s) has %s open", pid, comm, path);
	return 1;
}

static int explain_stuck(const struct host *h, const char *bdf, const char *path, pid_t pid,
			 struct error *err)
{
	char dir[PATH_MAX], where[64], who[WHO_SIZE] = "";
	struct search s = { .depth = 0 };

	hostfs_line(h->root, where, sizeof(where), "/proc/%d/wchan", pid);
	snprintf(dir, sizeof(dir), "%s/sys/bus/pci/devices/%s/", h->root, bdf);
	find_files(&s, dir);
	sysfs_holders(h->root, &s.files, tell_holder, who);
	return error_set(err, -ETIMEDOUT,
			 "%s: a write to %s has not returned for %u s: process %d waits in %s%s",
			 bdf, path, h->timeout_ms / 1000, pid, where[0] ? where : "the kernel",
			 who);
}

int host_put(const struct host *h, const char *bdf, const char *path, const char *text, bool *stuck,
	     struct error *err)
{
	pid_t pid = 0;
	int ret = h->write(h, path, text, &pid);

	if (stuck)
		*stuck = pid != 0;
	if (pid)
		return explain_stuck(h, bdf, path, pid, err);
	if (ret == -EACCES || ret == -EPERM)
		return error_set(err, ret, "%s: there is no permission to write %s: run as root",
				 bdf, path);
	if (ret < 0)
		return error_set(err, ret, "%s: %s: %s; dmesg may say more", bdf, path,
				 strerror(-ret));
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

/* The text that modprobe writes to stderr becomes part of our error message. */
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
			 said[0] ? said : "it gave no reason");
}
