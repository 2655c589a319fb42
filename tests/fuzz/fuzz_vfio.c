// SPDX-License-Identifier: BSD-2-Clause
/* A passed-through device whose configuration space is the input's, and a guest that then reads and
 * writes configuration space, the MSI-X table and everything else in the BARs, while interrupts
 * fire and the hardware changes its mind. */
#include <stdint.h>
#include <string.h>

#include "tests/unit/fake_vfio.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define DEVFN	 PCI_DEVFN(3, 0)
#define MAX_OPS	 200u
#define HEAD	 16u
#define CAP_AREA 0xc0u

static void build(struct fake_vfio *f, const uint8_t *h, const uint8_t *caps, size_t n)
{
	static const uint32_t types[] = { 0, 1, 4, 8, 12 };

	if (h[0] & 1)
		pci_set16(f->config, PCI_VENDOR_ID, 0x10de);
	if (h[0] & 1)
		pci_set32(f->config, PCI_CLASS_REVISION, 0x03000000);
	for (unsigned i = 0; i < PCI_NUM_BARS; i++)
		if (h[1] >> i & 1)
			fake_vfio_bar(f, i, 1ull << (h[2 + i] & 31), types[h[2 + i] % 5]);
	fake_vfio_bar(f, 6, h[8] & 1 ? 0x2000 : 0, 0);
	pci_set32(f->config, PCI_CARDBUS_CIS, 0);
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
}

struct run {
	struct fake_machine m;
	struct fake_vfio f;
	struct vfio_pci *v;
};

/* An address where something may be: a mapped BAR, most of the time. */
static uint64_t address(struct run *r, const uint8_t *s, bool *io)
{
	const struct pci_bar *bar = &vfio_pci_device(r->v)->bar[s[1] % 7];
	uint32_t off;

	memcpy(&off, s + 2, 4);
	*io = bar->kind == PCI_BAR_IO;
	return bar->mapped ? bar->addr + off % (bar->size + 8) : off;
}

static void access(struct run *r, const uint8_t *s)
{
	unsigned size = 1u << (s[0] >> 4 & 3);
	uint64_t val, at;
	bool io;

	memcpy(&val, s + 4, 8);
	at = address(r, s, &io);
	if (s[0] & 0x80)
		bus_write(io ? r->m.root.pio : r->m.root.mmio, at, size, val);
	else
		bus_read(io ? r->m.root.pio : r->m.root.mmio, at, size);
}

static void config(struct run *r, const uint8_t *s)
{
	unsigned size = 1u << (s[0] >> 4 & 3);
	uint16_t off;
	uint32_t val;

	memcpy(&off, s + 1, 2);
	memcpy(&val, s + 4, 4);
	off &= s[0] & 0x40 ? 0xfff : 0xff;
	if (s[0] & 0x80)
		pci_cfg_write(&r->m.root, 0, DEVFN, off, size, val);
	else
		pci_cfg_read(&r->m.root, 0, DEVFN, off, size);
}

static void step(struct run *r, const uint8_t *s)
{
	switch (s[0] & 7) {
	case 0:
	case 1:
	case 2:
		config(r, s);
		break;
	case 3:
	case 4:
		access(r, s);
		break;
	case 5:
		fake_vfio_fire(&r->f, s[1] % VFIO_PCI_NUM_IRQS, s[2] % 64);
		break;
	case 6:
		r->m.slot_ret = s[1] & 1 ? -12 : 0;
		r->f.set_irqs_ret = s[1] & 2 ? -28 : 0;
		r->f.cfg_dead = s[1] & 4;
		break;
	default:
		if (s[1] & 1)
			pci_reset_all(&r->m.root);
		else
			vfio_pci_quiesce(r->v);
		vfio_pci_after_reset(r->v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct run r; /* large; every field is set anew */
	struct vfio_pci_config opt = { .rombar = true, .mmap = true };
	size_t caps;

	if (len < HEAD + 2)
		return 0;
	log_set_level(LOG_ERROR);
	caps = data[14] * 2u;
	caps = caps < len - HEAD ? caps : len - HEAD;
	fake_machine_init(&r.m);
	if (data[15] & 1)
		r.m.root.loop = evloop_new();
	fake_vfio_init(&r.f, &r.m.log);
	build(&r.f, data, data + HEAD, caps);
	r.v = vfio_pci_new(&r.f.k, NULL, &opt, NULL);
	if (r.v && vfio_pci_plug(r.v, &r.m.root, &r.m.root.bus, DEVFN, NULL) == 0)
		for (size_t i = HEAD + caps, n = 0; i + 12 <= len && n < MAX_OPS; i += 12, n++)
			step(&r, data + i);
	vfio_pci_free(r.v);
	if (r.m.root.loop)
		evloop_free(r.m.root.loop);
	fake_vfio_free(&r.f);
	fake_machine_free(&r.m);
	return 0;
}
