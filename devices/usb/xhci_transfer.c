/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs of endpoints: to the device, back from it, and cancelled.
 *
 * An endpoint is kicked when it may have TDs. A turn of the thread reads them while there is room.
 * What completes is reported in the order of the ring. When an endpoint must stop, for whatever
 * reason, it is drained: its jobs are cancelled, what they had transferred is reported, and the
 * ring then stands at the first TRB that is not done. So nothing that the guest has queued is lost:
 * what is still there when the endpoint goes on runs again.
 */
#include <errno.h>
#include <string.h>

#include "devices/usb/xhci_parts.h"

static bool ep_runs(const struct xhci_ep *e)
{
	return e->state == XHCI_EP_RUNNING && !e->drain;
}

static bool ring_has_room(const struct xhci_ep *e, const struct xhci_ring *r)
{
	if (e->type == XHCI_EP_CONTROL)
		return !r->n_jobs;
	if (xhci_ep_is_isoch(e) && e->packets >= XHCI_ISOCH_MAX)
		return false;
	return r->n_jobs < XHCI_JOBS_MAX;
}

void xhci_ep_kick(struct xhci_ep *e)
{
	struct xhci *x = e->slot->x;

	e->slot->kicked |= 1u << e->dci;
	x->kicked |= 1ull << (e->slot->id - 1);
	x->more = true;
}

static void ep_dirty(struct xhci_ep *e)
{
	struct xhci *x = e->slot->x;

	e->slot->dirty |= 1u << e->dci;
	x->dirty |= 1ull << (e->slot->id - 1);
	x->more = true;
}

/* ---- the list of a ring ---- */

static void job_append(struct xhci *x, struct xhci_job *j)
{
	struct xhci_ring *r = j->ring;

	if (!r->head)
		r->tail = &r->head;
	*r->tail = j;
	r->tail = &j->next;
	r->next = j->end;
	r->skip = r->edtla = 0;
	r->stopped = false;
	r->n_jobs++;
	j->ep->n_jobs++;
	j->ep->packets += j->xfer.n_packets;
	x->n_jobs++;
	x->cost += j->cost;
}

static void job_pop(struct xhci *x, struct xhci_ring *r)
{
	struct xhci_job *j = r->head;

	r->head = j->next;
	r->n_jobs--;
	j->ep->n_jobs--;
	j->ep->packets -= j->xfer.n_packets;
	x->n_jobs--;
	if (j->orphan)
		return; /* xhci_complete() frees it */
	x->cost -= j->cost;
	xhci_job_free(j);
}

static void ring_clear(struct xhci *x, struct xhci_ring *r)
{
	while (r->head)
		job_pop(x, r);
}

/* ---- submit and complete ---- */

static bool job_is_empty(const struct xhci_job *j)
{
	unsigned type = j->rec[0].control >> 10 & 63;

	return type == XHCI_TRB_NOOP || type == XHCI_TRB_EVENT_DATA;
}

static void job_send(struct xhci *x, struct xhci_job *j, unsigned stream)
{
	struct xhci_ep *e = j->ep;
	struct xhci_socket *s = xhci_port_socket(x, e->slot->port);

	job_append(x, j);
	if (job_is_empty(j) || !s) {
		j->xfer.status = s || job_is_empty(j) ? USB_OK : USB_GONE;
		j->done = true;
		ep_dirty(e);
		return;
	}
	j->xfer.stream = (uint16_t)stream;
	e->flights++;
	s->flights++;
	s->dev->ops->submit(s->dev, &j->xfer);
}

static void orphan_complete(struct xhci *x, struct xhci_job *j)
{
	x->cost -= j->cost;
	x->freed = true;
	xhci_job_free(j);
	xhci_wake(x);
}

void xhci_complete(struct usb_device *dev, struct usb_xfer *xfer)
{
	struct xhci_job *j = container_of(xfer, struct xhci_job, xfer);
	struct xhci_socket *s = dev->owner;

	if (xfer->done > xfer->len)
		xfer->done = xfer->len;
	s->flights--;
	if (j->orphan) {
		orphan_complete(s->x, j);
		return;
	}
	j->done = true;
	j->ep->flights--;
	ep_dirty(j->ep);
	if (!s->x->in_turn)
		xhci_wake(s->x);
}

/* ---- draining ---- */

static void ring_cancel(struct xhci *x, struct xhci_ring *r)
{
	struct xhci_job *jobs[XHCI_JOBS_MAX];
	unsigned n = 0;

	for (struct xhci_job *j = r->head; j && n < XHCI_JOBS_MAX; j = j->next)
		jobs[n++] = j;
	while (n--) {
		struct xhci_socket *s = xhci_port_socket(x, jobs[n]->ep->slot->port);

		if (!jobs[n]->done && s)
			s->dev->ops->cancel(s->dev, &jobs[n]->xfer);
	}
}

void xhci_ep_drain(struct xhci_ep *e, enum xhci_drain why)
{
	bool already = e->drain != 0;

	e->drain |= why;
	ep_dirty(e);
	if (already)
		return;
	for (unsigned i = 0; i < e->n_rings; i++)
		ring_cancel(e->slot->x, &e->ring[i]);
}

void xhci_ep_undrain(struct xhci_ep *e, enum xhci_drain why)
{
	e->drain &= (uint8_t)~why;
	if (!e->drain)
		xhci_ep_kick(e);
}

static void job_abandon(struct xhci_job *j)
{
	struct usb_xfer *t = &j->xfer;

	j->orphan = j->done = true;
	j->ep->flights--;
	t->niov = 0;
	t->status = USB_CANCELLED;
	for (unsigned i = 0; i < t->n_packets; i++)
		if (!t->packet[i].done)
			t->packet[i].status = USB_CANCELLED;
}

void xhci_ep_abandon(struct xhci_ep *e)
{
	for (unsigned i = 0; i < e->n_rings; i++)
		for (struct xhci_job *j = e->ring[i].head; j; j = j->next)
			if (!j->done)
				job_abandon(j);
	ep_dirty(e);
}

/* ---- reading TDs ---- */

/* Tells the guest that a ring has a TD that cannot be (4.10.2.5). */
static void ring_invalid(struct xhci_ep *e, struct xhci_ring *r)
{
	if (r->n_jobs) /* after these, it is looked at again */
		return;
	xhci_ep_event(e, r->next.addr, XHCI_CC_TRB, 0);
	xhci_ep_set_state(e, XHCI_EP_ERROR);
	xhci_ep_drain(e, XHCI_DRAIN_SELF); /* its other streams stop, too */
}

/* An isochronous endpoint that ran has nothing to transfer (4.10.3.1). */
static void ring_ran_dry(struct xhci_ep *e)
{
	if (!xhci_ep_is_isoch(e) || e->dry || e->n_jobs)
		return;
	e->dry = true;
	xhci_ep_event(e, 0, e->type == XHCI_EP_ISO_IN ? XHCI_CC_OVERRUN : XHCI_CC_UNDERRUN, 0);
}

static void ep_retry(struct xhci_ep *e)
{
	struct xhci *x = e->slot->x;

	e->busy = true;
	if (!x->retry_ns)
		x->retry_ns = evloop_now_ns() + XHCI_RETRY_NS;
}

static void ring_pump(struct xhci_ep *e, struct xhci_ring *r, unsigned stream)
{
	struct xhci *x = e->slot->x;
	struct xhci_job *j;

	while (ep_runs(e) && ring_has_room(e, r)) {
		if (x->cost >= XHCI_BYTES_MAX) {
			ep_retry(e);
			return;
		}
		int ret = xhci_job_fetch(x, e, r, &j);

		if (ret == -ENOMEM)
			ep_retry(e);
		else if (ret < 0)
			ring_invalid(e, r);
		else if (ret == 0)
			ring_ran_dry(e);
		if (ret <= 0)
			return;
		e->dry = false;
		job_send(x, j, stream);
		if (j->done && j->xfer.status != USB_OK)
			return; /* what is behind it must not run */
	}
}

static void ep_pump(struct xhci_ep *e)
{
	if (!ep_runs(e))
		return;
	if (xhci_ep_is_isoch(e) && !xhci_port_socket(e->slot->x, e->slot->port))
		return;
	if (e->n_rings == 1) {
		ring_pump(e, &e->ring[0], 0);
		return;
	}
	for (unsigned i = 1; i < e->n_rings; i++)
		if (e->ring[i].loaded || xhci_stream_load(e, i) == XHCI_CC_SUCCESS)
			ring_pump(e, &e->ring[i], i);
}

void xhci_eps_pump(struct xhci *x)
{
	uint64_t slots = x->kicked;

	x->kicked = 0;
	for (unsigned i = 1; i <= XHCI_SLOTS; i++) {
		struct xhci_slot *s = &x->slot[i];
		uint32_t eps = s->kicked;

		if (!(slots >> (i - 1) & 1))
			continue;
		s->kicked = 0;
		for (unsigned dci = 1; dci < 32; dci++)
			if (eps >> dci & 1 && s->ep[dci])
				ep_pump(s->ep[dci]);
	}
}

/* ---- what has completed ---- */

static enum xhci_cc status_cc(enum usb_status s)
{
	if (s == USB_STALL)
		return XHCI_CC_STALL;
	return s == USB_BABBLE ? XHCI_CC_BABBLE : XHCI_CC_TRANSACTION;
}

/* A job that was cancelled too late is like any other. */
static bool job_is_fine(const struct xhci_job *j)
{
	const struct usb_xfer *t = &j->xfer;

	if (t->status == USB_OK)
		return true;
	if (t->n_packets)
		return t->status != USB_CANCELLED && t->status != USB_BUSY;
	return t->status == USB_CANCELLED && t->len && t->done == t->len && t->endpoint & 0x7f;
}

/* The endpoint halts at the TD (4.10.2.1); those behind it did not run. */
static void ring_fail(struct xhci_ep *e, struct xhci_ring *r)
{
	struct xhci *x = e->slot->x;
	struct xhci_job *j = r->head;

	xhci_job_report_error(x, j, status_cc(j->xfer.status));
	r->next = xhci_rec_pos(&j->rec[0]);
	ring_clear(x, r);
	x->freed = true;
	e->state = XHCI_EP_HALTED;
}

/* The jobs of a ring that has nothing in flight, from the first one that is not fine on. */
static void ring_rest(struct xhci_ep *e, struct xhci_ring *r)
{
	struct xhci *x = e->slot->x;
	struct xhci_job *j = r->head;

	if (j->xfer.status == USB_CANCELLED || j->xfer.status == USB_BUSY) {
		if (!(e->drain & ~XHCI_DRAIN_SELF)) /* nobody has asked for it */
			ep_retry(e);
		xhci_job_report_part(x, j);
		ring_clear(x, r);
	} else {
		ring_fail(e, r);
	}
}

static void ring_settle(struct xhci_ep *e, struct xhci_ring *r)
{
	struct xhci *x = e->slot->x;

	while (r->head && r->head->done && job_is_fine(r->head)) {
		xhci_job_report(x, r->head);
		job_pop(x, r);
		x->freed = true;
	}
	if (!r->head || !r->head->done)
		return;
	if (e->flights)
		xhci_ep_drain(e, XHCI_DRAIN_SELF);
	else
		ring_rest(e, r);
}

static void ep_settle(struct xhci_ep *e)
{
	uint8_t before = e->state;

	for (unsigned i = 0; i < e->n_rings; i++)
		ring_settle(e, &e->ring[i]);
	if (e->state != before)
		xhci_ep_publish(e);
	if (!e->n_jobs && e->drain & XHCI_DRAIN_SELF)
		xhci_ep_undrain(e, XHCI_DRAIN_SELF);
	else if (ep_runs(e) && !e->busy)
		xhci_ep_kick(e);
}

void xhci_eps_settle(struct xhci *x)
{
	uint64_t slots = x->dirty;

	x->dirty = 0;
	for (unsigned i = 1; i <= XHCI_SLOTS; i++) {
		struct xhci_slot *s = &x->slot[i];
		uint32_t eps = s->dirty;

		if (!(slots >> (i - 1) & 1))
			continue;
		s->dirty = 0;
		for (unsigned dci = 1; dci < 32; dci++)
			if (eps >> dci & 1 && s->ep[dci])
				ep_settle(s->ep[dci]);
	}
}

/* ---- doorbells ---- */

static void ep_ring_bell(struct xhci_ep *e)
{
	if (e->state == XHCI_EP_STOPPED)
		xhci_ep_set_state(e, XHCI_EP_RUNNING);
	if (e->state == XHCI_EP_RUNNING)
		xhci_ep_kick(e);
}

void xhci_bells_work(struct xhci *x)
{
	uint32_t bell[XHCI_SLOTS + 1];
	uint64_t slots;

	pthread_mutex_lock(&x->pci.lock);
	slots = x->regs.slots_rung;
	if (slots) {
		memcpy(bell, x->regs.bell, sizeof(bell));
		memset(x->regs.bell, 0, sizeof(bell));
		x->regs.slots_rung = 0;
	}
	pthread_mutex_unlock(&x->pci.lock);
	for (unsigned i = 1; slots && i <= XHCI_SLOTS; i++)
		for (unsigned dci = 1; bell[i] && dci < 32; dci++)
			if (bell[i] >> dci & 1 && x->slot[i].ep[dci])
				ep_ring_bell(x->slot[i].ep[dci]);
}

/* ---- all endpoints ---- */

void xhci_slot_each(struct xhci_slot *s, void (*fn)(struct xhci_ep *))
{
	for (unsigned dci = 1; dci < 32; dci++)
		if (s->ep[dci])
			fn(s->ep[dci]);
}

void xhci_each_ep(struct xhci *x, void (*fn)(struct xhci_ep *))
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		if (x->slot[i].enabled)
			xhci_slot_each(&x->slot[i], fn);
}
