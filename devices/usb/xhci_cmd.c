/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command ring (xHCI 1.2, 4.6 and 4.9.3).
 *
 * Doorbells of endpoints that were rung before a command take effect before it: Linux rings that of
 * an endpoint which has just halted, and then sends Reset Endpoint and Set TR Dequeue.
 *
 * A command waits until the endpoints that it changes have nothing in flight; then it is carried
 * out at once. Until then the ring stands still.
 */
#include "devices/usb/xhci_parts.h"
#include "vmm/core/cleanup.h"

static void cmd_event(struct xhci *x, uint64_t addr, enum xhci_cc cc, unsigned slot)
{
	struct xhci_trb t = {
		.param = addr,
		.status = (uint32_t)cc << 24,
		.control = XHCI_TRB_EV_COMMAND << 10 | slot << 24,
	};

	xhci_event_push(x, &t, false);
}

static void cmd_begin(struct xhci *x)
{
	struct xhci_cmd *c = &x->cmd;

	c->drain = xhci_cmd_drains(x, c);
	for (unsigned dci = 1; c->slot && dci < 32; dci++)
		if (c->drain >> dci & 1 && c->slot->ep[dci])
			xhci_ep_drain(c->slot->ep[dci], XHCI_DRAIN_CMD);
	x->cmd_waits = true;
	x->more = true;
}

static bool cmd_may_run(const struct xhci_cmd *c)
{
	for (unsigned dci = 1; c->slot && dci < 32; dci++)
		if (c->drain >> dci & 1 && c->slot->ep[dci] && c->slot->ep[dci]->n_jobs)
			return false;
	return true;
}

static void cmd_end(struct xhci *x, enum xhci_cc cc, unsigned slot)
{
	struct xhci_cmd *c = &x->cmd;

	for (unsigned dci = 1; c->slot && dci < 32; dci++)
		if (c->drain >> dci & 1 && c->slot->ep[dci])
			xhci_ep_undrain(c->slot->ep[dci], XHCI_DRAIN_CMD);
	x->cmd_waits = false;
	cmd_event(x, c->addr, cc, slot);
}

static void cmd_fetch(struct xhci *x)
{
	struct xhci_trb t;
	unsigned links = 0, slot;
	int ret = xhci_trb_next(x, &x->cr, &t, &links);

	if (ret < 0)
		xhci_fail(x, "its command ring is not valid");
	if (ret <= 0)
		return;
	/* Doorbells that were rung before this command: they must not start what it stops. */
	xhci_bells_work(x);
	slot = t.control >> 24;
	x->cmd = (struct xhci_cmd){ .trb = t, .addr = x->cr.addr };
	if (slot >= 1 && slot <= XHCI_SLOTS && x->slot[slot].enabled)
		x->cmd.slot = &x->slot[slot];
	x->cr.addr += sizeof(t);
	cmd_begin(x);
}

/* CRCR.CS and CRCR.CA (4.6.1): the ring stops; with CA, also the command that waits. */
static void ring_stop(struct xhci *x, bool abort)
{
	if (abort && x->cmd_waits)
		cmd_end(x, XHCI_CC_ABORTED, x->cmd.trb.control >> 24);
	cmd_event(x, x->cr.addr, XHCI_CC_RING_STOPPED, 0);
	scoped_lock(&x->pci.lock);
	x->regs.crr = x->regs.cr_stop = x->regs.cr_abort = x->regs.cmd_rung = false;
}

void xhci_cmds_work(struct xhci *x)
{
	struct xhci_regs *r = &x->regs;
	bool runs, stop, abort;

	pthread_mutex_lock(&x->pci.lock);
	if (r->cr_loaded)
		x->cr = (struct xhci_pos){ r->crcr & ~63ull, r->crcr & XHCI_CRCR_RCS };
	r->cr_loaded = false;
	r->crr |= r->cmd_rung;
	r->cmd_rung = false;
	runs = r->crr;
	stop = r->cr_stop;
	abort = r->cr_abort;
	pthread_mutex_unlock(&x->pci.lock);
	if (!runs)
		return;
	if (abort || (stop && !x->cmd_waits)) {
		ring_stop(x, abort);
		return;
	}
	if (!x->cmd_waits)
		cmd_fetch(x);
	if (x->cmd_waits && cmd_may_run(&x->cmd)) {
		unsigned slot = x->cmd.trb.control >> 24;
		enum xhci_cc cc = xhci_cmd_run(x, &x->cmd, &slot);

		cmd_end(x, cc, slot);
	}
}

void xhci_cmds_reset(struct xhci *x)
{
	x->cmd_waits = false;
	x->cr = (struct xhci_pos){ 0 };
}
