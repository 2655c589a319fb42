/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration space of a passed-through function.
 *
 * Each bit is either emulated (set in v->emu: dev.cfg answers, dev.wmask says what the guest may
 * change) or the hardware's, reached through VFIO's config region, which virtualises some of it
 * again (kernel: drivers/vfio/pci/vfio_pci_config.c). Emulated are: the header but for the status
 * register, the links of the capability lists, MSI and MSI-X, what the topology decides in the PCI
 * Express capability, and all of the extended capabilities that are hidden:
 *
 *   SR-IOV and ARI give the bus other functions, which the guest does not have; Enhanced
 *   Allocation names host addresses.
 *
 * VFIO's BARs have fixed sizes, but drivers of graphics cards look whether a BAR can be resized:
 * that capability is shown with the one size that there is, and hidden where that cannot be said.
 *
 * The capability at 0x100 cannot be unlinked, as nothing points to it; hidden, it becomes a null
 * capability (id 0: PCI Express 5.0, 7.9.28) that carries the link.
 *
 * The command register is emulated *and* handed on: the kernel refuses BAR accesses and faults
 * mappings while memory decoding is off there, so BARs leave guest memory before the kernel hears
 * of it, and come back after. The same holds for D3hot.
 *
 * Threads: root lock held, once plugged.
 */
#include "vfio/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/bar.h"
#include "vfio/irq.h"
#include "vfio/vectors.h"
#include "vmm/core/cleanup.h"

#define MAX_STD_CAPS 48u /* (256 - 64) / 4 */
#define MULTI_FUNC   0x80
#define EXP_V1_LEN   0x14u
#define EXP_V2_LEN   0x3cu
#define REBAR_MAX    19u /* 512 GiB, the last size in the capability register: 1 MiB << 19 */
#ifndef PCI_EXT_CAP_ID_VF_REBAR
#define PCI_EXT_CAP_ID_VF_REBAR 0x24
#endif

/* ---- the hardware's registers ---- */

static bool hw_read(const struct vfio_pci *v, unsigned off, unsigned size, uint32_t *val)
{
	uint8_t b[4] = { 0 };

	if (!range_ok(off, size, v->cfg_size) ||
	    v->k->ops->region_read(v->k, v->cfg_off + off, b, size) != (ssize_t)size)
		return false;
	*val = pci_get32(b, 0);
	return true;
}

static void hw_write(struct vfio_pci *v, unsigned off, unsigned size, uint32_t val)
{
	uint8_t b[4];

	pci_set32(b, 0, val);
	if (!range_ok(off, size, v->cfg_size) ||
	    v->k->ops->region_write(v->k, v->cfg_off + off, b, size) != (ssize_t)size)
		log_guest(&v->dev.limit,
			  "%s: the host refused a write to configuration register %#x", v->k->name,
			  off);
}

static uint32_t emu_mask(const struct vfio_pci *v, unsigned off, unsigned size)
{
	uint32_t m = 0;

	for (unsigned i = 0; i < size; i++)
		m |= (uint32_t)v->emu[off + i] << (8 * i);
	return m;
}

static uint32_t size_mask(unsigned size)
{
	return size >= 4 ? UINT32_MAX : (1u << (8 * size)) - 1;
}

/* Hands on the hardware's bytes of a write, in the widest pieces that hold no emulated byte. */
static void hw_write_rest(struct vfio_pci *v, unsigned off, unsigned size, uint32_t val)
{
	uint32_t emu = emu_mask(v, off, size), hw = 0;
	bool pure = false, mixed = false;

	for (unsigned i = 0; i < size; i++) {
		pure |= v->emu[off + i] == 0xff;
		mixed |= v->emu[off + i] != 0;
	}
	if (emu == size_mask(size))
		return;
	if (pure) { /* size > 1: a single byte was handled above */
		hw_write_rest(v, off, size / 2, val);
		hw_write_rest(v, off + size / 2, size / 2, val >> (4 * size));
		return;
	}
	if (mixed && !hw_read(v, off, size, &hw))
		return;
	hw_write(v, off, size, (val & ~emu) | (hw & emu));
}

/* ---- what is emulated ---- */

/* [off, off + len) is ours, and reads as dev.cfg. */
static void emulate(struct vfio_pci *v, unsigned off, unsigned len)
{
	if (range_ok(off, len, PCI_CFG_SIZE))
		memset(v->emu + off, 0xff, len);
}

static void emulate_as(struct vfio_pci *v, unsigned off, unsigned len, uint8_t byte)
{
	if (!range_ok(off, len, PCI_CFG_SIZE))
		return;
	memset(v->dev.cfg + off, byte, len);
	emulate(v, off, len);
}

static void init_header(struct vfio_pci *v)
{
	uint8_t *cfg = v->dev.cfg;

	emulate(v, 0, PCI_STD_HEADER_SIZEOF);
	/* Status: the errors and the interrupt are the hardware's; that there is a list is ours. */
	memset(v->emu + PCI_STATUS, 0, 2);
	v->emu[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	memset(v->dev.w1cmask + PCI_STATUS, 0, 2);
	pci_set16(cfg, PCI_COMMAND, 0);
	cfg[PCI_HEADER_TYPE] &= (uint8_t)~MULTI_FUNC; /* pci_add() knows */
	cfg[PCI_BIST] = 0;
	cfg[PCI_CACHE_LINE_SIZE] = 0;
	cfg[PCI_LATENCY_TIMER] = 0;
	cfg[PCI_INTERRUPT_LINE] = 0;
	pci_set32(cfg, PCI_CARDBUS_CIS, 0);
}

/* ---- capabilities ---- */

static void init_msi(struct vfio_pci *v, unsigned at)
{
	uint8_t *w = v->dev.wmask + at;
	uint16_t flags = pci_get16(v->dev.cfg, at + PCI_MSI_FLAGS);
	bool wide = flags & PCI_MSI_FLAGS_64BIT, mask = flags & PCI_MSI_FLAGS_MASKBIT;
	unsigned len = 10 + (wide ? 4 : 0) + (mask ? 10 : 0); /* PCI 3.0, 6.8.1 */

	if (v->msi_cap || !range_ok(at, len, 0x100))
		return;
	v->msi_cap = at;
	v->msi_len = len;
	emulate_as(v, at + PCI_MSI_FLAGS + 2, len - PCI_MSI_FLAGS - 2, 0);
	emulate(v, at + PCI_MSI_FLAGS, 2);
	pci_set16(v->dev.cfg, at + PCI_MSI_FLAGS,
		  flags & (PCI_MSI_FLAGS_QMASK | PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT));
	pci_set16(w, PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	pci_set32(w, PCI_MSI_ADDRESS_LO, 0xfffffffc);
	if (wide)
		pci_set32(w, PCI_MSI_ADDRESS_HI, 0xffffffff);
	pci_set16(w, wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32, 0xffff);
	if (mask)
		pci_set32(w, wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32, 0xffffffff);
}

static void init_msix(struct vfio_pci *v, unsigned at)
{
	uint16_t flags = pci_get16(v->dev.cfg, at + PCI_MSIX_FLAGS);

	if (v->msix_cap || !range_ok(at, PCI_CAP_MSIX_SIZEOF, 0x100))
		return;
	v->msix_cap = at;
	emulate(v, at, PCI_CAP_MSIX_SIZEOF);
	pci_set16(v->dev.cfg, at + PCI_MSIX_FLAGS, flags & PCI_MSIX_FLAGS_QSIZE);
	pci_set16(v->dev.wmask, at + PCI_MSIX_FLAGS,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
}

/* A trained link of the lowest kind, for devices that show none: integrated endpoints, VFs. */
static void synthesize_link(struct vfio_pci *v, unsigned at, bool v2)
{
	uint8_t *c = v->dev.cfg + at;
	uint32_t cap = pci_get32(c, PCI_EXP_LNKCAP) & ~(PCI_EXP_LNKCAP_SLS | PCI_EXP_LNKCAP_MLW);

	emulate(v, at + PCI_EXP_LNKCAP, 8);
	pci_set32(c, PCI_EXP_LNKCAP, cap | PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
	pci_set16(c, PCI_EXP_LNKCTL, 0);
	pci_set16(c, PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
	pci_set16(v->dev.wmask + at, PCI_EXP_LNKCTL,
		  PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC |
			  PCI_EXP_LNKCTL_ES);
	if (!v2)
		return;
	emulate(v, at + PCI_EXP_LNKCAP2, 8);
	pci_set32(c, PCI_EXP_LNKCAP2, PCI_EXP_LNKCAP2_SLS_2_5GB);
	pci_set32(c, PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_2_5GT);
}

/* Windows gives Code 10 to a function whose type does not fit where it is: behind a root port,
 * what was integrated in the host's root complex is an endpoint with a link. */
static void init_exp(struct vfio_pci *v, unsigned at)
{
	uint8_t *c = v->dev.cfg + at;
	uint16_t flags = pci_get16(c, PCI_EXP_FLAGS);
	unsigned type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
	bool v2 = (flags & PCI_EXP_FLAGS_VERS) >= 2;
	uint32_t cap = pci_get32(c, PCI_EXP_LNKCAP);
	uint16_t sta = pci_get16(c, PCI_EXP_LNKSTA);

	if (v->exp_cap || !range_ok(at, v2 ? EXP_V2_LEN : EXP_V1_LEN, 0x100))
		return;
	v->exp_cap = at;
	emulate(v, at + PCI_EXP_FLAGS, 2);
	if (type != PCI_EXP_TYPE_LEG_END)
		type = PCI_EXP_TYPE_ENDPOINT;
	flags &= (uint16_t) ~(PCI_EXP_FLAGS_TYPE | PCI_EXP_FLAGS_SLOT | PCI_EXP_FLAGS_IRQ);
	pci_set16(c, PCI_EXP_FLAGS, (uint16_t)(flags | type << 4));
	if (!(cap & PCI_EXP_LNKCAP_SLS) || !(cap & PCI_EXP_LNKCAP_MLW) ||
	    !(sta & PCI_EXP_LNKSTA_CLS) || !(sta & PCI_EXP_LNKSTA_NLW))
		synthesize_link(v, at, v2);
}

/* Returns false for a capability that the guest is not to see. */
static bool init_cap(struct vfio_pci *v, unsigned at)
{
	switch (v->dev.cfg[at]) {
	case PCI_CAP_ID_EA:
		return false;
	case PCI_CAP_ID_PM:
		if (!v->pm_cap && range_ok(at, PCI_PM_SIZEOF, 0x100))
			v->pm_cap = at;
		break;
	case PCI_CAP_ID_AF:
		if (!v->af_cap && range_ok(at, PCI_CAP_AF_SIZEOF, 0x100))
			v->af_cap = at;
		break;
	case PCI_CAP_ID_MSI:
		init_msi(v, at);
		return v->msi_cap == at;
	case PCI_CAP_ID_MSIX:
		init_msix(v, at);
		return v->msix_cap == at;
	case PCI_CAP_ID_EXP:
		init_exp(v, at);
		return v->exp_cap == at;
	}
	return true;
}

/* Walks the host's list, which may loop or point anywhere, and links what the guest gets. */
static void init_caps(struct vfio_pci *v)
{
	uint8_t *cfg = v->dev.cfg;
	unsigned at = cfg[PCI_CAPABILITY_LIST] & ~3u, link = PCI_CAPABILITY_LIST;
	uint64_t seen = 0;

	if (!(cfg[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		at = 0;
	cfg[link] = 0;
	while (at >= PCI_STD_HEADER_SIZEOF && !(seen >> (at / 4) & 1)) {
		unsigned next = cfg[at + PCI_CAP_LIST_NEXT] & ~3u;

		seen |= 1ull << (at / 4);
		if (init_cap(v, at)) {
			emulate(v, at, 2);
			cfg[link] = (uint8_t)at;
			link = at + PCI_CAP_LIST_NEXT;
			cfg[link] = 0;
		}
		at = next;
	}
	cfg[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
	if (cfg[PCI_CAPABILITY_LIST])
		cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
}

/* As much as is known of it: what is not takes two dwords. */
static unsigned cap_len(const struct vfio_pci *v, unsigned at)
{
	const uint8_t *c = v->dev.cfg + at;

	switch (c[0]) {
	case PCI_CAP_ID_MSI:
		return v->msi_len;
	case PCI_CAP_ID_MSIX:
		return PCI_CAP_MSIX_SIZEOF;
	case PCI_CAP_ID_EXP:
		return (c[PCI_EXP_FLAGS] & PCI_EXP_FLAGS_VERS) >= 2 ? EXP_V2_LEN : EXP_V1_LEN;
	case PCI_CAP_ID_VNDR:
		return c[PCI_CAP_FLAGS] > 4 ? c[PCI_CAP_FLAGS] : 4;
	}
	return 8;
}

int vfio_config_add_cap(struct vfio_pci *v, unsigned at, const uint8_t *cap, unsigned len)
{
	uint8_t *cfg = v->dev.cfg;
	unsigned link = PCI_CAPABILITY_LIST;

	if (at < PCI_STD_HEADER_SIZEOF || !range_ok(at, len, PCI_CFG_SPACE_SIZE))
		return -EINVAL;
	/* init_caps() has made the list: it ends. */
	for (; cfg[link]; link = cfg[link] + PCI_CAP_LIST_NEXT)
		if (range_overlaps(cfg[link], cap_len(v, cfg[link]), at, len))
			return -EBUSY;
	memcpy(cfg + at, cap, len);
	cfg[at + PCI_CAP_LIST_NEXT] = 0;
	cfg[link] = (uint8_t)at;
	cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	emulate(v, at, len);
	return 0;
}

/* ---- extended capabilities ---- */

static unsigned rebar_count(const uint8_t *c)
{
	return (c[PCI_REBAR_CTRL] & PCI_REBAR_CTRL_NBAR_MASK) >> PCI_REBAR_CTRL_NBAR_SHIFT;
}

/* The register pairs of a Resizable BAR capability (PCI Express 6.0, 7.8.6) make sense, and their
 * sizes are those that VFIO has. */
static bool rebar_is_right(const struct vfio_pci *v, unsigned at, const uint8_t *starts)
{
	unsigned n, len;

	if (!range_ok(at, PCI_REBAR_CTRL + 4, PCI_CFG_SIZE))
		return false;
	n = rebar_count(v->dev.cfg + at);
	len = 4 + 8 * n;
	if (n < 1 || n > PCI_NUM_BARS || !range_ok(at, len, PCI_CFG_SIZE))
		return false;
	for (unsigned i = at + 4; i < at + len; i += 4)
		if (starts[i / 4])
			return false;
	for (unsigned i = 0; i < n; i++) {
		uint32_t ctrl = pci_get32(v->dev.cfg, at + PCI_REBAR_CTRL + 8 * i);
		unsigned bar = ctrl & PCI_REBAR_CTRL_BAR_IDX;
		unsigned bits = (ctrl & PCI_REBAR_CTRL_BAR_SIZE) >> PCI_REBAR_CTRL_BAR_SHIFT;

		if (bar >= PCI_NUM_BARS || bits > REBAR_MAX ||
		    vfio_region_size(v->k, VFIO_PCI_BAR0_REGION_INDEX + bar) != MiB << bits)
			return false;
	}
	return true;
}

/* Read-only, with the size that each BAR has as the only one. */
static void rebar_fix(struct vfio_pci *v, unsigned at)
{
	unsigned n = rebar_count(v->dev.cfg + at);

	emulate(v, at + 4, 8 * n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *c = v->dev.cfg + at + 8 * i;
		uint32_t ctrl = pci_get32(c, PCI_REBAR_CTRL);
		unsigned bits = (ctrl & PCI_REBAR_CTRL_BAR_SIZE) >> PCI_REBAR_CTRL_BAR_SHIFT;

		pci_set32(c, PCI_REBAR_CAP, 1u << (bits + 4));
		pci_set32(c, PCI_REBAR_CTRL,
			  ctrl & (PCI_REBAR_CTRL_BAR_IDX | PCI_REBAR_CTRL_NBAR_MASK |
				  PCI_REBAR_CTRL_BAR_SIZE));
	}
}

/* Length of a capability to hide, 0 for one to show. left: bytes up to the end of the space. */
static unsigned hidden_len(const uint8_t *c, unsigned id, unsigned left)
{
	switch (id) {
	case PCI_EXT_CAP_ID_SRIOV:
		return PCI_EXT_CAP_SRIOV_SIZEOF;
	case PCI_EXT_CAP_ID_ARI:
		return 8;
	case PCI_EXT_CAP_ID_REBAR:
	case PCI_EXT_CAP_ID_VF_REBAR: /* up to six pairs of registers */
		if (left < PCI_REBAR_CTRL + 4)
			return left;
		return 4 + 8 * (rebar_count(c) ? rebar_count(c) : 1);
	case 0: /* the kernel has hidden it already */
		return 4;
	}
	return 0;
}

static void hide_ext_cap(struct vfio_pci *v, unsigned at, unsigned len, const uint8_t *starts)
{
	/* A broken length must not reach into the next capability. */
	for (unsigned i = at; i < at + len && i < PCI_CFG_SIZE; i += 4) {
		if (i > at && starts[i / 4])
			return;
		emulate_as(v, i, 4, 0);
	}
}

/* Marks the capabilities of the host's list, which may loop; returns how many. */
static unsigned mark_ext_caps(const struct vfio_pci *v, uint8_t *starts, uint16_t *order)
{
	unsigned at = PCI_CFG_SPACE_SIZE, n = 0;

	while (at >= PCI_CFG_SPACE_SIZE && at <= PCI_CFG_SIZE - 4 && !starts[at / 4]) {
		uint32_t h = pci_get32(v->dev.cfg, at);

		if (h == 0 || h == UINT32_MAX)
			break;
		starts[at / 4] = 1;
		order[n++] = (uint16_t)at;
		at = PCI_EXT_CAP_NEXT(h) & ~3u;
	}
	return n;
}

static void init_ext_caps(struct vfio_pci *v)
{
	uint8_t starts[PCI_CFG_SIZE / 4] = { 0 };
	uint16_t order[PCI_CFG_SIZE / 4];
	uint8_t *cfg = v->dev.cfg;
	unsigned n, link = PCI_CFG_SPACE_SIZE;

	/* A function without extended configuration space answers nothing there. */
	if (!v->exp_cap || v->cfg_size < PCI_CFG_SIZE) {
		emulate_as(v, PCI_CFG_SPACE_SIZE, PCI_CFG_SIZE - PCI_CFG_SPACE_SIZE, 0xff);
		return;
	}
	emulate(v, PCI_CFG_SPACE_SIZE, 4);
	n = mark_ext_caps(v, starts, order);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = order[i];
		uint32_t h = pci_get32(cfg, at);
		unsigned hide = hidden_len(cfg + at, PCI_EXT_CAP_ID(h), PCI_CFG_SIZE - at);

		if (PCI_EXT_CAP_ID(h) == PCI_EXT_CAP_ID_REBAR && rebar_is_right(v, at, starts)) {
			rebar_fix(v, at);
			hide = 0;
		}
		if (hide) {
			hide_ext_cap(v, at, hide, starts);
			continue;
		}
		emulate(v, at, 4);
		pci_set32(cfg, at, h & 0xfffff);
		if (at != link)
			pci_set32(cfg, link, pci_get32(cfg, link) | at << 20);
		link = at;
	}
}

/* ---- start ---- */

static int read_config(struct vfio_pci *v, struct error *err)
{
	struct vfio_region_info *info = NULL;
	int ret = v->k->ops->region_info(v->k, VFIO_PCI_CONFIG_REGION_INDEX, &info);

	if (ret)
		return error_set(
			err, ret,
			"%s: VFIO gives no access to the configuration space of this device",
			v->k->name);
	v->cfg_off = info->offset;
	v->cfg_size = info->size < PCI_CFG_SIZE ? (unsigned)info->size : PCI_CFG_SIZE;
	free(info);
	if (v->cfg_size < PCI_CFG_SPACE_SIZE ||
	    v->k->ops->region_read(v->k, v->cfg_off, v->dev.cfg, v->cfg_size) !=
		    (ssize_t)v->cfg_size)
		return error_set(err, -EIO, "%s: its configuration space cannot be read",
				 v->k->name);
	return 0;
}

int vfio_config_init(struct vfio_pci *v, struct error *err)
{
	uint8_t *cfg = v->dev.cfg;
	int ret = read_config(v, err);

	if (ret)
		return ret;
	if (pci_get16(cfg, PCI_VENDOR_ID) == 0xffff)
		return error_set(err, -ENODEV,
				 "%s: the device does not answer; it may have fallen off its bus",
				 v->k->name);
	if ((cfg[PCI_HEADER_TYPE] & 0x7f) != PCI_HEADER_TYPE_NORMAL)
		return error_set(err, -EINVAL,
				 "%s is a bridge; only the devices behind it can be passed through",
				 v->k->name);
	v->host_cmd = pci_get16(cfg, PCI_COMMAND);
	init_header(v);
	init_caps(v);
	init_ext_caps(v);
	return 0;
}

/* ---- accesses ---- */

static uint32_t emulated(const struct vfio_pci *v, unsigned off, unsigned size)
{
	const struct pci_device *dev = &v->dev;
	uint32_t val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (uint32_t)pci_get8(dev->cfg, off + i) << (8 * i);
	return val;
}

static void refresh_msi_pending(struct vfio_pci *v, unsigned off, unsigned size)
{
	uint16_t flags;
	unsigned at;

	if (!v->msi_cap)
		return;
	flags = pci_get16(v->dev.cfg, v->msi_cap + PCI_MSI_FLAGS);
	at = v->msi_cap + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_PENDING_64 : PCI_MSI_PENDING_32);
	if (!(flags & PCI_MSI_FLAGS_MASKBIT) || !range_overlaps(off, size, at, 4))
		return;
	scoped_lock(&v->dev.lock);
	pci_set32(v->dev.cfg, at, vfio_msi_pending(v));
}

uint32_t vfio_config_read(struct pci_device *dev, unsigned off, unsigned size)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	uint32_t emu = emu_mask(v, off, size), hw = UINT32_MAX;

	refresh_msi_pending(v, off, size);
	if (emu != size_mask(size) && !hw_read(v, off, size, &hw))
		hw = UINT32_MAX;
	return (hw & ~emu) | (emulated(v, off, size) & emu);
}

void vfio_config_push_command(struct vfio_pci *v)
{
	uint16_t cmd = pci_get16(v->dev.cfg, PCI_COMMAND);

	if (vfio_bars_any(v, false))
		cmd |= PCI_COMMAND_MEMORY;
	if (cmd == v->host_cmd)
		return;
	v->host_cmd = cmd;
	hw_write(v, PCI_COMMAND, 2, cmd);
}

/* Decoding that comes on does so in the hardware first; what goes off, last. */
static void write_command(struct vfio_pci *v, unsigned off, unsigned size, uint32_t val)
{
	uint16_t old = pci_get16(v->dev.cfg, PCI_COMMAND), on = old;

	for (unsigned i = 0; i < size; i++)
		if (off + i == PCI_COMMAND || off + i == PCI_COMMAND + 1)
			on |= (uint16_t)((val >> (8 * i) & 0xff) << (8 * (off + i - PCI_COMMAND)));
	on = (uint16_t)((old & ~PCI_COMMAND_MEMORY) | (on & PCI_COMMAND_MEMORY));
	if (on & ~v->host_cmd & PCI_COMMAND_MEMORY) {
		v->host_cmd |= PCI_COMMAND_MEMORY;
		hw_write(v, PCI_COMMAND, 2, v->host_cmd);
	}
	pci_default_cfg_write(&v->dev, off, size, val);
	vfio_config_push_command(v);
}

/* D3hot: the kernel faults mappings of a sleeping device (vfio_pci_core:
 * __vfio_pci_memory_enabled), so BARs leave guest memory before it falls asleep, and are back once
 * it is awake. */
static void write_power(struct vfio_pci *v, unsigned off, unsigned size, uint32_t val)
{
	unsigned at = v->pm_cap + PCI_PM_CTRL;
	uint32_t now = 0;

	if (range_overlaps(off, size, at, 1) && (val >> (8 * (at - off)) & 3) == 3) {
		v->asleep = true;
		vfio_bars_sync(v);
	}
	hw_write_rest(v, off, size, val);
	v->asleep = hw_read(v, at, 2, &now) && (now & PCI_PM_CTRL_STATE_MASK) == 3;
	vfio_bars_sync(v);
}

void vfio_config_write(struct pci_device *dev, unsigned off, unsigned size, uint32_t val)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	if (v->pm_cap && range_overlaps(off, size, v->pm_cap + PCI_PM_CTRL, 2))
		write_power(v, off, size, val);
	else
		hw_write_rest(v, off, size, val);
	if (range_overlaps(off, size, PCI_COMMAND, 2))
		write_command(v, off, size, val);
	else
		pci_default_cfg_write(dev, off, size, val);
	if ((v->msi_cap && range_overlaps(off, size, v->msi_cap, v->msi_len)) ||
	    (v->msix_cap && range_overlaps(off, size, v->msix_cap + PCI_MSIX_FLAGS, 2))) {
		scoped_lock(&dev->lock);
		vfio_irqs_sync(v);
	}
}

/* ---- reset ---- */

void vfio_config_silence(struct vfio_pci *v)
{
	uint32_t pm;

	if (v->pm_cap && hw_read(v, v->pm_cap + PCI_PM_CTRL, 2, &pm) &&
	    (pm & PCI_PM_CTRL_STATE_MASK))
		hw_write(v, v->pm_cap + PCI_PM_CTRL, 2, pm & ~(uint32_t)PCI_PM_CTRL_STATE_MASK);
	v->asleep = false;
	v->host_cmd = 0;
	hw_write(v, PCI_COMMAND, 2, 0);
}

void vfio_config_reset(struct vfio_pci *v)
{
	pci_clear_bits(&v->dev, v->dev.wmask, v->emu);
	v->dev.sizing = 0;
	vfio_config_silence(v);
}
