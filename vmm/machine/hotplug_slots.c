/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hot-pluggable slots: their ports, and the addresses that each one has for what is added later.
 *
 * A bridge window cannot grow while the guest runs. So each slot has windows from the start: OVMF
 * reserves what the port's capability asks for, and for a kernel that is started directly we set
 * the windows ourselves, which Linux leaves as they are. What does not fit is refused before the
 * guest sees it.
 */
#include "vmm/machine/hotplug_slots.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"

#define LAST_SLOT      30u /* 31 is the LPC bridge's */
#define WINDOW_UNIT    MiB
#define WINDOW_DEFAULT (256 * MiB)
#define WINDOW_MAX     (1024 * GiB)

static void port_news(void *opaque, enum root_port_news news)
{
	struct hot_slot *s = opaque;

	atomic_fetch_or(&s->news, 1u << news);
	evloop_call(s->h->env.loop, &s->call);
}

static struct hot_slot *slot_new(struct hotplug *h, struct root_port *port)
{
	struct hot_slot *s = calloc(1, sizeof(*s)), **end = &h->slots;

	if (!s)
		return NULL;
	s->own = !port;
	s->port = port ? port : calloc(1, sizeof(*s->port));
	s->timer = s->port ? evloop_add_timer(h->env.loop, h->timeout, s) : NULL;
	s->look = s->timer ? evloop_add_timer(h->env.loop, h->look, s) : NULL;
	if (!s->look) {
		evloop_del_timer(s->timer);
		if (s->own)
			free(s->port);
		free(s);
		return NULL;
	}
	s->h = h;
	s->call = (struct ev_call){ .fn = h->hear, .arg = s };
	snprintf(s->name, sizeof(s->name), "hotplug%u", h->n_slots++);
	while (*end)
		end = &(*end)->next;
	*end = s;
	return s;
}

static int slot_make_hotplug(struct hot_slot *s, struct error *err)
{
	const struct root_port_hotplug hot = {
		.mem32 = HOTPLUG_MEM32,
		.mem64 = s->h->env.window,
		.news = port_news,
		.opaque = s,
	};

	if (root_port_set_hotplug(s->port, &hot) < 0)
		return error_set(err, -ENOSPC, "--hotplug: no room for the port's capability");
	s->port->dev.id = s->name;
	return 0;
}

static int port_init(struct root_port *port, struct pci_root *pci, struct error *err)
{
	unsigned slot;

	for (slot = 1; slot <= LAST_SLOT; slot++)
		if (!pci->bus.dev[PCI_DEVFN(slot, 0)])
			return root_port_init(port, pci, PCI_DEVFN(slot, 0), slot, 0, 0, err);
	return error_set(err, -ENOSPC, "no PCI slot is left: ask for fewer");
}

int hotplug_add_slots(struct hotplug *h, unsigned n, struct error *err)
{
	while (n-- > 0) {
		struct hot_slot *s = slot_new(h, NULL);

		if (!s)
			return error_set(err, -ENOMEM, "--hotplug: out of memory");
		if (port_init(s->port, h->env.device.pci, err) < 0) {
			free(s->port); /* as far as it stands, it has undone itself */
			s->port = NULL;
			return error_prefix(err, "--hotplug");
		}
		if (slot_make_hotplug(s, err) < 0)
			return err->code;
	}
	return 0;
}

int hotplug_adopt_port(struct hotplug *h, struct root_port *port, struct error *err)
{
	struct hot_slot *s = slot_new(h, port);

	return s ? slot_make_hotplug(s, err) : error_set(err, -ENOMEM, "--hotplug: out of memory");
}

bool hot_slot_is_empty(const struct hot_slot *s)
{
	unsigned i;

	for (i = 0; i < HOT_FUNCTIONS; i++)
		if (s->fn[i])
			return false;
	return true;
}

static struct hot_slot *slot_first_free(struct hotplug *h, struct error *err)
{
	struct hot_slot *s = h->slots;

	while (s && !hot_slot_is_empty(s))
		s = s->next;
	if (!s)
		error_set(err, -ENOSPC,
			  "no hot-pluggable slot is free: remove a device, or start the machine "
			  "with a larger --hotplug N");
	return s;
}

/* Functions other than 0 come first, so a slot with function 0 is closed. */
static int slot_check_open(const struct hot_slot *s, unsigned fn, struct error *err)
{
	unsigned i;

	for (i = 0; i < HOT_FUNCTIONS; i++) {
		const struct hot_device *d = s->fn[i];

		if (d && (i == 0 || i == fn || d->state == HOT_CLOSING || d->state == HOT_GONE))
			return error_set(err, -EBUSY, "slot %s is in use by %s%s", s->name,
					 d->dev->id,
					 i == 0 && fn ? ": function 0 is added last" : "");
	}
	return 0;
}

struct hot_slot *hot_slot_find(struct hotplug *h, const struct hotplug_request *r,
			       struct error *err)
{
	struct hot_slot *s = h->slots;

	if (!r->bus && r->fn) {
		error_set(err, -EINVAL, "function %u needs the name of its slot: bus=hotplug0",
			  r->fn);
		return NULL;
	}
	if (!r->bus)
		return slot_first_free(h, err);
	while (s && strcmp(s->name, r->bus) != 0)
		s = s->next;
	if (!s) {
		error_set(err, -ENOENT, "Bus '%.64s' not found", r->bus);
		return NULL;
	}
	return slot_check_open(s, r->fn, err) < 0 ? NULL : s;
}

/* ---- addresses ---- */

static uint64_t pow2_up(uint64_t n)
{
	return n > 1 ? 1ull << (64 - __builtin_clzll(n - 1)) : 1;
}

uint64_t hotplug_window(const char *root)
{
	uint64_t window = WINDOW_DEFAULT, need;
	char path[PATH_MAX], bdf[VFIO_BDF_SIZE];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/vfio-pci", root);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (sysfs_parse_bdf(e->d_name, bdf) < 0)
			continue;
		need = sysfs_mem64(root, bdf);
		if (need > window && need <= WINDOW_MAX)
			window = pow2_up(need);
	}
	if (d)
		closedir(d);
	return window;
}

struct need {
	uint64_t mem32, mem64; /* bytes */
};

static int add_need(void *arg, struct pci_device *dev)
{
	struct need *n = arg;
	unsigned i;

	for (i = 0; i <= PCI_ROM_BAR; i++) {
		const struct pci_bar *b = &dev->bar[i];

		if (b->kind == PCI_BAR_MEM64 && b->prefetch)
			n->mem64 += b->size;
		else if (b->kind == PCI_BAR_MEM64 || b->kind == PCI_BAR_MEM32)
			n->mem32 += b->size;
	}
	return 0;
}

/* What the guest has given to the bridge. It may be more than was reserved. */
static struct need slot_windows(const struct hot_slot *s)
{
	const uint8_t *cfg = s->port->dev.cfg;
	uint64_t mem = pci_get16(cfg, PCI_MEMORY_BASE) >> 4;
	uint64_t mem_end = pci_get16(cfg, PCI_MEMORY_LIMIT) >> 4;
	uint64_t pref = (uint64_t)pci_get32(cfg, PCI_PREF_BASE_UPPER32) << 12 |
			pci_get16(cfg, PCI_PREF_MEMORY_BASE) >> 4;
	uint64_t pref_end = (uint64_t)pci_get32(cfg, PCI_PREF_LIMIT_UPPER32) << 12 |
			    pci_get16(cfg, PCI_PREF_MEMORY_LIMIT) >> 4;
	struct need n = { .mem32 = HOTPLUG_MEM32, .mem64 = s->h->env.window };

	/* A window from 0 on is one that nobody has set. */
	if (mem && mem <= mem_end && (mem_end - mem + 1) * WINDOW_UNIT > n.mem32)
		n.mem32 = (mem_end - mem + 1) * WINDOW_UNIT;
	if (pref && pref <= pref_end && (pref_end - pref + 1) * WINDOW_UNIT > n.mem64)
		n.mem64 = (pref_end - pref + 1) * WINDOW_UNIT;
	return n;
}

static unsigned long long to_mib(uint64_t bytes)
{
	return align_up(bytes, MiB) / MiB;
}

int hot_slot_check_fit(struct hot_slot *s, struct error *err)
{
	struct need need = { 0 }, has;

	scoped_lock(&s->port->dev.root->lock);
	pci_each_on_bus(s->port->dev.secondary, add_need, &need);
	has = slot_windows(s);
	if (need.mem64 > has.mem64)
		return error_set(
			err, -ENOSPC,
			"it needs %llu MiB of addresses for its 64-bit BARs, and a slot has "
			"%llu MiB: start the machine with --hotplug N,window=%lluM",
			to_mib(need.mem64), to_mib(has.mem64),
			(unsigned long long)pow2_up(to_mib(need.mem64)));
	if (need.mem32 > has.mem32)
		return error_set(err, -ENOSPC,
				 "it needs %llu MiB of addresses below 4 GiB, and a slot has %llu "
				 "MiB: give it to the machine at its start",
				 to_mib(need.mem32), to_mib(has.mem32));
	return 0;
}

static void set_window(struct pci_device *port, uint64_t base, uint64_t size, bool pref)
{
	uint64_t limit = base + (size - 1); /* the caller has checked both */
	uint32_t both = (uint32_t)(base >> 16 & 0xfff0) | (uint32_t)(limit & 0xfff00000);

	pci_default_cfg_write(port, pref ? PCI_PREF_MEMORY_BASE : PCI_MEMORY_BASE, 4, both);
	if (!pref)
		return;
	pci_default_cfg_write(port, PCI_PREF_BASE_UPPER32, 4, (uint32_t)(base >> 32));
	pci_default_cfg_write(port, PCI_PREF_LIMIT_UPPER32, 4, (uint32_t)(limit >> 32));
}

void hotplug_place_windows(struct hotplug *h, uint64_t end32, uint64_t base64, uint64_t size64)
{
	struct hot_slot *s;
	uint64_t i = 0;

	for (s = h ? h->slots : NULL; s; s = s->next) {
		if (!s->own)
			continue;
		i++;
		scoped_lock(&s->port->dev.root->lock);
		set_window(&s->port->dev, end32 - i * HOTPLUG_MEM32, HOTPLUG_MEM32, false);
		if (i <= size64 / h->env.window / 2)
			set_window(&s->port->dev, base64 + size64 - i * h->env.window,
				   h->env.window, true);
	}
}

/* ---- life ---- */

/* Those that the threads use are among them. */
static void abandon_away(struct device_list *l)
{
	struct device **at = &l->first;

	while (*at)
		if ((*at)->away)
			*at = (*at)->next;
		else
			at = &(*at)->next;
}

void hotplug_free(struct hotplug *h)
{
	struct hot_device *d;
	struct hot_slot *s;
	unsigned i;

	if (!h)
		return;
	if (h->stuck) {
		abandon_away(h->env.devices);
		return;
	}
	while ((s = h->slots)) {
		h->slots = s->next;
		evloop_cancel(h->env.loop, &s->call);
		evloop_del_timer(s->timer);
		evloop_del_timer(s->look);
		for (i = 0; i < HOT_FUNCTIONS; i++)
			free(s->fn[i]);
		if (s->own && s->port) {
			root_port_destroy(s->port);
			free(s->port);
		}
		free(s);
	}
	while ((d = h->hung)) {
		h->hung = d->next;
		evloop_del_timer(d->again);
		free(d);
	}
	free(h);
}
