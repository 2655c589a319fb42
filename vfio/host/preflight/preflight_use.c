/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks who uses a device: the host (vfio/host/host_use.h), its network interfaces, the firmware's
 * framebuffer, processes.
 *
 * Processes are found by their open files. Only root sees the files of all processes.
 */
#include <stdio.h>
#include <string.h>

#include "vfio/host/host_use.h"
#include "vmm/core/hostfs.h"
#include "vfio/host/preflight/preflight.h"
#include "vfio/host/preflight/preflight_parts.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/text.h"

/* ---- the host ---- */

/* The name is quoted: it may come from anybody (the label of a USB stick), and the user will paste
 * the command into a shell. */
static void say_umount(char *remedy, size_t size, const char *where)
{
	scoped_free char *quoted = text_quote(where);

	if (quoted && strlen(quoted) + sizeof("umount ") <= size)
		snprintf(remedy, size, "umount %s", quoted);
}

static void say_disk(struct preflight *p, const struct host_use *u)
{
	char remedy[200] = "stop what uses it: lsblk -f shows its contents";

	if (u->kind == HOST_USE_SWAP)
		snprintf(remedy, sizeof(remedy), "swapoff /dev/%s", u->name);
	else if (u->kind == HOST_USE_MOUNT && strcmp(u->where, "/") == 0)
		snprintf(remedy, sizeof(remedy), "do not pass this device: the host runs from it");
	else if (u->kind == HOST_USE_MOUNT)
		say_umount(remedy, sizeof(remedy), u->where);
	preflight_say(p, PREFLIGHT_USE_DISK, u->text, remedy);
}

static void say_host(void *p, const struct host_use *u)
{
	if (u->kind == HOST_USE_VFS)
		preflight_say(p, PREFLIGHT_USE_VFS, u->text);
	else if (u->kind == HOST_USE_CONSOLE)
		preflight_say(p, PREFLIGHT_USE_CONSOLE, u->text, u->name);
	else if (u->kind == HOST_USE_ROUTE)
		preflight_say(p, PREFLIGHT_USE_ROUTE, u->text);
	else
		say_disk(p, u);
}

static int check_net(void *arg, const char *name)
{
	struct preflight *p = arg;

	/* Bit 0 is IFF_UP, see netdevice(7). */
	if (sysfs_belongs(p->root, p->bdf, "net", name) &&
	    hostfs_number(p->root, 0, "/sys/class/net/%s/flags", name) & 1)
		preflight_say(p, PREFLIGHT_USE_NET, name);
	return 0;
}

/* ---- the firmware's screen ---- */

struct iomem {
	struct preflight *p;
	size_t depth; /* indentation of the device's line; 0: outside of the device */
};

/* One line of /proc/iomem. Each level is indented by two more spaces; the resources inside of a BAR
 * follow the line of the device. The drivers of the firmware's framebuffer use these names. */
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
		for (i = 0; i < ARRAY_SIZE(screens); i++)
			if (strncmp(name, screens[i], strlen(screens[i])) == 0) {
				preflight_say(m->p, PREFLIGHT_USE_SCREEN, name);
				return 1;
			}
	if (depth <= m->depth)
		m->depth = 0;
	if (strcmp(name, m->p->bdf) == 0)
		m->depth = depth;
	return 0;
}

/* ---- processes ---- */

struct search {
	struct preflight *p;
	const char *class, *folder;
	enum preflight_finding what;
	struct sysfs_files files;
};

static int add_file(void *arg, const char *name)
{
	struct search *s = arg;

	if (sysfs_belongs(s->p->root, s->p->bdf, s->class, name))
		sysfs_add_file(&s->files, s->folder, name);
	return 0;
}

static void find_files(struct search *s)
{
	static const char *const classes[][2] = { { "block", "/dev" },
						  { "drm", "/dev/dri" },
						  { "sound", "/dev/snd" } };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		s->class = classes[i][0];
		s->folder = classes[i][1];
		hostfs_each(s->p->root, add_file, s, "/sys/class/%s", s->class);
	}
}

static int say_process(void *arg, const char *pid, const char *comm, const char *path)
{
	const struct search *s = arg;

	preflight_say(s->p, s->what, pid, comm, path);
	return 0;
}

void preflight_use(struct preflight *p, const struct sysfs_pci *d)
{
	struct search s = { .p = p, .what = PREFLIGHT_USE_PROCESS };
	struct iomem m = { .p = p };

	/* A device that is bound to a vfio driver is not used by the host, even if the host booted
	 * with it. */
	if (!sysfs_driver_is_vfio(d->driver))
		host_use_each(p->root, d->bdf, say_host, p);
	hostfs_each(p->root, check_net, p, "/sys/class/net");
	hostfs_each_line(p->root, iomem_line, &m, "/proc/iomem");
	find_files(&s);
	sysfs_holders(p->root, &s.files, say_process, &s);
	s.what = PREFLIGHT_USE_GROUP;
	sysfs_vfio_files(p->root, d, &s.files);
	sysfs_holders(p->root, &s.files, say_process, &s);
}
