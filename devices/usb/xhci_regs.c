/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers (xHCI 1.2, 5). Writes are stored, and what they ask for is left for the thread.
 *
 *   0x0000 capabilities   0x0040 operational   0x0440 ports   0x1000 runtime   0x2000 doorbells
 *   0x3000 MSI-X
 *
 * Threads: vCPUs, under the lock of the PCI device.
 */
#include <string.h>

#include "devices/usb/xhci_parts.h"

#define HCIVERSION    0x0100u
#define EXT_CAPS      0x20u
#define PROTOCOL_CAP  2u
#define PROTOCOL_NAME 0x20425355u /* "USB " */
#define MFINDEX_NS    125000u

/* ---- reading ---- */

/* Extended capabilities: two Supported Protocols (7.2). */
static uint32_t protocol_read(const struct xhci *x, unsigned off)
{
	bool usb3 = off < 0x10;

	switch (off % 0x10) {
	case 0x0:
		return usb3 ? 0x03000000 | 4u << 8 | PROTOCOL_CAP : 0x02000000 | PROTOCOL_CAP;
	case 0x4:
		return PROTOCOL_NAME;
	case 0x8:
		return (usb3 ? 1 : x->n_sockets + 1) | x->n_sockets << 8;
	}
	return 0;
}

static uint32_t cap_read(const struct xhci *x, unsigned off)
{
	switch (off) {
	case 0x00:
		return HCIVERSION << 16 | XHCI_OPER;
	case 0x04: /* HCSPARAMS1: slots, interrupters, ports */
		return XHCI_SLOTS | 1u << 8 | x->n_ports << 24;
	case 0x08: /* HCSPARAMS2: the isochronous scheduling threshold is a frame or more */
		return 0xfu | XHCI_ERST_MAX << 4;
	case 0x10: /* HCCPARAMS1: 64-bit addresses, no secondary stream arrays */
		return 1u | 1u << 7 | XHCI_PSA_SIZE << 12 | EXT_CAPS / 4 << 16;
	case 0x14:
		return XHCI_DOORBELL;
	case 0x18:
		return XHCI_RUNTIME;
	}
	return off >= EXT_CAPS ? protocol_read(x, off - EXT_CAPS) : 0;
}

static uint32_t port_read(const struct xhci *x, unsigned off)
{
	unsigned i = off / 0x10 + 1;

	if (i > x->n_ports)
		return 0;
	switch (off % 0x10) {
	case 0x0:
		return x->regs.port[i].portsc;
	case 0x4:
		return x->regs.port[i].pmsc;
	case 0xc:
		return x->regs.port[i].hlpmc;
	}
	return 0;
}

static uint32_t oper_read(const struct xhci *x, unsigned off)
{
	const struct xhci_regs *r = &x->regs;

	if (off >= XHCI_PORTS)
		return port_read(x, off - XHCI_PORTS);
	switch (off) {
	case XHCI_USBCMD:
		return r->usbcmd | (r->reset ? XHCI_CMD_HCRST : 0);
	case XHCI_USBSTS:
		return r->usbsts | (r->reset ? XHCI_STS_CNR : 0);
	case XHCI_PAGESIZE:
		return 1; /* 4 KiB */
	case XHCI_DNCTRL:
		return r->dnctrl;
	case XHCI_CRCR:
		return r->crr ? XHCI_CRCR_CRR : 0;
	case XHCI_DCBAAP:
		return (uint32_t)r->dcbaap;
	case XHCI_DCBAAP + 4:
		return (uint32_t)(r->dcbaap >> 32);
	case XHCI_CONFIG:
		return r->config;
	}
	return 0;
}

static uint32_t mfindex(const struct xhci_regs *r)
{
	if (!(r->usbcmd & XHCI_CMD_RUN))
		return 0;
	return (uint32_t)((evloop_now_ns() - r->started_ns) / MFINDEX_NS) & 0x3fff;
}

static uint32_t runtime_read(const struct xhci *x, unsigned off)
{
	const struct xhci_regs *r = &x->regs;

	if (off == 0)
		return mfindex(r);
	switch (off - 0x20) {
	case XHCI_IMAN:
		return r->iman;
	case XHCI_IMOD:
		return r->imod;
	case XHCI_ERSTSZ:
		return r->erstsz;
	case XHCI_ERSTBA:
		return (uint32_t)r->erstba;
	case XHCI_ERSTBA + 4:
		return (uint32_t)(r->erstba >> 32);
	case XHCI_ERDP:
		return (uint32_t)r->erdp;
	case XHCI_ERDP + 4:
		return (uint32_t)(r->erdp >> 32);
	}
	return 0;
}

static uint32_t dword_read(const struct xhci *x, unsigned off)
{
	if (off < XHCI_OPER)
		return cap_read(x, off);
	if (off < XHCI_RUNTIME)
		return oper_read(x, off - XHCI_OPER);
	return off < XHCI_DOORBELL ? runtime_read(x, off - XHCI_RUNTIME) : 0;
}

static uint64_t xhci_bar_read(void *opaque, uint64_t off, unsigned size)
{
	const struct xhci *x = opaque;
	unsigned at = (unsigned)off & ~3u;
	uint64_t val = dword_read(x, at);

	if (size == 8)
		return val | (uint64_t)dword_read(x, at + 4) << 32;
	return val >> (off % 4 * 8) & all_ones(size);
}

/* ---- writing ---- */

static void half_set(uint64_t *reg, bool high, uint32_t val)
{
	unsigned shift = high ? 32 : 0;

	*reg = (*reg & ~(0xffffffffull << shift)) | (uint64_t)val << shift;
}

static void usbcmd_write(struct xhci *x, uint32_t val)
{
	struct xhci_regs *r = &x->regs;
	bool start = val & ~r->usbcmd & XHCI_CMD_RUN;

	if (val & XHCI_CMD_HCRST) {
		r->reset = true;
		r->usbcmd = 0;
		xhci_intr_update(x);
		xhci_wake(x);
		return;
	}
	if (val & XHCI_CMD_CRS) /* nothing was saved: the driver starts anew (4.23.2) */
		r->usbsts |= XHCI_STS_SRE;
	r->usbcmd = val & XHCI_CMD_KEEPS;
	if (start && !(r->usbsts & XHCI_STS_HCE)) {
		r->usbsts &= ~XHCI_STS_HCH;
		r->started_ns = evloop_now_ns();
		xhci_ports_report(x);
	}
	xhci_intr_update(x);
	xhci_wake(x);
}

/* The pointer is taken with its high half, while the ring does not run (5.4.5). The ring may stop
 * between the two halves of a write that stops it. */
static void crcr_write(struct xhci *x, bool high, uint32_t val)
{
	struct xhci_regs *r = &x->regs;

	if (!high)
		r->cr_command = r->crr;
	if (r->cr_command) {
		r->cr_stop |= !high && val & XHCI_CRCR_CS;
		r->cr_abort |= !high && val & XHCI_CRCR_CA;
		xhci_wake(x);
		return;
	}
	half_set(&r->crcr, high, val);
	r->cr_loaded |= high;
}

static void port_reg_write(struct xhci *x, unsigned off, uint32_t val)
{
	unsigned i = off / 0x10 + 1;

	if (i > x->n_ports)
		return;
	switch (off % 0x10) {
	case 0x0:
		xhci_port_write(x, i, val);
		break;
	case 0x4:
		x->regs.port[i].pmsc = val;
		break;
	case 0xc:
		x->regs.port[i].hlpmc = val;
		break;
	}
}

static void oper_write(struct xhci *x, unsigned off, uint32_t val)
{
	struct xhci_regs *r = &x->regs;

	switch (off) {
	case XHCI_USBCMD:
		usbcmd_write(x, val);
		break;
	case XHCI_USBSTS:
		r->usbsts &= ~(val & XHCI_STS_W1C);
		break;
	case XHCI_DNCTRL:
		r->dnctrl = val & 0xffff;
		break;
	case XHCI_CRCR:
	case XHCI_CRCR + 4:
		crcr_write(x, off != XHCI_CRCR, val);
		break;
	case XHCI_DCBAAP:
		half_set(&r->dcbaap, false, val & ~63u);
		break;
	case XHCI_DCBAAP + 4:
		half_set(&r->dcbaap, true, val);
		break;
	case XHCI_CONFIG:
		r->config = val & 0x3ff;
		break;
	default:
		if (off >= XHCI_PORTS)
			port_reg_write(x, off - XHCI_PORTS, val);
	}
}

static void runtime_write(struct xhci *x, unsigned off, uint32_t val)
{
	struct xhci_regs *r = &x->regs;
	uint64_t erdp = r->erdp & ~(uint64_t)XHCI_ERDP_EHB;

	switch (off - 0x20) {
	case XHCI_IMAN:
		r->iman &= ~(val & XHCI_IMAN_IP);
		r->iman = (r->iman & XHCI_IMAN_IP) | (val & XHCI_IMAN_IE);
		xhci_intr_update(x);
		break;
	case XHCI_IMOD:
		r->imod = val;
		xhci_wake(x);
		break;
	case XHCI_ERSTSZ:
		r->erstsz = val & 0xffff;
		break;
	case XHCI_ERSTBA:
		half_set(&r->erstba, false, val & ~63u);
		break;
	case XHCI_ERSTBA + 4:
		half_set(&r->erstba, true, val);
		r->erst_loaded = true;
		xhci_wake(x);
		break;
	case XHCI_ERDP: /* EHB is only cleared with the low half */
		half_set(&erdp, false, val);
		xhci_erdp_write(x, erdp);
		break;
	case XHCI_ERDP + 4:
		half_set(&erdp, true, val);
		xhci_erdp_write(x, erdp);
		break;
	}
}

/* A stream's doorbell only marks its endpoint: all of its streams are looked at. */
static void doorbell_write(struct xhci *x, unsigned slot, uint32_t val)
{
	struct xhci_regs *r = &x->regs;
	unsigned dci = val & 0xff;

	if (!(r->usbcmd & XHCI_CMD_RUN))
		return;
	if (slot == 0) {
		r->cmd_rung |= dci == 0;
	} else if (slot <= XHCI_SLOTS && dci >= 1 && dci < 32) {
		r->bell[slot] |= 1u << dci;
		r->slots_rung |= 1ull << (slot - 1);
	}
	xhci_wake(x);
}

static void dword_write(struct xhci *x, unsigned off, uint32_t val)
{
	if (x->regs.reset || off < XHCI_OPER)
		return;
	if (off < XHCI_RUNTIME)
		oper_write(x, off - XHCI_OPER, val);
	else if (off < XHCI_DOORBELL)
		runtime_write(x, off - XHCI_RUNTIME, val);
	else if (off < XHCI_MSIX)
		doorbell_write(x, (off - XHCI_DOORBELL) / 4, val);
}

static void xhci_bar_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct xhci *x = opaque;

	if (size < 4 || off % 4)
		return;
	dword_write(x, (unsigned)off, (uint32_t)val);
	if (size == 8)
		dword_write(x, (unsigned)off + 4, (uint32_t)(val >> 32));
}

const struct io_region_ops xhci_bar_ops = { .read = xhci_bar_read, .write = xhci_bar_write };

/* ---- reset ---- */

void xhci_regs_reset(struct xhci *x)
{
	struct xhci_regs *r = &x->regs, old = *r;

	memset(r, 0, sizeof(*r));
	r->master = old.master;
	r->paused = old.paused;
	r->ended = old.ended;
	r->frozen = old.frozen;
	r->usbsts = XHCI_STS_HCH;
	r->imod = 4000; /* 1 ms (5.5.2.2) */
	xhci_ports_reset(x);
	xhci_intr_update(x);
}
