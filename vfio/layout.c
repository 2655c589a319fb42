/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/layout.h"

#include <errno.h>
#include <stddef.h>

#include "vfio/host/sysfs.h"

static bool same_card(const struct vfio_place *a, const struct vfio_place *b)
{
	struct sysfs_addr x = sysfs_addr(a->bdf), y = sysfs_addr(b->bdf);

	return !a->virtfn && !b->virtfn && x.domain == y.domain && x.bus == y.bus && x.dev == y.dev;
}

/* Two functions of a card may be told apart by different slots. */
static bool joins(const struct vfio_place *a, const struct vfio_place *b)
{
	return same_card(a, b) && (a->slot == b->slot || !a->slot || !b->slot);
}

static int find_port(const struct vfio_place *p, unsigned i)
{
	unsigned j;

	for (j = 0; j < i; j++)
		if (joins(&p[j], &p[i]))
			return (int)p[j].port;
	return -1;
}

static int check_slots(const struct vfio_place *p, unsigned n, struct error *err)
{
	unsigned i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++)
			if (p[i].slot && p[i].slot == p[j].slot && p[i].port != p[j].port)
				return error_set(err, -EINVAL,
						 "--vfio %s: slot=%u is taken by %s, another card: "
						 "choose another slot",
						 p[i].bdf, p[i].slot, p[j].bdf);
	return 0;
}

/* Gives each port a function 0. */
static void lower_first(struct vfio_place *p, unsigned n, unsigned port)
{
	struct vfio_place *lowest = NULL;
	unsigned i;

	for (i = 0; i < n; i++)
		if (p[i].port == port && (!lowest || p[i].fn < lowest->fn))
			lowest = &p[i];
	if (lowest)
		lowest->fn = 0;
}

int vfio_layout(struct vfio_place *p, unsigned n, struct error *err)
{
	unsigned i, ports = 0;
	int at, ret;

	for (i = 0; i < n; i++) {
		at = find_port(p, i);
		p[i].port = at < 0 ? ports++ : (unsigned)at;
		p[i].fn = p[i].virtfn ? 0 : sysfs_addr(p[i].bdf).fn;
	}
	ret = check_slots(p, n, err);
	if (ret < 0)
		return ret;
	for (i = 0; i < ports; i++)
		lower_first(p, n, i);
	return (int)ports;
}

unsigned vfio_layout_slot(const struct vfio_place *p, unsigned n, unsigned port)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (p[i].port == port && p[i].slot)
			return p[i].slot;
	return 0;
}

unsigned vfio_layout_cards(const struct vfio_place *p, unsigned n)
{
	unsigned i, j, cards = 0;

	for (i = 0; i < n; i++) {
		for (j = 0; j < i && !same_card(&p[j], &p[i]); j++)
			;
		cards += j == i;
	}
	return cards;
}
