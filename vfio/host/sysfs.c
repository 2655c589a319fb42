/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads from sysfs whether a device can be given to a guest.
 *
 * The checks have a fixed order, so that the message names the most basic problem: the device
 * exists, it is not a bridge, it is behind an IOMMU, it is bound to a vfio driver. They come before
 * anything is opened, so a refusal changes nothing. Only the kernel can decide whether the group is
 * viable; sysfs then explains the kernel's answer.
 *
 * Threads: any; no state.
 */
#include "vfio/host/sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/hostfs.h"
#include "vmm/core/addr.h"

#define PCI_DEVICES	"/sys/bus/pci/devices"
#define IOMMU_GROUPS	"/sys/kernel/iommu_groups"
#define NVME_SUBSYSTEMS "/devices/virtual/nvme-subsystem/"

/* Reads `min` to `max` hex digits at *s, and `end`. Moves *s behind them. */
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

/* A domain of a VMD (Intel Volume Management Device) has five or more digits. */
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

bool sysfs_is_ids(const char *s)
{
	unsigned vendor, device;
	int n = 0;

	return sscanf(s, "%4x:%4x%n", &vendor, &device, &n) == 2 && n == 9 && !s[n];
}

int sysfs_bad_bdf(const char *s, struct error *err)
{
	if (sysfs_is_ids(s))
		return error_set(err, -EINVAL,
				 "'%s' are the ids of a kind of device, not an address: lspci -d "
				 "%s lists their addresses",
				 s, s);
	return error_set(err, -EINVAL,
			 "'%s' is not an address: use a PCI address like 01:00.0 or "
			 "0000:01:00.0, as lspci shows it",
			 s);
}

struct sysfs_addr sysfs_addr(const char *bdf)
{
	struct sysfs_addr a = { 0 };

	sscanf(bdf, "%x:%x:%x.%x", &a.domain, &a.bus, &a.dev, &a.fn);
	return a;
}

int sysfs_attribute(const char *root, const char *bdf, const char *name, char *buf, size_t size)
{
	return hostfs_line(root, buf, size, PCI_DEVICES "/%s/%s", bdf, name);
}

long sysfs_number(const char *root, const char *bdf, const char *name, long fallback)
{
	return (long)hostfs_number(root, fallback, PCI_DEVICES "/%s/%s", bdf, name);
}

void sysfs_link_name(const char *root, const char *bdf, const char *name, char *buf, size_t size)
{
	hostfs_link(root, buf, size, PCI_DEVICES "/%s/%s", bdf, name);
}

#define RESOURCE_BARS  6	   /* the next lines are the ROM and others */
#define RESOURCE_MEM64 0x100000ull /* linux/ioport.h: IORESOURCE_MEM_64 */

struct bar_sum {
	unsigned line;
	uint64_t bytes;
};

/* One line of the resource file: first address, last address, flags. */
static int add_bar(void *arg, const char *line)
{
	unsigned long long first, last, flags;
	struct bar_sum *s = arg;

	if (s->line++ == RESOURCE_BARS ||
	    sscanf(line, "%llx %llx %llx", &first, &last, &flags) != 3)
		return 1;
	if ((flags & RESOURCE_MEM64) && last > first && last - first < 1ull << 52)
		s->bytes += align_up(last - first + 1, MiB);
	return 0;
}

uint64_t sysfs_mem64(const char *root, const char *bdf)
{
	struct bar_sum s = { 0 };

	hostfs_each_line(root, add_bar, &s, PCI_DEVICES "/%s/resource", bdf);
	return s.bytes;
}

int sysfs_pci_read(const char *root, const char *bdf, struct sysfs_pci *d)
{
	char group[16];

	*d = (struct sysfs_pci){ .group = -1, .numa_node = -1 };
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	if (!hostfs_exists(root, PCI_DEVICES "/%s", bdf))
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

struct group_walk {
	const char *root;
	int (*fn)(void *, const struct sysfs_pci *);
	void *arg;
};

static int group_device(void *arg, const char *bdf)
{
	const struct group_walk *w = arg;
	struct sysfs_pci d;

	return sysfs_pci_read(w->root, bdf, &d) < 0 ? 0 : w->fn(w->arg, &d);
}

int sysfs_group_each(const char *root, unsigned group, int (*fn)(void *, const struct sysfs_pci *),
		     void *arg)
{
	struct group_walk w = { root, fn, arg };

	if (!hostfs_exists(root, IOMMU_GROUPS "/%u", group))
		return -ENOENT;
	return hostfs_each(root, group_device, &w, IOMMU_GROUPS "/%u/devices", group);
}

bool sysfs_is_bridge(const struct sysfs_pci *d)
{
	return d->class_code >> 16 == SYSFS_CLASS_BRIDGE;
}

/* vfio-pci or a variant: mlx5_vfio_pci, nvgrace_gpu_vfio_pci, ... */
bool sysfs_driver_is_vfio(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

/* The port driver of bridges and pci-stub do no DMA, so the kernel allows them in a group. */
bool sysfs_in_the_way(const struct sysfs_pci *d)
{
	return d->driver[0] && !sysfs_driver_is_vfio(d->driver) &&
	       strcmp(d->driver, "pcieport") != 0 && strcmp(d->driver, "pci-stub") != 0;
}

/* ---- what is wrong ---- */

static int amd_line(void *arg, const char *line)
{
	*(bool *)arg |= strncmp(line, "vendor_id", 9) == 0 &&
			(strstr(line, "AMD") || strstr(line, "Hygon"));
	return strncmp(line, "flags", 5) == 0;
}

static bool cpu_is_amd(const char *root)
{
	bool amd = false;

	hostfs_each_line(root, amd_line, &amd, "/proc/cpuinfo");
	return amd;
}

static int found(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

bool sysfs_any_group(const char *root)
{
	return hostfs_each(root, found, NULL, IOMMU_GROUPS) != 0;
}

static int explain_no_iommu(const char *root, const char *bdf, struct error *err)
{
	if (sysfs_any_group(root))
		return error_set(err, -ENODEV,
				 "%s: this device is not behind the IOMMU: put it into another "
				 "slot, or choose another device",
				 bdf);
	if (cpu_is_amd(root))
		return error_set(err, -ENODEV,
				 "%s: this host runs without an IOMMU: enable it (IOMMU, AMD-Vi, "
				 "SVM) in the firmware setup (BIOS), and boot without "
				 "amd_iommu=off (with an Intel IOMMU: with intel_iommu=on)",
				 bdf);
	return error_set(err, -ENODEV,
			 "%s: this host runs without an IOMMU: enable VT-d in the firmware setup "
			 "(BIOS), and boot the kernel with intel_iommu=on",
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
		return error_set(err, -EINVAL, "%s is a bridge: name the devices behind it instead",
				 bdf);
	return d->group < 0 ? explain_no_iommu(root, bdf, err) : 0;
}

int sysfs_check(const char *root, const char *bdf, struct sysfs_pci *d, struct error *err)
{
	int ret = sysfs_look(root, bdf, d, err);

	return ret < 0 || sysfs_driver_is_vfio(d->driver) ? ret : explain_driver(d, err);
}

struct group_text {
	struct sysfs_pci first; /* the first device that makes the group non-viable */
	char second[64];	/* address and driver of the second one */
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

/* ---- what belongs to a device ---- */

static bool leads_through(const char *target, const char *bdf)
{
	char part[48];

	snprintf(part, sizeof(part), "/%.40s/", bdf);
	return strstr(target, part) != NULL;
}

struct subsystem {
	const char *root, *bdf, *name;
	int len; /* of the name */
};

static int has_controller(void *arg, const char *name)
{
	const struct subsystem *s = arg;
	char target[PATH_MAX];

	hostfs_target(s->root, target, sizeof(target), "/sys" NVME_SUBSYSTEMS "%.*s/%s", s->len,
		      s->name, name);
	return leads_through(target, s->bdf);
}

/* The path of an NVMe disk with several controllers leads to the NVMe subsystem, which has a link
 * to each controller. */
bool sysfs_belongs(const char *root, const char *bdf, const char *class, const char *name)
{
	struct subsystem s = { root, bdf, NULL, 0 };
	char target[PATH_MAX];

	hostfs_target(root, target, sizeof(target), "/sys/class/%s/%s", class, name);
	s.name = strstr(target, NVME_SUBSYSTEMS);
	if (!s.name)
		return leads_through(target, bdf);
	s.name += strlen(NVME_SUBSYSTEMS);
	s.len = (int)strcspn(s.name, "/");
	return hostfs_each(root, has_controller, &s, "/sys" NVME_SUBSYSTEMS "%.*s", s.len, s.name);
}

/* ---- who has files open ---- */

void sysfs_add_file(struct sysfs_files *f, const char *folder, const char *name)
{
	if (f->n < ARRAY_SIZE(f->path))
		snprintf(f->path[f->n++], sizeof(f->path[0]), "%s/%s", folder, name);
}

static int add_vfio(void *files, const char *name)
{
	sysfs_add_file(files, "/dev/vfio/devices", name);
	return 0;
}

static void add_group(struct sysfs_files *f, unsigned group)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", group);
	sysfs_add_file(f, "/dev/vfio", name);
}

/* A process that uses a container has the group's file open; one that uses iommufd has the device's
 * own file open. */
void sysfs_vfio_files(const char *root, const struct sysfs_pci *d, struct sysfs_files *f)
{
	f->n = 0;
	if (d->group >= 0)
		add_group(f, (unsigned)d->group);
	hostfs_each(root, add_vfio, f, PCI_DEVICES "/%s/vfio-dev", d->bdf);
}

struct holders {
	const char *root, *pid;
	const struct sysfs_files *files;
	sysfs_holder_fn *fn;
	void *arg;
	int ret; /* what fn returned */
};

/* Stops at the first matching file, so that a process is named only once. */
static int open_file(void *arg, const char *fd)
{
	char target[PATH_MAX], comm[32];
	struct holders *h = arg;
	unsigned i;

	hostfs_target(h->root, target, sizeof(target), "/proc/%s/fd/%s", h->pid, fd);
	for (i = 0; i < h->files->n && strcmp(target, h->files->path[i]) != 0; i++)
		;
	if (i == h->files->n)
		return 0;
	hostfs_line(h->root, comm, sizeof(comm), "/proc/%s/comm", h->pid);
	h->ret = h->fn(h->arg, h->pid, comm[0] ? comm : "no name", target);
	return 1;
}

static int process(void *arg, const char *pid)
{
	struct holders *h = arg;

	h->pid = pid;
	if (isdigit((unsigned char)*pid))
		hostfs_each(h->root, open_file, h, "/proc/%s/fd", pid);
	return h->ret;
}

int sysfs_holders(const char *root, const struct sysfs_files *f, sysfs_holder_fn *fn, void *arg)
{
	struct holders h = { root, NULL, f, fn, arg, 0 };

	return f->n ? hostfs_each(root, process, &h, "/proc") : 0;
}

static int explain_holder(void *err, const char *pid, const char *comm, const char *path)
{
	return error_set(err, -EBUSY, "process %s (%s) has %s open: end that process first", pid,
			 comm, path);
}

int sysfs_explain_busy(const char *root, unsigned group, struct error *err)
{
	struct sysfs_files f = { .n = 0 };
	int ret;

	add_group(&f, group);
	ret = sysfs_holders(root, &f, explain_holder, err);
	if (ret < 0)
		return ret;
	return error_set(err, -EBUSY,
			 "another process has %s open: end that process first (as root, fuser -v "
			 "%s shows it)",
			 f.path[0], f.path[0]);
}

int sysfs_check_idle(const char *root, const struct sysfs_pci *d, struct error *err)
{
	struct sysfs_files f;

	sysfs_vfio_files(root, d, &f);
	return sysfs_holders(root, &f, explain_holder, err);
}
