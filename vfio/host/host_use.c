/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds out how the host uses a device.
 *
 * The search goes through all disks and interfaces of the host, and checks whether the path of each
 * one leads through the device. It does not search below the device in sysfs, because each driver
 * arranges that in its own way. Devices that are stacked on others are found by the kernel's links:
 * holders/ and the partitions of disks, lower_* of interfaces.
 *
 * A disk is in use if the disk, a partition or a holder is mounted or used for swap, or if the
 * kernel refuses to open it exclusively. The last check also finds ZFS, and the second and later
 * disks of a btrfs.
 *
 * Threads: any; no state.
 */
#include "vfio/host/host_use.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/hostfs.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"

#define DEPTH_MAX 8 /* levels of stacked disks or interfaces */

struct walk {
	const char *root, *bdf;
	host_use_fn *fn;
	void *arg;
	unsigned found;
	/* the current position */
	const char *disk; /* the disk of the device */
	unsigned depth;
};

__attribute__((format(printf, 5, 6))) static void tell(struct walk *w, enum host_use_kind kind,
						       const char *name, const char *where,
						       const char *fmt, ...)
{
	struct host_use u = { .kind = kind, .name = name, .where = where };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u.text, sizeof(u.text), fmt, ap);
	va_end(ap);
	w->fn(w->arg, &u);
	w->found++;
}

/* ---- virtual functions ---- */

static void vfs(struct walk *w)
{
	long n = sysfs_number(w->root, w->bdf, "sriov_numvfs", 0);

	if (n > 0)
		tell(w, HOST_USE_VFS, NULL, NULL, "has %ld VFs", n);
}

/* ---- display ---- */

/* Reports a console. The dummy console is skipped, because it is on no device. */
static int console(void *arg, const char *name)
{
	struct walk *w = arg;
	char kind[64];

	hostfs_line(w->root, kind, sizeof(kind), "/sys/class/vtconsole/%s/name", name);
	if (hostfs_number(w->root, 0, "/sys/class/vtconsole/%s/bind", name) == 1 &&
	    !strstr(kind, "dummy"))
		tell(w, HOST_USE_CONSOLE, name, NULL,
		     "is the display that this host booted with, and the console is on it");
	return 0;
}

/* ---- disks ---- */

struct block {
	struct walk *w;
	const char *name;
	char number[32], node[80]; /* "8:1", "/dev/sda1" */
};

static void tell_disk(const struct block *b, enum host_use_kind kind, const char *what,
		      const char *where)
{
	bool other = strcmp(b->w->disk, b->name) != 0;

	tell(b->w, kind, b->name, where, "has the disk /dev/%s%s%s, %s%s", b->w->disk,
	     other ? " with " : "", other ? b->node : "", what, where ? where : "");
}

/* Undoes the escapes of proc(5) in place: blanks and backslashes are \ and three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++, to++) {
		*to = *s;
		if (*s == '\\' && strspn(s + 1, "01234567") >= 3) {
			*to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		}
		if (!*to)
			*to = '?';
	}
	*to = '\0';
}

/* A line of mountinfo, see proc(5). It is compared by device number and by name, because a btrfs
 * has its own number. */
static int mount_line(void *arg, const char *line)
{
	char number[32], where[1024], source[1024];
	const char *rest = strstr(line, " - ");
	const struct block *b = arg;

	if (rest && sscanf(line, "%*s %*s %31s %*s %1023s", number, where) == 2 &&
	    sscanf(rest, " - %*s %1023s", source) == 1 &&
	    (strcmp(number, b->number) == 0 || strcmp(source, b->node) == 0)) {
		unescape(where);
		error_visible(where);
		tell_disk(b, HOST_USE_MOUNT, "mounted on ", where);
	}
	return 0;
}

static int swap_line(void *arg, const char *line)
{
	const struct block *b = arg;
	size_t n = strlen(b->node);

	if (strncmp(line, b->node, n) == 0 && (line[n] == ' ' || line[n] == '\t'))
		tell_disk(b, HOST_USE_SWAP, "which is swap", NULL);
	return 0;
}

static void use_block(struct walk *w, const char *name);

static int holder(void *arg, const char *name)
{
	const struct block *b = arg;
	unsigned before = b->w->found;

	use_block(b->w, name);
	if (b->w->found == before)
		tell_disk(b, HOST_USE_HELD, "which is part of /dev/", name);
	return 0;
}

static bool is_partition(const struct walk *w, const char *name)
{
	return hostfs_exists(w->root, "/sys/class/block/%s/partition", name);
}

static int partition(void *arg, const char *name)
{
	const struct block *b = arg;

	if (is_partition(b->w, name))
		use_block(b->w, name);
	return 0;
}

/* Holders are reported first, because they have the more helpful name. */
static void use_block(struct walk *w, const char *name)
{
	struct block b = { .w = w, .name = name };

	if (w->depth >= DEPTH_MAX)
		return;
	w->depth++;
	snprintf(b.node, sizeof(b.node), "/dev/%s", name);
	hostfs_line(w->root, b.number, sizeof(b.number), "/sys/class/block/%s/dev", name);
	hostfs_each(w->root, holder, &b, "/sys/class/block/%s/holders", name);
	hostfs_each(w->root, partition, &b, "/sys/class/block/%s", name);
	hostfs_each_line(w->root, mount_line, &b, "/proc/self/mountinfo");
	hostfs_each_line(w->root, swap_line, &b, "/proc/swaps");
	w->depth--;
}

/* Asks the kernel with an exclusive open; this finds uses that have no line in /proc. */
static void use_exclusive(struct walk *w, const char *name)
{
	const struct block b = { .w = w, .name = name };
	char path[PATH_MAX];
	scoped_fd fd = -1;

	snprintf(path, sizeof(path), "%s/dev/%s", w->root, name);
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY)
		tell_disk(&b, HOST_USE_OPEN, "which is in use", NULL);
}

static int disk(void *arg, const char *name)
{
	struct walk *w = arg;
	unsigned before = w->found;

	if (is_partition(w, name) || !sysfs_belongs(w->root, w->bdf, "block", name))
		return 0;
	w->disk = name;
	use_block(w, name);
	if (w->found == before)
		use_exclusive(w, name);
	return 0;
}

/* ---- default route ---- */

static bool rests_on(struct walk *w, const char *name);

static int lower(void *arg, const char *link)
{
	return strncmp(link, "lower_", 6) == 0 && rests_on(arg, link + 6);
}

/* True if the interface belongs to the device, or is a bridge, bond or VLAN on top of it. */
static bool rests_on(struct walk *w, const char *name)
{
	bool found;

	if (w->depth >= DEPTH_MAX)
		return false;
	w->depth++;
	found = sysfs_belongs(w->root, w->bdf, "net", name) ||
		hostfs_each(w->root, lower, w, "/sys/class/net/%s", name);
	w->depth--;
	return found;
}

static void route(struct walk *w, const char *name)
{
	if (rests_on(w, name))
		tell(w, HOST_USE_ROUTE, name, NULL, "carries this host's default route (%s)", name);
}

static int route4(void *arg, const char *line)
{
	unsigned dest, mask;
	char name[64];

	if (sscanf(line, "%63s %8x %*x %*x %*d %*d %*d %8x", name, &dest, &mask) == 3 &&
	    dest == 0 && mask == 0)
		route(arg, name);
	return 0;
}

static int route6(void *arg, const char *line)
{
	char dest[33], name[64];
	unsigned len;

	if (sscanf(line, "%32s %2x %*s %*s %*s %*s %*s %*s %*s %63s", dest, &len, name) == 3 &&
	    len == 0 && strspn(dest, "0") == 32)
		route(arg, name);
	return 0;
}

/* ---- all of it ---- */

void host_use_each(const char *root, const char *bdf, host_use_fn *fn, void *arg)
{
	struct walk w = { .root = root, .bdf = bdf, .fn = fn, .arg = arg };

	vfs(&w);
	if (sysfs_number(root, bdf, "boot_vga", 0) == 1)
		hostfs_each(root, console, &w, "/sys/class/vtconsole");
	hostfs_each(root, disk, &w, "/sys/class/block");
	hostfs_each_line(root, route4, &w, "/proc/net/route");
	hostfs_each_line(root, route6, &w, "/proc/net/ipv6_route");
}

struct first {
	const char *bdf;
	struct error *err;
	int ret;
};

static void take_first(void *arg, const struct host_use *u)
{
	struct first *f = arg;

	if (f->ret != 0)
		return;
	if (u->kind == HOST_USE_VFS)
		f->ret = error_set(f->err, -ENOTEMPTY, "%s %s: remove them first: minivmm vf %s 0",
				   f->bdf, u->text, f->bdf);
	else
		f->ret = error_set(f->err, -EBUSY, "%s %s", f->bdf, u->text);
}

int host_use_check(const char *root, const char *bdf, struct error *err)
{
	struct first f = { bdf, err, 0 };

	host_use_each(root, bdf, take_first, &f);
	return f.ret;
}
