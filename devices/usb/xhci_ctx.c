/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Contexts of slots, endpoints and streams (xHCI 1.2, 6.2). Input contexts are read once. Output
 * contexts are only written: what they say is kept here, and what the guest does to them is
 * ignored.
 */
#include <stdlib.h>

#include "devices/usb/xhci_parts.h"

int xhci_ctx_read(struct xhci *x, uint64_t input, unsigned i, struct xhci_ctx *c)
{
	return guest_mem_read(x->mem, GPA((input & ~15ull) + i * sizeof(*c)), c, sizeof(*c));
}

static void ctx_write(const struct xhci_slot *s, unsigned i, const struct xhci_ctx *c)
{
	/* A wrong address is the guest's fault, and only the guest misses what is not written. */
	guest_mem_write(s->x->mem_rw, GPA(s->ctx_addr + i * sizeof(*c)), c, sizeof(*c));
}

void xhci_slot_publish(struct xhci_slot *s)
{
	s->ctx.w[3] = (uint32_t)s->state << 27 | (s->state >= XHCI_SLOT_ADDRESSED ? s->id : 0);
	ctx_write(s, 0, &s->ctx);
}

static uint64_t ring_value(const struct xhci_ring *r)
{
	return r->next.addr | (r->next.cycle ? 1 : 0);
}

static uint64_t stream_addr(const struct xhci_ep *e, unsigned stream)
{
	return ((uint64_t)e->ctx.w[3] << 32 | (e->ctx.w[2] & ~15u)) + stream * 16;
}

/* Stream contexts have the dequeue pointers of streams. */
static void streams_publish(struct xhci_ep *e)
{
	for (unsigned i = 1; i < e->n_rings; i++) {
		uint64_t val = ring_value(&e->ring[i]) | 1u << 1;

		if (e->ring[i].loaded)
			guest_mem_write(e->slot->x->mem_rw, GPA(stream_addr(e, i)), &val,
					sizeof(val));
	}
}

void xhci_ep_publish(struct xhci_ep *e)
{
	uint64_t val = ring_value(&e->ring[0]);

	e->ctx.w[0] = (e->ctx.w[0] & ~7u) | e->state;
	if (e->n_rings > 1) {
		streams_publish(e);
	} else {
		e->ctx.w[2] = (uint32_t)val;
		e->ctx.w[3] = (uint32_t)(val >> 32);
	}
	ctx_write(e->slot, e->dci, &e->ctx);
}

void xhci_ep_set_state(struct xhci_ep *e, enum xhci_ep_state state)
{
	e->state = (uint8_t)state;
	xhci_ep_publish(e);
}

enum xhci_cc xhci_stream_load(struct xhci_ep *e, unsigned stream)
{
	struct xhci_ring *r = &e->ring[stream];
	uint64_t val;

	if (guest_mem_read(e->slot->x->mem, GPA(stream_addr(e, stream)), &val, sizeof(val)))
		return XHCI_CC_STREAM_ID;
	if ((val >> 1 & 7) != 1)
		return XHCI_CC_STREAM_TYPE;
	if (!(val & ~15ull))
		return XHCI_CC_STREAM_ID;
	r->next = (struct xhci_pos){ val & ~15ull, val & 1 };
	r->loaded = true;
	return XHCI_CC_SUCCESS;
}

struct xhci_ep *xhci_ep_new(struct xhci_slot *s, unsigned dci, const struct xhci_ctx *c)
{
	unsigned streams = c->w[0] >> 10 & 31, n = streams ? 2u << streams : 1;
	struct xhci_ep *e = calloc(1, sizeof(*e) + n * sizeof(e->ring[0]));

	if (!e)
		return NULL;
	e->slot = s;
	e->dci = (uint8_t)dci;
	e->type = c->w[1] >> 3 & 7;
	e->state = XHCI_EP_RUNNING;
	e->dry = true;
	e->ctx = *c;
	e->n_rings = n;
	e->ring[0].next = (struct xhci_pos){ (uint64_t)c->w[3] << 32 | (c->w[2] & ~15u),
					     c->w[2] & 1 };
	return e;
}

void xhci_ep_free(struct xhci_slot *s, unsigned dci)
{
	static const struct xhci_ctx none;

	if (!s->ep[dci])
		return;
	ctx_write(s, dci, &none);
	free(s->ep[dci]);
	s->ep[dci] = NULL;
	s->kicked &= ~(1u << dci);
	s->dirty &= ~(1u << dci);
}

void xhci_slot_free(struct xhci_slot *s)
{
	for (unsigned dci = 1; dci < 32; dci++) {
		free(s->ep[dci]);
		s->ep[dci] = NULL;
	}
	*s = (struct xhci_slot){ .x = s->x, .id = s->id };
}
