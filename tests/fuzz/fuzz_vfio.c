/* SPDX-License-Identifier: BSD-2-Clause */
/* A passed-through device, behind a root port, whose configuration space is the input's, and a
 * guest that then reads and writes configuration space (also the port's and the host bridge's), the
 * MSI-X table, VGA's ranges, the mirrors of configuration space and everything else in the BARs,
 * while interrupts fire and the hardware changes its mind. */
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "devices/pci/pci_host.h"
#include "devices/pci/root_port.h"
#include "tests/unit/fake_vfio.h"
#include "vfio/iommu/iommu_backend.h"
#include "vfio/reset.h"
#include "vfio/vfio_pci.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hold.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define PORT	 PCI_DEVFN(3, 0)
#define MAX_OPS	 32u
#define HEAD	 16u
#define CAP_AREA 0xc0u
#define NVIDIA	 0x10de
#define MIRROR	 0x88000u

/* Where in its BAR 0 an NVIDIA card shows configuration space; too small a BAR has none. */
static void build_nvidia(struct fake_vfio *f)
{
	pci_set16(f->config, PCI_VENDOR_ID, NVIDIA);
	pci_set16(f->config, PCI_DEVICE_ID, 0x0040); /* an old one: both mirrors */
	pci_set32(f->config, PCI_CLASS_REVISION, 0x03000000);
	fake_vfio_bar(f, 0, 16 * MiB, 0);
}

static void build(struct fake_vfio *f, const uint8_t *h, const uint8_t *caps, size_t n)
{
	static const uint32_t types[] = { 0, 1, 4, 8, 12 };

	f->lean = true;
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		if (h[1] >> i & 1)
			fake_vfio_bar(f, i, 1ull << (h[2 + i] & 31), types[h[2 + i] % 5]);
	if (h[0] & 1)
		build_nvidia(f);
	fake_vfio_bar(f, 6, h[8] & 1 ? 0x2000 : 0, 0);
	pci_set32(f->config, PCI_CARDBUS_CIS, 0);
	f->region[VFIO_PCI_VGA_REGION_INDEX].size = h[0] & 2 ? 0xc0000 : 0;
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->config[PCI_CAPABILITY_LIST] = h[9];
	memcpy(f->config + 0x40, caps, n < CAP_AREA ? n : CAP_AREA);
	memcpy(f->config + 0x100, caps, n);
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		f->irq[i].count = i == VFIO_PCI_MSIX_IRQ_INDEX ? h[10] : h[11] >> i & 1;
		f->irq[i].flags = h[12] & 1 ? VFIO_IRQ_INFO_NORESIZE : 0;
	}
	f->limit = h[13] & 15;
	f->no_mmap = h[12] & 2;
	if (h[12] & 4)
		f->cfg_size = 256;
	f->atomics = h[12] >> 3 & 7;
	f->hot_devices = h[0] >> 4 & 3;
	f->hot_ret = h[0] & 8 ? -5 : 0;
}

struct run {
	struct fake_machine m;
	struct fake_vfio f;
	struct pci_host host;
	struct root_port port;
	struct vfio_pci *v;
	struct vfio_reset *reset;
	int wanted; /* the guest's processor, elsewhere */
};

static void region(struct run *r, bool io, const uint8_t *s, uint64_t at)
{
	unsigned size = 1u << (s[0] >> 4 & 3);
	uint64_t val;

	memcpy(&val, s + 4, 8);
	if (s[0] & 0x80)
		bus_write(io ? r->m.root.pio : r->m.root.mmio, at, size, val);
	else
		bus_read(io ? r->m.root.pio : r->m.root.mmio, at, size);
}

/* Where something may be: a mapped BAR, most of the time. */
static void bar_access(struct run *r, const uint8_t *s)
{
	const struct pci_bar *bar = &r->v->dev.bar[s[1] % 7];
	uint32_t off;

	memcpy(&off, s + 2, 4);
	region(r, bar->kind == PCI_BAR_IO, s,
	       bar->mapped ? bar->addr + off % (bar->size + 8) : off);
}

static void special(struct run *r, const uint8_t *s)
{
	const struct pci_bar *bar = &r->v->dev.bar[0];
	unsigned off = s[2] | s[3] << 8;

	switch (s[1] & 3) {
	case 0:
		region(r, false, s, bar->addr + MIRROR + (off & 0xfff));
		break;
	case 1:
		region(r, false, s, bar->addr + 0x1800 + (off & 0xff));
		break;
	case 2:
		region(r, false, s, 0xa0000 + (off & 0x1ffff));
		break;
	default:
		region(r, true, s, 0x3b0 + (off & 0x3f));
	}
}

static void config(struct run *r, const uint8_t *s)
{
	/* The device, mostly; then its port, and the host bridge. */
	static const struct {
		uint8_t bus, devfn;
	} who[] = { { 1, 0 }, { 1, 0 }, { 0, PORT }, { 0, 0 } };
	unsigned size = 1u << (s[0] >> 4 & 3), w = s[3] & 3;
	uint16_t off;
	uint32_t val;

	memcpy(&off, s + 1, 2);
	memcpy(&val, s + 4, 4);
	off &= s[0] & 0x40 ? 0xfff : 0xff;
	if (s[0] & 0x80)
		pci_cfg_write(&r->m.root, who[w].bus, who[w].devfn, off, size, val);
	else
		pci_cfg_read(&r->m.root, who[w].bus, who[w].devfn, off, size);
}

/* What a guest's firmware does first, or random input gets nowhere: bus numbers, windows over all
 * there is, a place for a BAR, decoding. */
static void place(struct run *r, const uint8_t *s)
{
	struct pci_root *root = &r->m.root;
	uint32_t val;

	memcpy(&val, s + 4, 4);
	pci_cfg_write(root, 0, PORT, PCI_PRIMARY_BUS, 4, 0x00010100);
	if (s[2] & 1)
		pci_cfg_write(root, 0, PORT, PCI_MEMORY_BASE, 4, val);
	else
		pci_cfg_write(root, 0, PORT, PCI_MEMORY_BASE, 4, 0xfff00000);
	pci_cfg_write(root, 0, PORT, PCI_IO_BASE, 2, 0xf000);
	pci_cfg_write(root, 0, PORT, PCI_COMMAND, 2, s[2] & 2 ? s[3] : 7);
	pci_cfg_write(root, 1, 0, PCI_BASE_ADDRESS_0 + 4 * (s[1] % 6), 4, val);
	if (s[2] & 8)
		pci_cfg_write(root, 1, 0, PCI_ROM_ADDRESS, 4, val | 1);
	pci_cfg_write(root, 1, 0, PCI_COMMAND, 2, s[2] & 4 ? s[3] : 7);
}

static void stop_loop(void *loop)
{
	evloop_stop(loop, 0);
}

static void turn(struct run *r)
{
	struct ev_timer *t;

	if (!r->m.root.loop)
		return;
	t = evloop_add_timer(r->m.root.loop, stop_loop, r->m.root.loop);
	ev_timer_set(t, 1);
	evloop_run(r->m.root.loop);
	evloop_del_timer(t);
}

static void outside(struct run *r, const uint8_t *s)
{
	switch (s[1] & 7) {
	case 0:
		turn(r);
		break;
	case 1:
		pci_host_set_ecam(&r->host, (uint64_t)s[2] << 24);
		break;
	case 2:
		r->wanted = s[2] & 1;
		break;
	case 3:
		vfio_pci_quiesce(r->v);
		vfio_pci_after_reset(r->v);
		break;
	case 4: /* the machine starts over */
		pci_reset_all(&r->m.root);
		if (r->reset)
			vfio_reset_all(r->reset, false);
		break;
	default:
		r->m.slot_ret = s[2] & 1 ? -12 : 0;
		r->f.set_irqs_ret = s[2] & 2 ? -28 : 0;
		r->f.cfg_dead = s[2] & 4;
	}
}

static void step(struct run *r, const uint8_t *s)
{
	switch (s[0] & 7) {
	case 0:
	case 1:
		config(r, s);
		break;
	case 2:
		place(r, s);
		break;
	case 3:
	case 4:
		bar_access(r, s);
		break;
	case 5:
		fake_vfio_fire(&r->f, s[1] % VFIO_PCI_NUM_IRQS, s[2] % 64);
		break;
	case 6:
		special(r, s);
		break;
	default:
		outside(r, s);
	}
}

static int hot_reset_fds(void *backend, const struct vfio_pci_dependent_device *hit, unsigned n,
			 int *fds, unsigned *foreign)
{
	static const struct iommu_group group[] = { { 0, 0 }, { 1, 1 }, { 2, 2 } };

	(void)backend;
	return iommu_group_fds(group, 3, hit, n, fds, foreign);
}

static void backend_free(void *backend)
{
	(void)backend;
}

static void quiesce(void *v)
{
	vfio_pci_quiesce(v);
}

static void after(void *v)
{
	vfio_pci_after_reset(v);
}

/* As the machine decides it at the start. */
static void plan(struct run *r, uint8_t how)
{
	static const char *const methods[] = { NULL, "pm bus", "flr", "" };
	static const struct iommu_ops ops = { .hot_reset_fds = hot_reset_fds,
					      .free = backend_free };
	struct iommu *iommu = iommu_new_with(&ops, NULL);
	struct vfio_reset_device d = { .kernel = vfio_pci_kernel(r->v),
				       .function_reset = vfio_pci_has_reset(r->v),
				       .methods = methods[how & 3],
				       .flr = vfio_pci_has_flr(r->v),
				       .quiesce = quiesce,
				       .after = after,
				       .opaque = r->v };

	if (!iommu)
		return;
	r->reset = vfio_reset_new(&d, 1, iommu, NULL);
	iommu_free(iommu);
	if (r->reset)
		vfio_reset_log(r->reset);
}

static void machine_make(struct run *r, bool loop)
{
	fake_machine_init(&r->m);
	if (loop)
		r->m.root.loop = evloop_new();
	memset(&r->host, 0, sizeof(r->host));
	if (pci_host_init(&r->host, &r->m.root, NULL) ||
	    root_port_init(&r->port, &r->m.root, PORT, 1, 0, 0, NULL))
		__builtin_trap();
	r->wanted = 0;
	hold_allow(&r->wanted, SIGUSR2);
}

static void machine_end(struct run *r)
{
	hold_allow(NULL, 0);
	root_port_destroy(&r->port);
	pci_host_destroy(&r->host);
	if (r->m.root.loop)
		evloop_free(r->m.root.loop);
	fake_machine_free(&r->m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct run r; /* large; every field is set anew */
	struct vfio_pci_config opt = { .rombar = true, .mmap = true };
	const struct vfio_pci_env env = { 0 };
	size_t caps;

	if (len < HEAD + 2)
		return 0;
	log_set_level(LOG_ERROR);
	caps = data[14] * 2u;
	caps = caps < len - HEAD ? caps : len - HEAD;
	machine_make(&r, data[15] & 1);
	fake_vfio_init(&r.f, &r.m.log);
	build(&r.f, data, data + HEAD, caps);
	opt.x_vga = data[0] & 2;
	opt.clique = data[15] & 2 ? 5 : VFIO_NO_CLIQUE;
	r.reset = NULL;
	r.v = vfio_pci_new(&r.f.k, &opt, &env, NULL);
	if (r.v)
		plan(&r, data[15] >> 2);
	if (r.v && vfio_pci_plug(r.v, &r.m.root, r.port.dev.secondary, 0, NULL) == 0) {
		root_port_set_atomics(&r.port, vfio_pci_atomics(r.v));
		root_port_link_up(&r.port);
		for (size_t i = HEAD + caps, n = 0; i + 12 <= len && n < MAX_OPS; i += 12, n++)
			step(&r, data + i);
	}
	vfio_reset_free(r.reset);
	vfio_pci_free(r.v);
	fake_vfio_free(&r.f);
	machine_end(&r);
	return 0;
}
