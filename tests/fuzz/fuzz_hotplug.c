/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hot-pluggable slot: the guest writes to the configuration space of the port and of the card in
 * it, while the host adds and removes the card in any order. After each step, the registers show
 * what is there, nothing answers in a slot that is off, and an interrupt is asked for exactly while
 * an enabled event is there.
 *
 * Input: records of 6 bytes: kind, offset, value (4).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/root_port.h"
#include "tests/unit/fake_root.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PORT PCI_DEVFN(2, 0)

struct world {
	struct fake_root fake;
	struct root_port port;
	struct pci_device card;
	bool in;       /* the card is behind the port */
	bool released; /* the guest has let go of it */
};

static uint64_t reg_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque, (void)size;
	return off;
}

static void reg_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	(void)opaque, (void)off, (void)size, (void)val;
}

static const struct io_region_ops reg_ops = { reg_read, reg_write, 1, 8 };

static void on_news(void *opaque, enum root_port_news news)
{
	struct world *w = opaque;

	if (!w->in || w->released)
		abort();
	w->released |= news == ROOT_PORT_RELEASED;
}

static void world_make(struct world *w)
{
	const struct root_port_hotplug hot = { 16 * MiB, GiB, on_news, w };

	memset(w, 0, sizeof(*w));
	fake_root_init(&w->fake);
	if (root_port_init(&w->port, &w->fake.root, PORT, 1, 0, 0, NULL) ||
	    root_port_set_hotplug(&w->port, &hot))
		abort();
	pci_cfg_write(&w->fake.root, 0, PORT, PCI_SECONDARY_BUS, 2, 0x0101);
}

static void card_add(struct world *w)
{
	if (w->in)
		return;
	pci_device_init(&w->card, "card", NULL, 1, 2, 0x020000, 0);
	root_port_hide(&w->port, true);
	if (pci_add_bar(&w->card, 0, PCI_BAR_MEM32, false, 0x1000, &reg_ops, w) ||
	    pci_add(&w->fake.root, w->port.dev.secondary, &w->card, 0, NULL))
		abort();
	w->in = true;
	root_port_hide(&w->port, false);
}

static void card_remove(struct world *w)
{
	if (!w->in)
		return;
	root_port_hide(&w->port, true);
	pci_remove(&w->card);
	pci_device_destroy(&w->card);
	w->in = w->released = false;
	root_port_hide(&w->port, false);
}

static void host_acts(struct world *w, unsigned what)
{
	switch (what & 7) {
	case 0:
	case 1:
		card_add(w);
		break;
	case 2:
		card_remove(w);
		break;
	case 3:
		root_port_forget(&w->port);
		break;
	case 4: /* as the machine does it */
		if (w->released)
			card_remove(w);
		pci_reset_all(&w->fake.root);
		break;
	default:
		if (root_port_ask(&w->port, NULL) == 0 && !w->in)
			abort();
	}
}

static uint16_t reg(const struct world *w, unsigned off)
{
	return pci_get16(w->port.dev.cfg, w->port.pcie_cap + off);
}

static void check(struct world *w)
{
	uint16_t ctl = reg(w, PCI_EXP_SLTCTL), sta = reg(w, PCI_EXP_SLTSTA);
	uint16_t msi = pci_get16(w->port.dev.cfg, w->port.msi_cap + PCI_MSI_FLAGS);
	bool full = w->in && !w->released, off = !full || ctl & PCI_EXP_SLTCTL_PCC;
	bool event = (ctl & PCI_EXP_SLTCTL_ABPE && sta & PCI_EXP_SLTSTA_ABP) ||
		     (ctl & PCI_EXP_SLTCTL_PDCE && sta & PCI_EXP_SLTSTA_PDC) ||
		     (ctl & PCI_EXP_SLTCTL_DLLSCE && sta & PCI_EXP_SLTSTA_DLLSC);
	bool raised = event && ctl & PCI_EXP_SLTCTL_HPIE;

	if (full != !!(sta & PCI_EXP_SLTSTA_PDS) ||
	    full != !!(reg(w, PCI_EXP_LNKSTA) & PCI_EXP_LNKSTA_DLLLA))
		abort();
	if (w->in && off && (w->card.bar[0].mapped || !w->port.dev.secondary->off))
		abort();
	if (w->in && !off && w->port.dev.secondary->off)
		abort();
	if (raised != w->port.raised || (msi & PCI_MSI_FLAGS_ENABLE && w->port.dev.intx_asserted) ||
	    (!(msi & PCI_MSI_FLAGS_ENABLE) && w->port.dev.intx_asserted != raised))
		abort();
}

static void step(struct world *w, const uint8_t *r)
{
	uint32_t val = (uint32_t)(r[2] | r[3] << 8 | r[4] << 16) | (uint32_t)r[5] << 24;
	struct pci_root *root = &w->fake.root;
	unsigned size = 1u << (r[0] >> 3 & 1) << (r[0] >> 4 & 1);

	switch (r[0] & 7) {
	case 0:
	case 1:
		host_acts(w, r[1]);
		break;
	case 2:
		pci_cfg_write(root, 0, PORT, r[1], size, val);
		break;
	case 3:
		pci_cfg_write(root, 1, 0, r[1], size, val);
		break;
	default: /* the slot, or the interrupt */
		pci_cfg_write(root, 0, PORT,
			      r[1] & 0x80 ? w->port.msi_cap + (r[1] & 0xf)
					  : w->port.pcie_cap + PCI_EXP_SLTCTL + (r[1] & 3),
			      size, val);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct world w;

	log_set_level(LOG_ERROR);
	world_make(&w);
	for (size_t i = 0; len - i >= 6 && i < 6 * 400; i += 6) {
		step(&w, data + i);
		check(&w);
		if (w.released && data[i] & 0x80) /* the main loop gets its turn */
			card_remove(&w);
	}
	card_remove(&w);
	root_port_destroy(&w.port);
	fake_root_free(&w.fake);
	return 0;
}
