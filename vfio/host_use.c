/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host does with a device.
 *
 * The question is put from the other side: not what hangs below the device in sysfs (drivers nest
 * it as they like), but whether the resolved path of each disk and each interface that is in use
 * leads through the device. What is stacked on it is found by the kernel's own links: holders/ and
 * partitions of disks, lower_* of interfaces.
 *
 * A disk is in use when it, a partition or a holder is mounted or swap, or when the kernel refuses
 * it to an exclusive open: that also sees ZFS and the further disks of a btrfs.
 *
 * Threads: any; no state.
 */
#include "vfio/host_use.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/sysfs.h"
#include "vmm/cleanup.h"

#define DEPTH_MAX 8 /* of holders, and of interfaces */
#define NAME_SIZE 64

struct use {
	const char *root, *bdf;
	char device[PATH_MAX]; /* resolved */
	struct error *err;
	/* where the walk is */
	const char *disk; /* the disk of the device */
	const char *dir;
	unsigned depth;
};

static bool lies_below(const char *path, const char *device)
{
	scoped_free char *real = realpath(path, NULL);
	size_t len = strlen(device);

	return real && strncmp(real, device, len) == 0 && real[len] == '/';
}

/* ---- display ---- */

/* The dummy console is on no device. */
static int console_on(void *arg, const char *name)
{
	const struct use *u = arg;
	char path[PATH_MAX], bind[8], kind[64];

	snprintf(path, sizeof(path), "%s/sys/class/vtconsole/%s/bind", u->root, name);
	sysfs_read_line(path, bind, sizeof(bind));
	snprintf(path, sizeof(path), "%s/sys/class/vtconsole/%s/name", u->root, name);
	sysfs_read_line(path, kind, sizeof(kind));
	return strcmp(bind, "1") == 0 && !strstr(kind, "dummy");
}

static int display_use(struct use *u)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/sys/class/vtconsole", u->root);
	if (sysfs_number(u->root, u->bdf, "boot_vga", 0) != 1 || !sysfs_each(dir, console_on, u))
		return 0;
	return error_set(u->err, -EBUSY,
			 "%s is the display that this host booted with, and its console is there",
			 u->bdf);
}

/* ---- disks ---- */

static int disk_error(struct use *u, const char *name, const char *what, const char *where)
{
	if (strcmp(u->disk, name) == 0)
		return error_set(u->err, -EBUSY, "%s has the disk /dev/%s, %s%s", u->bdf, name,
				 what, where);
	return error_set(u->err, -EBUSY, "%s has the disk /dev/%s with /dev/%s, %s%s", u->bdf,
			 u->disk, name, what, where);
}

/* By number or, since a btrfs has a number of its own, by name. proc(5), mountinfo. */
static int mount_use(struct use *u, const char *name, const char *number)
{
	char path[PATH_MAX], line[4096], dev[32], where[1024], source[1024], node[NAME_SIZE + 8];
	const char *rest;
	int rc = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", u->root);
	snprintf(node, sizeof(node), "/dev/%s", name);
	f = fopen(path, "re");
	while (f && rc == 0 && fgets(line, sizeof(line), f)) {
		rest = strstr(line, " - ");
		if (!rest || sscanf(line, "%*s %*s %31s %*s %1023s", dev, where) != 2 ||
		    sscanf(rest, " - %*s %1023s", source) != 1)
			continue;
		if (strcmp(dev, number) == 0 || strcmp(source, node) == 0)
			rc = disk_error(u, name, "mounted on ", where);
	}
	if (f)
		fclose(f);
	return rc;
}

static int swap_use(struct use *u, const char *name)
{
	char path[PATH_MAX], line[1024], node[NAME_SIZE + 8];
	int rc = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/swaps", u->root);
	snprintf(node, sizeof(node), "/dev/%s ", name);
	f = fopen(path, "re");
	while (f && rc == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\t")] = ' ';
		if (strncmp(line, node, strlen(node)) == 0)
			rc = disk_error(u, name, "which is swap", "");
	}
	if (f)
		fclose(f);
	return rc;
}

static int block_use(struct use *u, const char *dir, const char *name);

static int holder_use(void *arg, const char *name)
{
	struct use *u = arg;
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/sys/block/%s", u->root, name);
	return block_use(u, dir, name);
}

static int partition_use(void *arg, const char *name)
{
	struct use *u = arg;
	char dir[PATH_MAX], path[PATH_MAX + 16], number[8];

	if (snprintf(dir, sizeof(dir), "%s/%s", u->dir, name) >= (int)sizeof(dir))
		return 0;
	snprintf(path, sizeof(path), "%s/partition", dir);
	return sysfs_read_line(path, number, sizeof(number)) < 0 ? 0 : block_use(u, dir, name);
}

/* dir: the disk's or partition's folder. What holds it is asked first: that has the better name. */
static int block_use(struct use *u, const char *dir, const char *name)
{
	char path[PATH_MAX + 16], number[32];
	const char *outer = u->dir;
	int rc = 0;

	if (u->depth >= DEPTH_MAX)
		return 0;
	u->depth++;
	u->dir = dir;
	snprintf(path, sizeof(path), "%s/holders", dir);
	rc = sysfs_each(path, holder_use, u);
	if (rc == 0)
		rc = sysfs_each(dir, partition_use, u);
	snprintf(path, sizeof(path), "%s/dev", dir);
	if (rc == 0 && sysfs_read_line(path, number, sizeof(number)) == 0)
		rc = mount_use(u, name, number);
	if (rc == 0)
		rc = swap_use(u, name);
	u->dir = outer;
	u->depth--;
	return rc;
}

/* The kernel's word on what has no line in /proc. */
static int exclusive_use(struct use *u, const char *name)
{
	char path[PATH_MAX];
	scoped_fd fd = -1;

	snprintf(path, sizeof(path), "%s/dev/%s", u->root, name);
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 && errno == EBUSY ? disk_error(u, name, "which is in use", "") : 0;
}

static int path_below(void *arg, const char *name)
{
	const struct use *u = arg;
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", u->dir, name) < (int)sizeof(path) &&
	       lies_below(path, u->device);
}

/* An NVMe disk with several controllers hangs from the subsystem, which has a link to each. */
static bool is_behind(struct use *u, const char *dir)
{
	scoped_free char *real = realpath(dir, NULL);
	char *slash = real ? strrchr(real, '/') : NULL;
	bool behind;

	if (lies_below(dir, u->device))
		return true;
	if (!slash || !strstr(real, "/nvme-subsystem/"))
		return false;
	*slash = '\0';
	u->dir = real;
	behind = sysfs_each(real, path_below, u) != 0;
	u->dir = NULL;
	return behind;
}

static int disk_use(void *arg, const char *name)
{
	struct use *u = arg;
	char dir[PATH_MAX];
	int rc;

	snprintf(dir, sizeof(dir), "%s/sys/block/%s", u->root, name);
	if (!is_behind(u, dir))
		return 0;
	u->disk = name;
	rc = block_use(u, dir, name);
	return rc < 0 ? rc : exclusive_use(u, name);
}

/* ---- default route ---- */

static int rests_on(void *arg, const char *name);

static int lower_rests(void *arg, const char *link)
{
	return strncmp(link, "lower_", 6) == 0 && rests_on(arg, link + 6);
}

/* The interface is the device's, or stands on one that is: bridge, bond, VLAN. */
static int rests_on(void *arg, const char *name)
{
	struct use *u = arg;
	char dir[PATH_MAX];
	int found;

	snprintf(dir, sizeof(dir), "%s/sys/class/net/%s", u->root, name);
	if (u->depth >= DEPTH_MAX)
		return 0;
	u->depth++;
	found = lies_below(dir, u->device) || sysfs_each(dir, lower_rests, u);
	u->depth--;
	return found;
}

/* A line of /proc/net/route or ipv6_route: the interface, when the route is a default one. */
static bool default_route4(const char *line, char name[NAME_SIZE])
{
	unsigned dest, mask;

	return sscanf(line, "%63s %8x %*x %*x %*d %*d %*d %8x", name, &dest, &mask) == 3 &&
	       dest == 0 && mask == 0;
}

static bool default_route6(const char *line, char name[NAME_SIZE])
{
	unsigned len;
	char dest[33];

	return sscanf(line, "%32s %2x %*s %*s %*s %*s %*s %*s %*s %63s", dest, &len, name) == 3 &&
	       len == 0 && strspn(dest, "0") == 32;
}

static int route_use(struct use *u, const char *file,
		     bool (*is_default)(const char *, char[NAME_SIZE]))
{
	char path[PATH_MAX], line[512], name[NAME_SIZE];
	int rc = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/net/%s", u->root, file);
	f = fopen(path, "re");
	while (f && rc == 0 && fgets(line, sizeof(line), f))
		if (is_default(line, name) && rests_on(u, name))
			rc = error_set(u->err, -EBUSY, "%s carries this host's default route (%s)",
				       u->bdf, name);
	if (f)
		fclose(f);
	return rc;
}

int host_use(const char *root, const char *bdf, struct error *err)
{
	struct use u = { .root = root, .bdf = bdf, .err = err };
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", root, bdf);
	if (!realpath(path, u.device))
		return 0;
	rc = display_use(&u);
	if (rc == 0) {
		snprintf(path, sizeof(path), "%s/sys/block", root);
		rc = sysfs_each(path, disk_use, &u);
	}
	if (rc == 0)
		rc = route_use(&u, "route", default_route4);
	return rc == 0 ? route_use(&u, "ipv6_route", default_route6) : rc;
}
