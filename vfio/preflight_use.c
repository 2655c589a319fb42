/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who uses a device: network interfaces, disks, the firmware's screen, processes.
 *
 * What belongs to a device has it in the path that its class's link leads to. Processes are found
 * by their open files, as far as this one may look into them: all of them as root.
 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vfio/hostfs.h"
#include "vfio/preflight.h"
#include "vfio/preflight_parts.h"

#define MAX_NODES 64

struct use {
	struct preflight *p;
	char part[VFIO_BDF_SIZE + 2]; /* "/0000:01:00.0/" */
	const char *class, *disk, *pid;
	enum preflight_finding what;
	char node[MAX_NODES][48]; /* files in /dev */
	unsigned n_nodes;
};

static void add_node(struct use *u, const char *folder, const char *name)
{
	if (u->n_nodes < MAX_NODES)
		snprintf(u->node[u->n_nodes++], sizeof(u->node[0]), "%s/%.24s", folder, name);
}

static bool is_ours(const struct use *u, const char *name)
{
	char target[PATH_MAX];

	hostfs_target(u->p->root, target, sizeof(target), "/sys/class/%s/%s", u->class, name);
	return strstr(target, u->part) != NULL;
}

static void each_of_class(struct use *u, const char *class, hostfs_fn *fn)
{
	u->class = class;
	hostfs_each(u->p->root, fn, u, "/sys/class/%s", class);
}

/* ---- interfaces and disks ---- */

static int check_net(void *arg, const char *name)
{
	struct use *u = arg;

	/* IFF_UP, of netdevice(7) */
	if (is_ours(u, name) && hostfs_number(u->p->root, 0, "/sys/class/net/%s/flags", name) & 1)
		preflight_say(u->p, PREFLIGHT_USE_NET, name);
	return 0;
}

/* "/dev/sda1 ..." for the disk sda1. */
static bool is_about(const struct use *u, const char *line)
{
	size_t n = strlen(u->disk);

	return strncmp(line, "/dev/", 5) == 0 && strncmp(line + 5, u->disk, n) == 0 &&
	       isspace((unsigned char)line[5 + n]);
}

static int check_mount(void *arg, const char *line)
{
	char where[160], text[200], remedy[200];
	struct use *u = arg;

	if (!is_about(u, line) || sscanf(line, "%*s %159s", where) != 1)
		return 0;
	snprintf(text, sizeof(text), "mounted on %s", where);
	snprintf(remedy, sizeof(remedy), "umount %s", where);
	if (strcmp(where, "/") == 0)
		snprintf(remedy, sizeof(remedy), "keep it: the host runs from it");
	preflight_say(u->p, PREFLIGHT_USE_DISK, u->disk, text, remedy);
	return 0;
}

static int check_swap(void *arg, const char *line)
{
	struct use *u = arg;
	char remedy[64];

	if (!is_about(u, line))
		return 0;
	snprintf(remedy, sizeof(remedy), "swapoff /dev/%s", u->disk);
	preflight_say(u->p, PREFLIGHT_USE_DISK, u->disk, "swap space", remedy);
	return 0;
}

/* LUKS, LVM, md: another block device on top. */
static int check_stacked(void *arg, const char *name)
{
	struct use *u = arg;
	char text[64];

	snprintf(text, sizeof(text), "%.40s lies on it", name);
	preflight_say(u->p, PREFLIGHT_USE_DISK, u->disk, text,
		      "lsblk shows what that is: close it first");
	return 0;
}

static int check_disk(void *arg, const char *name)
{
	struct use *u = arg;
	const char *root = u->p->root;

	if (!is_ours(u, name))
		return 0;
	u->disk = name;
	add_node(u, "/dev", name);
	hostfs_each_line(root, check_mount, u, "/proc/self/mounts");
	hostfs_each_line(root, check_swap, u, "/proc/swaps");
	hostfs_each(root, check_stacked, u, "/sys/class/block/%s/holders", name);
	return 0;
}

/* ---- the firmware's screen ---- */

struct iomem {
	struct use *u;
	size_t depth; /* of the device's line; 0: not behind it */
};

/* Resources are nested by two spaces a level; what lies in a BAR follows it. The drivers of the
 * firmware's screen name their part efifb, simplefb, simpledrm or BOOTFB. */
static int iomem_line(void *arg, const char *line)
{
	static const char *const screens[] = { "efifb",	   "BOOTFB",	"simple-framebuffer",
					       "simplefb", "simpledrm", "vesafb" };
	struct iomem *m = arg;
	size_t depth = strspn(line, " ") + 1;
	const char *name = strstr(line, " : ");
	unsigned i;

	if (!name)
		return 0;
	name += 3;
	if (m->depth && depth > m->depth)
		for (i = 0; i < sizeof(screens) / sizeof(screens[0]); i++)
			if (strncmp(name, screens[i], strlen(screens[i])) == 0) {
				preflight_say(m->u->p, PREFLIGHT_USE_SCREEN, name);
				return 1;
			}
	if (depth <= m->depth)
		m->depth = 0;
	if (strcmp(name, m->u->p->bdf) == 0)
		m->depth = depth;
	return 0;
}

/* ---- processes ---- */

static int add_drm(void *arg, const char *name)
{
	if (is_ours(arg, name))
		add_node(arg, "/dev/dri", name);
	return 0;
}

static int add_sound(void *arg, const char *name)
{
	if (is_ours(arg, name))
		add_node(arg, "/dev/snd", name);
	return 0;
}

static int add_vfio(void *arg, const char *name)
{
	add_node(arg, "/dev/vfio/devices", name);
	return 0;
}

/* Stops at the first: a process is named once. */
static int open_file(void *arg, const char *fd)
{
	char target[PATH_MAX], comm[32];
	struct use *u = arg;
	unsigned i;

	hostfs_target(u->p->root, target, sizeof(target), "/proc/%s/fd/%s", u->pid, fd);
	for (i = 0; i < u->n_nodes && strcmp(target, u->node[i]) != 0; i++)
		;
	if (i == u->n_nodes)
		return 0;
	hostfs_line(u->p->root, comm, sizeof(comm), "/proc/%s/comm", u->pid);
	preflight_say(u->p, u->what, u->pid, comm, target);
	return 1;
}

static int process(void *arg, const char *pid)
{
	struct use *u = arg;

	u->pid = pid;
	if (isdigit((unsigned char)*pid))
		hostfs_each(u->p->root, open_file, u, "/proc/%s/fd", pid);
	return 0;
}

static void find_processes(struct use *u, enum preflight_finding what)
{
	u->what = what;
	if (u->n_nodes)
		hostfs_each(u->p->root, process, u, "/proc");
	u->n_nodes = 0;
}

void preflight_use(struct preflight *p, const struct sysfs_pci *d)
{
	struct use u = { .p = p };
	struct iomem m = { .u = &u };
	char group[16];

	snprintf(u.part, sizeof(u.part), "/%.15s/", d->bdf);
	each_of_class(&u, "net", check_net);
	each_of_class(&u, "block", check_disk);
	hostfs_each_line(p->root, iomem_line, &m, "/proc/iomem");
	each_of_class(&u, "drm", add_drm);
	each_of_class(&u, "sound", add_sound);
	find_processes(&u, PREFLIGHT_USE_PROCESS);
	snprintf(group, sizeof(group), "%d", d->group);
	if (d->group >= 0)
		add_node(&u, "/dev/vfio", group);
	hostfs_each(p->root, add_vfio, &u, "/sys/bus/pci/devices/%s/vfio-dev", d->bdf);
	find_processes(&u, PREFLIGHT_USE_GROUP);
}
