/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which events a job causes (xHCI 1.2, 4.10.1 and 4.11.5.2).
 *
 * A TRB with IOC causes one. Where a TD ends early, IOC or ISP cause a Short Packet event, and each
 * later TRB with IOC causes another one. An Event Data TRB reports the length of the TD since the
 * one before it. An error is always reported, at the TRB where the data ended.
 */
#include "devices/usb/xhci_parts.h"

/* A walk over the TRBs of a job. */
struct walk {
	struct xhci *x;
	struct xhci_job *j;
	uint64_t left; /* bytes that were transferred and belong to TRBs from here on */
	uint32_t edtla;
	bool was_short;
};

static unsigned walk_type(const struct xhci_rec *r)
{
	return r->control >> 10 & 63;
}

static void walk_event(struct walk *w, const struct xhci_rec *r, enum xhci_cc cc, uint32_t length)
{
	const struct xhci_ep *e = w->j->ep;
	bool data = walk_type(r) == XHCI_TRB_EVENT_DATA;
	struct xhci_trb t = {
		.param = data ? r->param : r->addr,
		.status = (length & XHCI_EV_LENGTH) | (uint32_t)cc << 24,
		.control = XHCI_TRB_EV_TRANSFER << 10 | (uint32_t)e->dci << 16 |
			   (uint32_t)e->slot->id << 24 | (data ? XHCI_TRB_ED : 0),
	};
	bool fine = cc == XHCI_CC_SUCCESS || cc == XHCI_CC_SHORT;

	xhci_event_push(w->x, &t, fine && r->control & XHCI_TRB_BEI);
}

void xhci_ep_event(struct xhci_ep *e, uint64_t addr, enum xhci_cc cc, uint32_t length)
{
	struct xhci_trb t = {
		.param = addr,
		.status = (length & XHCI_EV_LENGTH) | (uint32_t)cc << 24,
		.control = XHCI_TRB_EV_TRANSFER << 10 | (uint32_t)e->dci << 16 |
			   (uint32_t)e->slot->id << 24,
	};

	xhci_event_push(e->slot->x, &t, false);
}

/* Counts the data of a TRB; returns what is missing. */
static uint32_t walk_take(struct walk *w, const struct xhci_rec *r)
{
	uint32_t take = w->left < r->len ? (uint32_t)w->left : r->len;

	w->left -= take;
	w->edtla += take;
	return r->len - take;
}

/* A TRB that is done, or behind the place where a short TD ended. */
static void walk_done(struct walk *w, const struct xhci_rec *r, uint32_t residue)
{
	bool first = residue && !w->was_short;
	bool ioc = r->control & XHCI_TRB_IOC;
	bool data_event = walk_type(r) == XHCI_TRB_EVENT_DATA;

	w->was_short |= residue != 0;
	if (data_event)
		residue = w->edtla;
	if (ioc || (first && r->control & XHCI_TRB_ISP))
		walk_event(w, r, w->was_short ? XHCI_CC_SHORT : XHCI_CC_SUCCESS, residue);
	if (data_event)
		w->edtla = 0;
	if (!(r->control & XHCI_TRB_CH)) {
		w->was_short = false;
		w->edtla = 0;
	}
}

static struct walk walk_begin(struct xhci *x, struct xhci_job *j)
{
	return (struct walk){
		.x = x, .j = j, .left = (uint64_t)j->xfer.done + j->skip, .edtla = j->edtla
	};
}

/* ---- isochronous: each packet has its own result ---- */

static enum xhci_cc packet_cc(enum usb_status s)
{
	if (s == USB_OK)
		return XHCI_CC_SUCCESS;
	if (s == USB_CANCELLED || s == USB_BUSY)
		return XHCI_CC_MISSED_SERVICE;
	return s == USB_BABBLE ? XHCI_CC_BABBLE : XHCI_CC_TRANSACTION;
}

/* The TD of a packet that begins with TRB i. Returns the first TRB behind it. */
static unsigned packet_report(struct walk *w, unsigned i, const struct usb_packet *p)
{
	enum xhci_cc cc = packet_cc(p->status);
	const struct xhci_rec *r;

	w->left = p->done;
	do {
		r = &w->j->rec[i++];
		uint32_t residue = walk_take(w, r);

		if (cc == XHCI_CC_SUCCESS)
			walk_done(w, r, residue);
		else if (!(r->control & XHCI_TRB_CH))
			walk_event(w, r, cc, residue);
	} while (r->control & XHCI_TRB_CH && i < w->j->n_recs);
	w->was_short = false;
	w->edtla = 0;
	return i;
}

/* Reports packets; stops before the first one that was cancelled, if `part`. */
static unsigned packets_report(struct walk *w, bool part)
{
	const struct usb_xfer *xfer = &w->j->xfer;
	unsigned i = 0;

	for (unsigned n = 0; n < xfer->n_packets; n++) {
		if (part &&
		    (xfer->packet[n].status == USB_CANCELLED || xfer->packet[n].status == USB_BUSY))
			break;
		i = packet_report(w, i, &xfer->packet[n]);
	}
	return i;
}

/* ---- all jobs ---- */

void xhci_job_report(struct xhci *x, struct xhci_job *j)
{
	struct walk w = walk_begin(x, j);

	if (j->xfer.n_packets) {
		packets_report(&w, false);
		return;
	}
	for (unsigned i = 0; i < j->n_recs; i++)
		walk_done(&w, &j->rec[i], walk_take(&w, &j->rec[i]));
}

/* The TRB at which an error is reported: the one that lacks data, or else the last one. */
static unsigned error_rec(const struct xhci_job *j)
{
	uint64_t left = (uint64_t)j->xfer.done + j->skip;
	unsigned last = 0;

	for (unsigned i = 0; i < j->n_recs; i++) {
		if (left < j->rec[i].len)
			return i;
		left -= j->rec[i].len;
		if (walk_type(&j->rec[i]) != XHCI_TRB_EVENT_DATA)
			last = i;
	}
	return last;
}

void xhci_job_report_error(struct xhci *x, struct xhci_job *j, enum xhci_cc cc)
{
	struct walk w = walk_begin(x, j);
	unsigned at = error_rec(j);

	for (unsigned i = 0; i < at; i++)
		walk_done(&w, &j->rec[i], walk_take(&w, &j->rec[i]));
	walk_event(&w, &j->rec[at], cc, walk_take(&w, &j->rec[at]));
}

/* The TRBs of a bulk or interrupt TD that are done. Returns the first one that is not. */
static unsigned part_walk(struct walk *w)
{
	unsigned i;

	for (i = 0; i + 1 < w->j->n_recs; i++) {
		const struct xhci_rec *r = &w->j->rec[i];

		if (w->left < r->len || (!w->left && walk_type(r) == XHCI_TRB_NORMAL))
			break;
		walk_done(w, r, walk_take(w, r));
	}
	return i;
}

void xhci_job_report_part(struct xhci *x, struct xhci_job *j)
{
	struct xhci_ring *ring = j->ring;
	struct walk w = walk_begin(x, j);
	unsigned type = walk_type(&j->rec[0]), at = 0;

	if (j->xfer.n_packets) {
		at = packets_report(&w, true);
	} else if (type == XHCI_TRB_NORMAL) {
		at = part_walk(&w);
		ring->skip = (uint32_t)w.left;
		ring->edtla = w.edtla;
		ring->stopped = true;
	} else if (type == XHCI_TRB_SETUP) {
		ring->stopped = true; /* it will run again from its start */
	}
	if (at == j->n_recs) {
		ring->next = j->end;
		return;
	}
	ring->residue = j->rec[at].len - ring->skip;
	ring->next = xhci_rec_pos(&j->rec[at]);
}
