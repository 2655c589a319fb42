/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks one of the devices that a guest shall get: whether it can be given to the guest, and how
 * well it will work.
 *
 * Problems are decided as `minivmm run` decides them: the device is bound to a vfio driver, the
 * host uses no other device of its group, and only we can open the file of the group. The other
 * checks only warn about things that a guest would notice.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/hostfs.h"
#include "vfio/host/preflight/preflight.h"
#include "vfio/host/host_use.h"
#include "vfio/host/preflight/preflight_parts.h"
#include "vfio/host/reset_choice.h"
#include "vfio/rom_image.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/memmap.h"
#include "vmm/core/text.h"

#define PCI_DEVICES    "/sys/bus/pci/devices"
#define CLASS_DISPLAY  0x03
#define NUM_BARS       6
#define ROM_RESOURCE   6
#define IORESOURCE_MEM 0x200ull /* linux/ioport.h; the resource file shows these flags */
#define RESOURCE_UNSET 0x20000000ull

struct given {
	struct preflight *p;
	const struct sysfs_pci *d;
	size_t at; /* index of d in p->pci */
	const char (*bdf)[VFIO_BDF_SIZE];
	size_t n;
	uint64_t mem64; /* bytes of 64-bit BARs of the devices so far */
};

/* ---- driver and group ---- */

static void check_driver(const struct given *g)
{
	if (!g->d->driver[0])
		preflight_say(g->p, PREFLIGHT_DRIVER_NONE);
	else if (sysfs_driver_is_vfio(g->d->driver))
		preflight_say(g->p, PREFLIGHT_DRIVER_OK, g->d->driver);
	else
		preflight_say(g->p, PREFLIGHT_DRIVER_OTHER, g->d->driver);
}

/* Makes a list "a, b, c". If an item does not fit, "..." ends the list. */
static void append(char *list, size_t size, const char *item)
{
	size_t n = strlen(list);

	if (n + strlen(item) + 7 < size)
		snprintf(list + n, size - n, "%s%s", n ? ", " : "", item);
	else if (n + 6 < size && (n < 3 || strcmp(list + n - 3, "...") != 0))
		snprintf(list + n, size - n, ", ...");
}

/* What `bind --group` would refuse. */
static void check_group_use(const struct given *g)
{
	const struct sysfs_pci *o;
	struct error why;
	size_t i;

	for (i = 0; (o = groups_other(&g->p->pci, g->at, i)); i++)
		if (sysfs_in_the_way(o) && host_use_check(g->p->root, o->bdf, &why) < 0)
			preflight_say(g->p, PREFLIGHT_GROUP_USED, why.text, o->bdf);
}

static void check_group(const struct given *g)
{
	char group[16], item[64], blocked[128] = "", others[128] = "";
	const struct sysfs_pci *o;
	size_t i;

	snprintf(group, sizeof(group), "%d", g->d->group);
	for (i = 0; (o = groups_other(&g->p->pci, g->at, i)); i++) {
		snprintf(item, sizeof(item), "%s (%s)", o->bdf, o->driver);
		if (sysfs_in_the_way(o))
			append(blocked, sizeof(blocked), item);
		append(others, sizeof(others), o->bdf);
	}
	if (blocked[0])
		preflight_say(g->p, PREFLIGHT_GROUP_BLOCKED, group, blocked);
	else if (others[0])
		preflight_say(g->p, PREFLIGHT_GROUP_SHARED, group, others);
	else
		preflight_say(g->p, PREFLIGHT_GROUP_ALONE, group);
	check_group_use(g);
}

static bool same_slot(const char *a, const char *b)
{
	return strncmp(a, b, strcspn(a, ".")) == 0;
}

/* Functions of one slot may share a group for other reasons. Several slots share one because no ACS
 * (PCIe 6.12, access control services) between them stops peer-to-peer requests. */
static void check_acs(const struct given *g)
{
	char group[16], slot[VFIO_BDF_SIZE], slots[128] = "";
	const struct pci_list *l = &g->p->pci;
	bool several = false;
	size_t i;

	for (i = 0; i < l->n; i++) {
		const struct sysfs_pci *o = &l->dev[i];

		if (o->group != g->d->group || sysfs_is_bridge(o))
			continue;
		several |= !same_slot(o->bdf, g->d->bdf);
		if (i > 0 && l->dev[i - 1].group == o->group &&
		    same_slot(o->bdf, l->dev[i - 1].bdf))
			continue;
		snprintf(slot, sizeof(slot), "%.*s", (int)strcspn(o->bdf, "."), o->bdf);
		append(slots, sizeof(slots), slot);
	}
	snprintf(group, sizeof(group), "%d", g->d->group);
	if (several)
		preflight_say(g->p, PREFLIGHT_GROUP_NO_ACS, group, slots);
}

/* The file of the group exists only when vfio-pci has the device. */
static void check_access(const struct given *g)
{
	char group[16], user[16];
	int ret = hostfs_access(g->p->root, "/dev/vfio/%d", g->d->group);

	if (ret == 0 || !sysfs_driver_is_vfio(g->d->driver))
		return;
	snprintf(group, sizeof(group), "%d", g->d->group);
	snprintf(user, sizeof(user), "%u", (unsigned)geteuid());
	preflight_say(g->p, PREFLIGHT_GROUP_ACCESS, group, strerror(-ret), user);
}

/* ---- reset ---- */

static bool group_is_given(const struct given *g, const struct sysfs_pci *o)
{
	const struct pci_list *l = &g->p->pci;
	size_t i, j;

	for (i = 0; i < l->n; i++)
		for (j = 0; j < g->n && l->dev[i].group == o->group; j++)
			if (strcmp(l->dev[i].bdf, g->bdf[j]) == 0)
				return true;
	return false;
}

/* The sysfs path of the bridge above the device; the paths of all devices below that bridge begin
 * with it. False: the device is on a root bus. */
static bool bridge_path(const struct given *g, char path[PATH_MAX])
{
	char bdf[VFIO_BDF_SIZE], *slash;

	hostfs_target(g->p->root, path, PATH_MAX, PCI_DEVICES "/%s", g->d->bdf);
	slash = strrchr(path, '/');
	if (!slash)
		return false;
	*slash = '\0';
	slash = strrchr(path, '/');
	return slash && sysfs_parse_bdf(slash + 1, bdf) == 0;
}

/* Which devices a reset by the bridge above would also reset: all devices below it. */
static enum vfio_bus_reach bus_reach(const struct given *g, char foreign[VFIO_BDF_SIZE])
{
	char bridge[PATH_MAX], other[PATH_MAX];
	enum vfio_bus_reach reach = VFIO_BUS_ALONE;
	size_t i, len;

	if (!bridge_path(g, bridge))
		return VFIO_BUS_NONE;
	len = strlen(bridge);
	for (i = 0; i < g->p->pci.n; i++) {
		const struct sysfs_pci *o = &g->p->pci.dev[i];

		hostfs_target(g->p->root, other, sizeof(other), PCI_DEVICES "/%s", o->bdf);
		if (strncmp(other, bridge, len) != 0 || other[len] != '/')
			continue;
		if (o->group < 0)
			return VFIO_BUS_HOST;
		if (!group_is_given(g, o)) {
			memcpy(foreign, o->bdf, VFIO_BDF_SIZE);
			return VFIO_BUS_FOREIGN;
		}
		if (i != g->at)
			reach = VFIO_BUS_OURS;
	}
	return reach;
}

/* Predicts what VFIO finds out when it opens the device. If reset_method lists anything besides
 * "bus", there is a method that works. "bus" alone works if the device is alone on its bus. */
static bool function_resets(const struct given *g, enum vfio_bus_reach reach)
{
	if (!g->d->has_methods)
		return hostfs_exists(g->p->root, PCI_DEVICES "/%s/reset", g->d->bdf);
	return g->d->methods[0] && (reach == VFIO_BUS_ALONE || strcmp(g->d->methods, "bus") != 0);
}

/* Only root can read all of configuration space. For other users we assume that there is an FLR. */
static bool has_flr(const struct given *g)
{
	uint8_t cfg[256];
	long n = hostfs_bytes(g->p->root, cfg, sizeof(cfg), PCI_DEVICES "/%s/config", g->d->bdf);

	return n < (long)sizeof(cfg) || vfio_reset_has_flr(cfg, sizeof(cfg));
}

/* `minivmm run` makes the same choice, with the facts from VFIO. */
static void check_reset(const struct given *g)
{
	struct vfio_reset_facts f = { .methods = g->d->has_methods ? g->d->methods : NULL };
	struct vfio_reset_choice c;
	char why[100];

	f.bus = bus_reach(g, f.foreign);
	f.function = function_resets(g, f.bus);
	f.flr = !f.methods && f.function && has_flr(g);
	c = vfio_reset_choose(&f);
	vfio_reset_why_no_bus(&f, why, sizeof(why));
	if (c.how == VFIO_RESET_BUS || strcmp(c.method, "bus") == 0)
		preflight_say(g->p, PREFLIGHT_RESET_BUS);
	else if (c.how == VFIO_RESET_FUNCTION)
		preflight_say(g->p, PREFLIGHT_RESET_OK,
			      c.method[0] ? c.method
					  : "a method that this kernel gives no name for");
	else
		preflight_say(g->p,
			      c.how == VFIO_RESET_PM ? PREFLIGHT_RESET_PM : PREFLIGHT_RESET_NONE,
			      why);
}

/* ---- memory ---- */

struct bars {
	struct preflight *p;
	unsigned i;
	uint64_t rom;
	bool bad;
	char text[80];
};

/* One line of the resource file: first address, last address, flags. */
static int resource(void *arg, const char *line)
{
	unsigned long long first, last, flags, size;
	struct bars *b = arg;
	char text[16], nr[8];
	unsigned i = b->i++;

	if (sscanf(line, "%llx %llx %llx", &first, &last, &flags) != 3 || i > ROM_RESOURCE)
		return 1;
	if (!flags || last <= first)
		return 0;
	size = last - first + 1;
	text_size(size, text);
	if (i == ROM_RESOURCE) {
		b->rom = size;
		return 0;
	}
	if (first == 0 || flags & RESOURCE_UNSET) {
		snprintf(nr, sizeof(nr), "%u", i);
		b->bad = true;
		preflight_say(b->p, PREFLIGHT_BARS_UNPLACED, nr, text);
	}
	if (flags & IORESOURCE_MEM)
		append(b->text, sizeof(b->text), text);
	return 0;
}

/* Decides as `minivmm run` does, for all devices so far together. It assumes little memory, because
 * the guest's memory is not known here. */
static void check_window(struct given *g, struct bars *b)
{
	struct memmap_want want = { .mem64 = g->mem64 += sysfs_mem64(g->p->root, g->d->bdf),
				    .host_bits = preflight_cpu_bits(g->p->root),
				    .iommu_bits = g->p->iommu_bits };
	char text[16], width[8];
	struct memmap map;

	memmap_ram(&map, GiB, false);
	if (memmap_window(&map, &want, NULL) == 0)
		return;
	text_size(want.mem64, text);
	snprintf(width, sizeof(width), "%u", map.bits);
	b->bad = true;
	preflight_say(g->p, PREFLIGHT_BARS_WIDE, text, width);
}

/* sysfs shows the ROM only after somebody has written 1 to the file. We do not, because a check
 * must change nothing. */
static enum preflight_finding rom_content(const struct given *g, uint64_t size)
{
	scoped_free uint8_t *rom = size <= ROM_MAX_SIZE ? malloc(size) : NULL;
	struct rom_image image;
	long n;

	if (!rom)
		return PREFLIGHT_ROM_OK;
	n = hostfs_bytes(g->p->root, rom, size, PCI_DEVICES "/%s/rom", g->d->bdf);
	if (n <= 0 || rom_image_scan(rom, (size_t)n, g->d->vendor, g->d->device, &image, NULL))
		return PREFLIGHT_ROM_OK;
	return image.efi ? PREFLIGHT_ROM_EFI : PREFLIGHT_ROM_NO_EFI;
}

static void check_rom(const struct given *g, const struct bars *b)
{
	bool display = g->d->class_code >> 16 == CLASS_DISPLAY;
	char text[16];

	text_size(b->rom, text);
	if (display && hostfs_number(g->p->root, 0, PCI_DEVICES "/%s/boot_vga", g->d->bdf) == 1)
		preflight_say(g->p, PREFLIGHT_ROM_BOOT);
	else if (b->rom)
		preflight_say(g->p, display ? rom_content(g, b->rom) : PREFLIGHT_ROM_OK, text);
	else if (display && !g->d->virtfn)
		preflight_say(g->p, PREFLIGHT_ROM_NONE);
}

static void check_memory(struct given *g)
{
	struct bars b = { .p = g->p };

	hostfs_each_line(g->p->root, resource, &b, PCI_DEVICES "/%s/resource", g->d->bdf);
	check_window(g, &b);
	if (!b.bad)
		preflight_say(g->p, PREFLIGHT_BARS_OK, b.text[0] ? b.text : "no BAR");
	check_rom(g, &b);
}

/* ---- hugepages ---- */

struct pages {
	const struct given *g;
	long long n;
};

static int add_pages(void *arg, const char *size)
{
	struct pages *s = arg;

	s->n += hostfs_number(s->g->p->root, 0, NODES "/node%d/hugepages/%s/nr_hugepages",
			      s->g->d->numa_node, size);
	return 0;
}

/* A device reaches the memory of its own node fastest. */
static void check_node(const struct given *g)
{
	struct pages s = { .g = g };
	char node[16];

	if (g->d->numa_node < 0 || !g->p->has_hugepages)
		return;
	hostfs_each(g->p->root, add_pages, &s, NODES "/node%d/hugepages", g->d->numa_node);
	snprintf(node, sizeof(node), "%d", g->d->numa_node);
	if (s.n == 0)
		preflight_say(g->p, PREFLIGHT_NODE_FAR, node);
}

/* ---- all of it ---- */

static void check_device(struct given *g)
{
	g->d = &g->p->pci.dev[g->at];
	if (sysfs_is_bridge(g->d)) {
		preflight_say(g->p, PREFLIGHT_DEVICE_BRIDGE);
		return;
	}
	check_driver(g);
	if (g->d->group >= 0) {
		check_group(g);
		check_acs(g);
		check_access(g);
	} else if (g->p->has_iommu) {
		preflight_say(g->p, PREFLIGHT_DEVICE_NO_IOMMU);
	}
	preflight_use(g->p, g->d);
	check_reset(g);
	check_memory(g);
	check_node(g);
}

void preflight_devices(struct preflight *p, const char (*bdf)[VFIO_BDF_SIZE], size_t n)
{
	struct given g = { .p = p, .bdf = bdf, .n = n };
	size_t i;

	for (i = 0; i < n; i++) {
		memcpy(p->bdf, bdf[i], VFIO_BDF_SIZE);
		for (g.at = 0; g.at < p->pci.n; g.at++)
			if (strcmp(p->pci.dev[g.at].bdf, bdf[i]) == 0)
				break;
		if (g.at < p->pci.n)
			check_device(&g);
		else
			preflight_say(p, PREFLIGHT_DEVICE_MISSING);
	}
	p->bdf[0] = '\0';
}
