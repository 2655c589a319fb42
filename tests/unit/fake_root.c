/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_root.h"

#include <string.h>

static int set_line(void *arg, uint32_t gsi, bool level)
{
	((struct fake_root *)arg)->line[gsi] = level;
	return 0;
}

static int set_routes(void *arg, const struct irq_backend_route *r, unsigned n)
{
	struct fake_root *f = arg;

	for (; n--; r++) {
		if (!r->is_msi)
			continue;
		f->msi[r->gsi].addr = r->msi.addr;
		f->msi[r->gsi].data = r->msi.data;
	}
	return 0;
}

static int irqfd_add(void *arg, uint32_t gsi, int fd, int resample)
{
	(void)resample;
	((struct fake_root *)arg)->fd[gsi] = fd;
	return 0;
}

static int irqfd_del(void *arg, uint32_t gsi, int fd)
{
	(void)fd;
	((struct fake_root *)arg)->fd[gsi] = -1;
	return 0;
}

static int signal_msi(void *arg, uint64_t addr, uint32_t data, uint32_t devid)
{
	struct fake_root *f = arg;

	f->signalled.addr = addr;
	f->signalled.data = data;
	f->signalled.devid = devid;
	f->signalled.n++;
	return 0;
}

static const struct irq_backend_ops irq_ops = {
	.set_line = set_line,
	.set_routes = set_routes,
	.irqfd_add = irqfd_add,
	.irqfd_del = irqfd_del,
	.signal_msi = signal_msi,
};

void fake_root_init(struct fake_root *f)
{
	memset(f, 0, sizeof(*f));
	memset(f->fd, 0xff, sizeof(f->fd));
	pci_root_init(&f->root);
	f->root.pio = bus_new(0x10000);
	f->root.mmio = bus_new(UINT64_MAX);
	f->root.irq = irq_table_new(&irq_ops, f, FAKE_GSIS);
}

void fake_root_free(struct fake_root *f)
{
	irq_table_free(f->root.irq);
	bus_free(f->root.pio);
	bus_free(f->root.mmio);
	pci_root_destroy(&f->root);
}
