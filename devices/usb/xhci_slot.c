/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each command does to slots and endpoints (xHCI 1.2, 4.6). Nothing that the command changes
 * has a transfer in flight.
 *
 * SET_ADDRESS never reaches a device: its address on the host stays, and the guest's is the number
 * of the slot.
 */
#include <stdlib.h>

#include "devices/usb/xhci_parts.h"
#include "vmm/core/cleanup.h"

#define ALL_EPS	   0xfffffffeu
#define NOT_EP0	   0xfffffffcu
#define BANDWIDTH  90 /* percent; every endpoint is granted */
#define ROUTE_MASK 0xfffffu

static unsigned cmd_dci(const struct xhci_cmd *c)
{
	return c->trb.control >> 16 & 31;
}

uint32_t xhci_cmd_drains(struct xhci *x, struct xhci_cmd *c)
{
	const struct xhci_ep *e = c->slot ? c->slot->ep[cmd_dci(c)] : NULL;

	switch (xhci_trb_type(&c->trb)) {
	case XHCI_TRB_DISABLE_SLOT:
	case XHCI_TRB_RESET_DEV:
		return ALL_EPS;
	case XHCI_TRB_ADDRESS:
		return 1u << 1;
	case XHCI_TRB_STOP_EP:
		return 1u << cmd_dci(c);
	case XHCI_TRB_RESET_EP:
	case XHCI_TRB_SET_DEQ: /* an error while it runs; else another stream may not be back yet */
		return e && e->state != XHCI_EP_RUNNING ? 1u << cmd_dci(c) : 0;
	case XHCI_TRB_CONFIGURE:
		if (c->trb.control & XHCI_TRB_BSR)
			return NOT_EP0;
		/* Drop flags, add flags. All zero if it cannot be read, which is an error later. */
		xhci_ctx_read(x, c->trb.param, 0, &c->control);
		return (c->control.w[0] | c->control.w[1]) & NOT_EP0;
	}
	return 0;
}

static enum xhci_cc slot_enable(struct xhci *x, unsigned *slot)
{
	unsigned limit;

	pthread_mutex_lock(&x->pci.lock);
	limit = x->regs.config & 0xff;
	pthread_mutex_unlock(&x->pci.lock);
	for (unsigned i = 1; i <= limit && i <= XHCI_SLOTS; i++) {
		if (x->slot[i].enabled)
			continue;
		x->slot[i].enabled = true;
		*slot = i;
		return XHCI_CC_SUCCESS;
	}
	*slot = 0;
	return XHCI_CC_NO_SLOTS;
}

static enum xhci_cc slot_disable(struct xhci_slot *s)
{
	s->state = XHCI_SLOT_ENABLED;
	if (s->ctx_addr)
		xhci_slot_publish(s);
	xhci_slot_free(s);
	return XHCI_CC_SUCCESS;
}

/* ---- Address Device, 4.6.5 ---- */

static bool port_is_free(const struct xhci *x, const struct xhci_slot *s, unsigned port)
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		if (x->slot[i].enabled && &x->slot[i] != s && x->slot[i].port == port)
			return false;
	return true;
}

static int slot_find_ctx(struct xhci *x, struct xhci_slot *s)
{
	uint64_t table, addr;

	pthread_mutex_lock(&x->pci.lock);
	table = x->regs.dcbaap;
	pthread_mutex_unlock(&x->pci.lock);
	if (guest_mem_read(x->mem, GPA(table + s->id * sizeof(addr)), &addr, sizeof(addr)))
		return -1;
	s->ctx_addr = addr & ~63ull;
	return 0;
}

static enum xhci_cc slot_address(struct xhci *x, struct xhci_cmd *c)
{
	struct xhci_slot *s = c->slot;
	bool bsr = c->trb.control & XHCI_TRB_BSR;
	struct xhci_ctx control, slot, ep0;
	struct xhci_ep *e;

	if (s->state > XHCI_SLOT_DEFAULT || (bsr && s->state == XHCI_SLOT_DEFAULT))
		return XHCI_CC_CONTEXT_STATE;
	if (xhci_ctx_read(x, c->trb.param, 0, &control) ||
	    xhci_ctx_read(x, c->trb.param, 1, &slot) || xhci_ctx_read(x, c->trb.param, 2, &ep0))
		return XHCI_CC_PARAMETER;
	unsigned port = slot.w[1] >> 16 & 0xff;

	if (control.w[0] || (control.w[1] & 3) != 3 || slot.w[0] & ROUTE_MASK || port < 1 ||
	    port > x->n_ports || (ep0.w[1] >> 3 & 7) != XHCI_EP_CONTROL || ep0.w[0] >> 10 & 31 ||
	    !port_is_free(x, s, port))
		return XHCI_CC_PARAMETER;
	if (!bsr && !xhci_port_socket(x, port))
		return XHCI_CC_TRANSACTION;
	e = xhci_ep_new(s, 1, &ep0);
	if (!e)
		return XHCI_CC_RESOURCE;
	if (slot_find_ctx(x, s)) {
		free(e);
		return XHCI_CC_PARAMETER;
	}
	free(s->ep[1]);
	s->ep[1] = e;
	s->ctx = slot;
	s->port = (uint8_t)port;
	s->state = bsr ? XHCI_SLOT_DEFAULT : XHCI_SLOT_ADDRESSED;
	xhci_ep_publish(e);
	xhci_slot_publish(s);
	return XHCI_CC_SUCCESS;
}

/* ---- Configure Endpoint, 4.6.6 ---- */

static void slot_entries(struct xhci_slot *s, unsigned n)
{
	s->ctx.w[0] = (s->ctx.w[0] & ~(31u << 27)) | n << 27;
}

static enum xhci_cc slot_deconfigure(struct xhci_slot *s, enum xhci_slot_state state)
{
	for (unsigned dci = 2; dci < 32; dci++)
		xhci_ep_free(s, dci);
	slot_entries(s, 1);
	s->state = (uint8_t)state;
	xhci_slot_publish(s);
	return XHCI_CC_SUCCESS;
}

/* The type must fit the direction; only bulk endpoints have streams, in a linear array. */
static bool ep_ctx_ok(unsigned dci, const struct xhci_ctx *c)
{
	unsigned type = c->w[1] >> 3 & 7, streams = c->w[0] >> 10 & 31;

	if (type == 0 || type == XHCI_EP_CONTROL || (type > XHCI_EP_CONTROL) != (dci & 1))
		return false;
	if (!streams)
		return true;
	return (type == XHCI_EP_BULK_IN || type == XHCI_EP_BULK_OUT) && streams <= XHCI_PSA_SIZE &&
	       c->w[0] & 1u << 15;
}

/* Makes the endpoints that are added. */
static enum xhci_cc eps_make(struct xhci *x, const struct xhci_cmd *c, struct xhci_ep *made[32])
{
	for (unsigned dci = 2; dci < 32; dci++) {
		struct xhci_ctx ctx;

		if (!(c->control.w[1] >> dci & 1))
			continue;
		if (xhci_ctx_read(x, c->trb.param, dci + 1, &ctx) || !ep_ctx_ok(dci, &ctx))
			return XHCI_CC_PARAMETER;
		made[dci] = xhci_ep_new(c->slot, dci, &ctx);
		if (!made[dci])
			return XHCI_CC_RESOURCE;
	}
	return XHCI_CC_SUCCESS;
}

static void eps_replace(struct xhci_slot *s, uint32_t drop, struct xhci_ep *made[32])
{
	for (unsigned dci = 2; dci < 32; dci++) {
		if (drop >> dci & 1 || made[dci])
			xhci_ep_free(s, dci);
		if (!made[dci])
			continue;
		s->ep[dci] = made[dci];
		xhci_ep_publish(made[dci]);
	}
}

static enum xhci_cc slot_configure(struct xhci *x, struct xhci_cmd *c)
{
	struct xhci_slot *s = c->slot;
	struct xhci_ep *made[32] = { 0 };
	struct xhci_ctx slot;
	unsigned n = 1;

	if (s->state < XHCI_SLOT_ADDRESSED)
		return XHCI_CC_CONTEXT_STATE;
	if (c->trb.control & XHCI_TRB_BSR)
		return slot_deconfigure(s, XHCI_SLOT_ADDRESSED);
	if (c->control.w[0] & 3 || (c->control.w[1] & 3) != 1 ||
	    xhci_ctx_read(x, c->trb.param, 1, &slot))
		return XHCI_CC_PARAMETER;
	enum xhci_cc cc = eps_make(x, c, made);

	if (cc != XHCI_CC_SUCCESS) {
		for (unsigned dci = 2; dci < 32; dci++)
			free(made[dci]);
		return cc; /* nothing has changed */
	}
	eps_replace(s, c->control.w[0], made);
	for (unsigned dci = 2; dci < 32; dci++)
		if (s->ep[dci])
			n = dci;
	slot_entries(s, n);
	s->state = n > 1 ? XHCI_SLOT_CONFIGURED : XHCI_SLOT_ADDRESSED;
	xhci_slot_publish(s);
	return XHCI_CC_SUCCESS;
}

/* 4.6.7 */
static enum xhci_cc slot_evaluate(struct xhci *x, struct xhci_cmd *c)
{
	struct xhci_slot *s = c->slot;
	struct xhci_ctx control, slot, ep0;

	if (s->state < XHCI_SLOT_DEFAULT)
		return XHCI_CC_CONTEXT_STATE;
	if (xhci_ctx_read(x, c->trb.param, 0, &control) ||
	    xhci_ctx_read(x, c->trb.param, 1, &slot) || xhci_ctx_read(x, c->trb.param, 2, &ep0))
		return XHCI_CC_PARAMETER;
	if (control.w[1] & 1) {
		s->ctx.w[1] = (s->ctx.w[1] & ~0xffffu) | (slot.w[1] & 0xffff);
		s->ctx.w[2] = (s->ctx.w[2] & 0x3fffff) | (slot.w[2] & ~0x3fffffu);
		xhci_slot_publish(s);
	}
	if (control.w[1] & 2 && s->ep[1]) {
		s->ep[1]->ctx.w[1] = (s->ep[1]->ctx.w[1] & 0xffff) | (ep0.w[1] & ~0xffffu);
		xhci_ep_publish(s->ep[1]);
	}
	return XHCI_CC_SUCCESS;
}

/* ---- endpoints ---- */

/* 4.6.8 */
static enum xhci_cc ep_reset(struct xhci_ep *e)
{
	if (e->state != XHCI_EP_HALTED)
		return XHCI_CC_CONTEXT_STATE;
	xhci_ep_set_state(e, XHCI_EP_STOPPED);
	return XHCI_CC_SUCCESS;
}

/* 4.6.9. The TD in progress is reported as stopped; those behind it stay on the ring. */
static enum xhci_cc ep_stop(struct xhci_ep *e)
{
	if (e->state != XHCI_EP_RUNNING)
		return XHCI_CC_CONTEXT_STATE;
	for (unsigned i = 0; i < e->n_rings; i++) {
		struct xhci_ring *r = &e->ring[i];

		if (r->stopped)
			xhci_ep_event(e, r->next.addr, XHCI_CC_STOPPED, r->residue);
		r->stopped = false;
	}
	e->dry = true;
	xhci_ep_set_state(e, XHCI_EP_STOPPED);
	return XHCI_CC_SUCCESS;
}

/* 4.6.10 */
static enum xhci_cc ep_set_dequeue(struct xhci_ep *e, const struct xhci_trb *t)
{
	unsigned stream = t->status >> 16, i = e->n_rings > 1 ? stream : 0;

	if (e->state != XHCI_EP_STOPPED && e->state != XHCI_EP_ERROR)
		return XHCI_CC_CONTEXT_STATE;
	if (e->n_rings > 1 && (i < 1 || i >= e->n_rings))
		return XHCI_CC_STREAM_ID;
	if (e->n_rings > 1 && (t->param >> 1 & 7) != 1)
		return XHCI_CC_STREAM_TYPE;
	struct xhci_ring *r = &e->ring[i];

	r->next = (struct xhci_pos){ t->param & ~15ull, t->param & 1 };
	r->skip = r->edtla = 0;
	r->stopped = false;
	r->loaded = true;
	xhci_ep_set_state(e, XHCI_EP_STOPPED);
	return XHCI_CC_SUCCESS;
}

static enum xhci_cc ep_command(struct xhci_cmd *c)
{
	struct xhci_ep *e = c->slot->ep[cmd_dci(c)];

	if (!e)
		return XHCI_CC_EP_DISABLED;
	switch (xhci_trb_type(&c->trb)) {
	case XHCI_TRB_RESET_EP:
		return ep_reset(e);
	case XHCI_TRB_STOP_EP:
		return ep_stop(e);
	}
	return ep_set_dequeue(e, &c->trb);
}

/* ---- all commands ---- */

/* 4.6.15: one byte for each port. */
static enum xhci_cc bandwidth_get(struct xhci *x, uint64_t addr)
{
	uint8_t percent[2 * XHCI_PORTS_MAX + 1] = { 0 };

	for (unsigned i = 1; i <= x->n_ports; i++)
		percent[i] = BANDWIDTH;
	return guest_mem_write(x->mem_rw, GPA(addr & ~15ull), percent, x->n_ports + 1)
		       ? XHCI_CC_PARAMETER
		       : XHCI_CC_SUCCESS;
}

static enum xhci_cc slot_command(struct xhci *x, struct xhci_cmd *c)
{
	switch (xhci_trb_type(&c->trb)) {
	case XHCI_TRB_DISABLE_SLOT:
		return slot_disable(c->slot);
	case XHCI_TRB_ADDRESS:
		return slot_address(x, c);
	case XHCI_TRB_CONFIGURE:
		return slot_configure(x, c);
	case XHCI_TRB_EVALUATE:
		return slot_evaluate(x, c);
	case XHCI_TRB_RESET_DEV: /* 4.6.11 */
		if (c->slot->state < XHCI_SLOT_ADDRESSED)
			return XHCI_CC_CONTEXT_STATE;
		return slot_deconfigure(c->slot, XHCI_SLOT_DEFAULT);
	}
	return ep_command(c);
}

enum xhci_cc xhci_cmd_run(struct xhci *x, struct xhci_cmd *c, unsigned *slot)
{
	unsigned type = xhci_trb_type(&c->trb);

	switch (type) {
	case XHCI_TRB_NOOP_CMD:
		*slot = 0;
		return XHCI_CC_SUCCESS;
	case XHCI_TRB_ENABLE_SLOT:
		return slot_enable(x, slot);
	case XHCI_TRB_BANDWIDTH:
		return bandwidth_get(x, c->trb.param);
	}
	if (type < XHCI_TRB_DISABLE_SLOT || type > XHCI_TRB_RESET_DEV)
		return XHCI_CC_TRB;
	return c->slot ? slot_command(x, c) : XHCI_CC_SLOT_DISABLED;
}
