/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sysfs, read for what decides whether a device can be given away.
 *
 * The checks go from the outside in, so that the first thing wrong is the first thing said: the
 * device is there, it is no bridge, an IOMMU looks after it, a vfio driver has it. They come before
 * anything is opened, so a refusal leaves nothing changed. Whether the rest of the group is in the
 * way only the kernel can say; sysfs then explains its answer.
 *
 * Threads: any; no state.
 */
#include "vfio/sysfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/addr.h"
#include "vmm/cleanup.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

/* Two to `max` hex digits at *s, then `end`; moves *s behind them. */
static bool hex_field(const char **s, unsigned min, unsigned max, char end, unsigned *out)
{
	unsigned n = 0;

	*out = 0;
	for (; n <= max && isxdigit((unsigned char)**s); n++, (*s)++) {
		int c = tolower((unsigned char)**s);

		*out = *out << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (n < min || n > max || **s != end)
		return false;
	*s += end != '\0';
	return true;
}

/* The domain of a VMD has five digits and more. */
int sysfs_parse_bdf(const char *s, char bdf[VFIO_BDF_SIZE])
{
	const char *colon = strchr(s, ':');
	unsigned domain = 0, bus, dev, fn;
	bool ok = true;

	if (colon && strchr(colon + 1, ':'))
		ok = hex_field(&s, 4, 6, ':', &domain);
	ok = ok && hex_field(&s, 1, 2, ':', &bus) && hex_field(&s, 1, 2, '.', &dev) &&
	     hex_field(&s, 1, 1, '\0', &fn) && dev < 32 && fn < 8;
	if (!ok)
		return -EINVAL;
	snprintf(bdf, VFIO_BDF_SIZE, "%04x:%02x:%02x.%x", domain, bus & 0xff, dev, fn & 7);
	return 0;
}

struct sysfs_addr sysfs_addr(const char *bdf)
{
	struct sysfs_addr a = { 0 };

	sscanf(bdf, "%x:%x:%x.%x", &a.domain, &a.bus, &a.dev, &a.fn);
	return a;
}

int sysfs_read_line(const char *path, char *buf, size_t size)
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

int sysfs_attribute(const char *root, const char *bdf, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" PCI_DEVICES "/%s/%s", root, bdf, name);
	return sysfs_read_line(path, buf, size);
}

long sysfs_number(const char *root, const char *bdf, const char *name, long fallback)
{
	char buf[32], *end;
	long v;

	if (sysfs_attribute(root, bdf, name, buf, sizeof(buf)) < 0)
		return fallback;
	v = strtol(buf, &end, 0);
	return end == buf ? fallback : v;
}

void sysfs_link_name(const char *root, const char *bdf, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "%s" PCI_DEVICES "/%s/%s", root, bdf, name);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	slash = strrchr(target, '/');
	snprintf(buf, size, "%.*s", (int)size - 1, slash ? slash + 1 : target);
}

int sysfs_pci_read(const char *root, const char *bdf, struct sysfs_pci *d)
{
	char path[PATH_MAX], group[16];

	*d = (struct sysfs_pci){ .group = -1, .numa_node = -1 };
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	snprintf(path, sizeof(path), "%s" PCI_DEVICES "/%s", root, bdf);
	if (access(path, F_OK) < 0)
		return -ENODEV;
	d->vendor = (uint16_t)sysfs_number(root, bdf, "vendor", 0xffff);
	d->device = (uint16_t)sysfs_number(root, bdf, "device", 0xffff);
	d->class_code = (uint32_t)sysfs_number(root, bdf, "class", 0) & 0xffffff;
	d->numa_node = (int)sysfs_number(root, bdf, "numa_node", -1);
	d->has_methods = sysfs_attribute(root, bdf, "reset_method", d->methods,
					 sizeof(d->methods)) == 0;
	sysfs_link_name(root, bdf, "driver", d->driver, sizeof(d->driver));
	sysfs_link_name(root, bdf, "iommu_group", group, sizeof(group));
	if (group[0])
		d->group = atoi(group);
	sysfs_link_name(root, bdf, "physfn", group, sizeof(group));
	d->virtfn = group[0] != '\0';
	return 0;
}

static int has_name(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int sysfs_group_each(const char *root, unsigned group, int (*fn)(void *, const struct sysfs_pci *),
		     void *arg)
{
	char path[PATH_MAX];
	struct sysfs_pci d;
	struct dirent **list;
	int i, n, rc = 0;

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%u/devices", root, group);
	n = scandir(path, &list, has_name, alphasort);
	if (n < 0)
		return -ENOENT;
	for (i = 0; i < n; i++) {
		if (rc == 0 && sysfs_pci_read(root, list[i]->d_name, &d) == 0)
			rc = fn(arg, &d);
		free(list[i]);
	}
	free(list);
	return rc;
}

bool sysfs_is_bridge(const struct sysfs_pci *d)
{
	return d->class_code >> 16 == SYSFS_CLASS_BRIDGE;
}

/* vfio-pci and its variants: mlx5_vfio_pci, nvgrace_gpu_vfio_pci, ... */
bool sysfs_driver_is_vfio(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

/* A bridge's port driver and pci-stub leave DMA alone, and so does no driver at all. */
bool sysfs_in_the_way(const struct sysfs_pci *d)
{
	return d->driver[0] && !sysfs_driver_is_vfio(d->driver) &&
	       strcmp(d->driver, "pcieport") != 0 && strcmp(d->driver, "pci-stub") != 0;
}

/* ---- what is wrong ---- */

bool sysfs_cpu_is_amd(const char *root)
{
	char path[PATH_MAX], line[128];
	bool amd = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/cpuinfo", root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f) && strncmp(line, "flags", 5) != 0)
		amd |= strncmp(line, "vendor_id", 9) == 0 &&
		       (strstr(line, "AMD") || strstr(line, "Hygon"));
	if (f)
		fclose(f);
	return amd;
}

bool sysfs_any_group(const char *root)
{
	char path[PATH_MAX];
	struct dirent **list;
	int i, n;

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups", root);
	n = scandir(path, &list, has_name, NULL);
	for (i = 0; i < n; i++)
		free(list[i]);
	if (n >= 0)
		free(list);
	return n > 0;
}

static int explain_no_iommu(const char *root, const char *bdf, struct error *err)
{
	if (sysfs_any_group(root))
		return error_set(err, -ENODEV,
				 "%s: the IOMMU does not look after this device: choose another "
				 "slot or device",
				 bdf);
	if (sysfs_cpu_is_amd(root))
		return error_set(err, -ENODEV,
				 "%s: this host runs without an IOMMU: enable it (IOMMU, AMD-Vi, "
				 "SVM) in the machine's setup, and boot without amd_iommu=off "
				 "(or with intel_iommu=on where it is an Intel one)",
				 bdf);
	return error_set(err, -ENODEV,
			 "%s: this host runs without an IOMMU: enable VT-d in the machine's setup "
			 "and boot the kernel with intel_iommu=on",
			 bdf);
}

static int explain_driver(const struct sysfs_pci *d, struct error *err)
{
	if (!d->driver[0])
		return error_set(err, -EBUSY,
				 "%s has no driver: bind it to vfio-pci: minivmm bind %s", d->bdf,
				 d->bdf);
	return error_set(err, -EBUSY, "%s is bound to %s: bind it to vfio-pci: minivmm bind %s",
			 d->bdf, d->driver, d->bdf);
}

int sysfs_look(const char *root, const char *bdf, struct sysfs_pci *d, struct error *err)
{
	if (sysfs_pci_read(root, bdf, d) < 0)
		return error_set(err, -ENODEV,
				 "%s: this host has no such PCI device: lspci -D lists them", bdf);
	if (d->class_code >> 16 == SYSFS_CLASS_BRIDGE)
		return error_set(err, -EINVAL, "%s is a bridge: give the devices behind it instead",
				 bdf);
	return d->group < 0 ? explain_no_iommu(root, bdf, err) : 0;
}

int sysfs_check(const char *root, const char *bdf, struct sysfs_pci *d, struct error *err)
{
	int rc = sysfs_look(root, bdf, d, err);

	return rc < 0 || sysfs_driver_is_vfio(d->driver) ? rc : explain_driver(d, err);
}

struct group_text {
	struct sysfs_pci first; /* the first one in the way */
	char second[64];	/* the next one, by address and driver */
	unsigned n;
};

static int add_to_text(void *arg, const struct sysfs_pci *d)
{
	struct group_text *t = arg;
	if (!sysfs_in_the_way(d))
		return 0;
	if (++t->n == 1)
		t->first = *d;
	else if (t->n == 2)
		snprintf(t->second, sizeof(t->second), ", %s (%s)", d->bdf, d->driver);
	return 0;
}

int sysfs_explain_group(const char *root, unsigned group, struct error *err)
{
	struct group_text t = { .n = 0 };

	sysfs_group_each(root, group, add_to_text, &t);
	if (t.n == 0)
		return error_set(err, -EBUSY,
				 "IOMMU group %u is in use by the host: every device of "
				 "/sys/kernel/iommu_groups/%u/devices must be bound to vfio-pci",
				 group, group);
	return error_set(err, -EBUSY,
			 "it shares IOMMU group %u with %s (%s)%s%s, and a group goes to the guest "
			 "as a whole: bind %s to vfio-pci too: minivmm bind %s%s",
			 group, t.first.bdf, t.first.driver, t.second, t.n > 2 ? ", ..." : "",
			 t.n > 1 ? "them" : "that", t.first.bdf, t.n > 1 ? " --group" : "");
}

/* ---- who holds a group ---- */

int sysfs_each(const char *dir, int (*fn)(void *, const char *name), void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	while (d && rc == 0 && (e = readdir(d)))
		rc = e->d_name[0] == '.' ? 0 : fn(arg, e->d_name);
	if (d)
		closedir(d);
	return rc;
}

struct holder {
	const char *root, *path;
	char dir[PATH_MAX]; /* of the process's descriptors */
	char *who;
	size_t size;
};

static int is_it(void *arg, const char *fd)
{
	struct holder *h = arg;
	char link[PATH_MAX + 256], target[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "%s/%s", h->dir, fd);
	n = readlink(link, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	return strcmp(target, h->path) == 0;
}

static int holds(void *arg, const char *pid)
{
	struct holder *h = arg;
	char path[PATH_MAX], comm[32];

	if (!isdigit((unsigned char)pid[0]))
		return 0;
	snprintf(h->dir, sizeof(h->dir), "%s/proc/%s/fd", h->root, pid);
	if (!sysfs_each(h->dir, is_it, h))
		return 0;
	snprintf(path, sizeof(path), "%s/proc/%s/comm", h->root, pid);
	sysfs_read_line(path, comm, sizeof(comm));
	snprintf(h->who, h->size, "%s (%s)", pid, comm[0] ? comm : "no name");
	return 1;
}

bool sysfs_holder(const char *root, const char *path, char *who, size_t size)
{
	struct holder h = { .root = root, .path = path, .who = who, .size = size };
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/proc", root);
	return sysfs_each(dir, holds, &h) != 0;
}

static int explain_holder(const char *who, const char *path, struct error *err)
{
	return error_set(err, -EBUSY, "process %s has %s open: end it first", who, path);
}

int sysfs_explain_busy(const char *root, unsigned group, struct error *err)
{
	char path[64], who[64];

	snprintf(path, sizeof(path), "/dev/vfio/%u", group);
	if (sysfs_holder(root, path, who, sizeof(who)))
		return explain_holder(who, path, err);
	return error_set(err, -EBUSY,
			 "another process has %s open: end it first (fuser -v %s names it to root)",
			 path, path);
}

static int first_name(void *buf, const char *name)
{
	snprintf(buf, 64, "/dev/vfio/devices/%.32s", name);
	return 1;
}

/* The group's file for a container's user, the device's own for an iommufd's. */
int sysfs_check_idle(const char *root, const struct sysfs_pci *d, struct error *err)
{
	char dir[PATH_MAX], path[64], who[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", d->group);
	if (sysfs_holder(root, path, who, sizeof(who)))
		return explain_holder(who, path, err);
	snprintf(dir, sizeof(dir), "%s" PCI_DEVICES "/%s/vfio-dev", root, d->bdf);
	if (sysfs_each(dir, first_name, path) && sysfs_holder(root, path, who, sizeof(who)))
		return explain_holder(who, path, err);
	return 0;
}
