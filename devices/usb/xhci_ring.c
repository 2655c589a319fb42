/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads transfer descriptors (TDs) from the guest's rings (xHCI 1.2, 4.9, 4.11 and 6.4).
 *
 * A TD is read when all of it is there; each TRB is read once, and only the copy is used. It
 * becomes a job: the TRBs, the memory that they describe, and the transfer for the device. A
 * control transfer has two or three TDs, and an isochronous job has several, one for each packet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/usb/xhci_parts.h"
#include "vmm/core/iov.h"

#define CONTROL_TDS 3u
#define REC_COST    64u

static int trb_read(struct xhci *x, const struct xhci_pos *pos, struct xhci_trb *t)
{
	const uint32_t *control = guest_mem_near(x->mem, &x->last_trb, GPA(pos->addr + 12), 4);

	if (!control)
		return -EINVAL;
	/* The guest writes the dword with the cycle bit last. */
	t->control = __atomic_load_n(control, __ATOMIC_ACQUIRE);
	if ((t->control & XHCI_TRB_C) != pos->cycle)
		return 0;
	return guest_mem_read(x->mem, GPA(pos->addr), t, 12) ? -EINVAL : 1;
}

int xhci_trb_next(struct xhci *x, struct xhci_pos *pos, struct xhci_trb *t, unsigned *links)
{
	for (;;) {
		int ret = trb_read(x, pos, t);

		if (ret <= 0 || xhci_trb_type(t) != XHCI_TRB_LINK)
			return ret;
		if (++*links > XHCI_TD_LINKS)
			return -EINVAL;
		pos->addr = t->param & ~15ull;
		pos->cycle ^= !!(t->control & XHCI_TRB_TC);
	}
}

static bool rec_has_data(const struct xhci_rec *r)
{
	unsigned type = r->control >> 10 & 63;

	return type == XHCI_TRB_NORMAL || type == XHCI_TRB_DATA || type == XHCI_TRB_ISOCH;
}

static unsigned rec_type(const struct xhci_rec *r)
{
	return r->control >> 10 & 63;
}

/* What is being read. */
struct reader {
	struct xhci *x;
	const struct xhci_ep *e;
	struct xhci_pos pos;
	unsigned links, n, tds; /* n: records */
	uint64_t len;
};

/* Reads a TD to the end of recs. 1: it is whole. 0: it is not; -EINVAL. */
static int td_read(struct reader *r)
{
	struct xhci_trb t;
	int ret;

	do {
		if (r->n == XHCI_TD_TRBS)
			return -EINVAL;
		ret = xhci_trb_next(r->x, &r->pos, &t, &r->links);
		if (ret <= 0)
			return ret;
		struct xhci_rec *rec = &r->x->recs[r->n++];

		*rec = (struct xhci_rec){ r->pos.addr, t.param, 0, t.control };
		if (rec_has_data(rec))
			rec->len = t.status & XHCI_TRB_LEN;
		r->len += rec->len;
		r->pos.addr += sizeof(t);
	} while (t.control & XHCI_TRB_CH);
	r->tds++;
	return r->len > XHCI_TD_BYTES ? -EINVAL : 1;
}

/* The types that may follow the first TRB of a TD. */
static bool td_body_ok(const struct xhci_rec *rec, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (rec_type(&rec[i]) != XHCI_TRB_NORMAL &&
		    rec_type(&rec[i]) != XHCI_TRB_EVENT_DATA && rec_type(&rec[i]) != XHCI_TRB_NOOP)
			return false;
	return true;
}

/* Setup, perhaps Data, and Status (4.11.2.2). */
static int control_read(struct reader *r)
{
	const struct xhci_rec *recs = r->x->recs;
	unsigned first = 0;
	int ret;

	do {
		first = r->n;
		ret = td_read(r);
		if (ret <= 0)
			return ret;
		unsigned type = rec_type(&recs[first]);

		if (!td_body_ok(&recs[first], r->n - first))
			return -EINVAL;
		if (r->tds == 1 && (type == XHCI_TRB_NOOP || type == XHCI_TRB_EVENT_DATA))
			return 1;
		if ((r->tds == 1) != (type == XHCI_TRB_SETUP))
			return -EINVAL;
		if (r->tds == 2 && type != XHCI_TRB_DATA && type != XHCI_TRB_STATUS)
			return -EINVAL;
	} while (r->tds < CONTROL_TDS && rec_type(&recs[first]) != XHCI_TRB_STATUS);
	return rec_type(&recs[first]) == XHCI_TRB_STATUS ? 1 : -EINVAL;
}

static int normal_read(struct reader *r)
{
	const struct xhci_rec *rec = r->x->recs;
	int ret = td_read(r);

	if (ret <= 0)
		return ret;
	unsigned type = rec_type(rec);

	return (type == XHCI_TRB_NORMAL || type == XHCI_TRB_NOOP || type == XHCI_TRB_EVENT_DATA) &&
			       td_body_ok(rec, r->n)
		       ? 1
		       : -EINVAL;
}

/* Packets up to the first one that raises an interrupt, which is how a driver marks the end of what
 * belongs together (4.17.5). */
static int isoch_read(struct reader *r)
{
	const struct xhci_rec *recs = r->x->recs;

	do {
		struct reader before = *r;
		int ret = td_read(r);
		unsigned type = ret > 0 ? rec_type(&recs[before.n]) : 0;

		if (ret > 0 && (type == XHCI_TRB_NOOP || type == XHCI_TRB_EVENT_DATA) &&
		    !before.tds)
			return 1;
		if (ret > 0 &&
		    (type != XHCI_TRB_ISOCH || !td_body_ok(&recs[before.n], r->n - before.n)))
			ret = -EINVAL;
		if (ret <= 0) {
			*r = before; /* it is looked at again when those before it are gone */
			return before.tds ? 1 : ret;
		}
	} while (r->tds < XHCI_PACKETS_MAX && recs[r->n - 1].control & XHCI_TRB_BEI &&
		 r->n < XHCI_TD_TRBS);
	return 1;
}

static int job_read(struct reader *r)
{
	if (r->e->type == XHCI_EP_CONTROL)
		return control_read(r);
	return xhci_ep_is_isoch(r->e) ? isoch_read(r) : normal_read(r);
}

/* ---- the job ---- */

void xhci_job_free(struct xhci_job *j)
{
	free(j->xfer.packet);
	free(j->iov);
	free(j);
}

static int rec_iov(struct xhci *x, struct xhci_rec *rec, bool in, struct iovec *iov, unsigned max)
{
	if (!rec->len)
		return 0;
	if (!(rec->control & XHCI_TRB_IDT))
		return guest_mem_iov(x->mem, GPA(rec->param), rec->len,
				     in ? MEM_ACCESS_WRITE : MEM_ACCESS_READ, iov, max);
	if (in || rec->len > sizeof(rec->param) || !max)
		return -EINVAL;
	*iov = (struct iovec){ &rec->param, rec->len };
	return 1;
}

/* Looks up the memory of all TRBs. */
static int job_map(struct xhci *x, struct xhci_job *j, bool in)
{
	unsigned n = 0, empty;

	for (unsigned i = 0; i < j->n_recs; i++) {
		int ret = rec_iov(x, &j->rec[i], in, &x->iovs[n], ARRAY_SIZE(x->iovs) - n);

		if (ret < 0)
			return -EINVAL;
		n += (unsigned)ret;
	}
	empty = iov_skip(x->iovs, n, j->skip);
	j->xfer.niov = n - empty;
	j->iov = calloc(n - empty + 1, sizeof(*j->iov));
	if (!j->iov)
		return -ENOMEM;
	memcpy(j->iov, x->iovs + empty, (n - empty) * sizeof(*j->iov));
	j->xfer.iov = j->iov;
	return 0;
}

static int job_packets(struct xhci_job *j, unsigned n)
{
	struct usb_packet *p = calloc(n, sizeof(*p));

	if (!p)
		return -ENOMEM;
	j->xfer.packet = p;
	j->xfer.n_packets = n;
	for (unsigned i = 0; i < j->n_recs; i++) {
		p->len += j->rec[i].len;
		if (!(j->rec[i].control & XHCI_TRB_CH))
			p++;
	}
	return 0;
}

/* The direction of a control transfer is in its setup packet; wLength is the real length. */
static int job_setup(struct xhci_job *j)
{
	const struct xhci_rec *rec = j->rec;
	unsigned length;

	if (!(rec->control & XHCI_TRB_IDT))
		return -EINVAL;
	memcpy(j->xfer.setup, &rec->param, sizeof(j->xfer.setup));
	length = j->xfer.setup[6] | (unsigned)j->xfer.setup[7] << 8;
	if (j->xfer.len < length)
		return -EINVAL;
	j->xfer.len = length;
	return 0;
}

static int job_fill(struct reader *r, struct xhci_job *j)
{
	unsigned type = rec_type(j->rec);
	bool in = xhci_ep_address(r->e) & 0x80;
	int ret = 0;

	j->xfer.len = (uint32_t)r->len;
	j->xfer.endpoint = (uint8_t)xhci_ep_address(r->e);
	if (type == XHCI_TRB_SETUP) {
		ret = job_setup(j);
		in = j->xfer.setup[0] & 0x80;
	} else if (type == XHCI_TRB_ISOCH) {
		ret = job_packets(j, r->tds);
	} else if (type == XHCI_TRB_NORMAL && j->ring->skip < j->rec->len) {
		j->skip = j->ring->skip;
		j->edtla = j->ring->edtla;
		j->xfer.len -= j->skip;
	}
	return ret ? ret : job_map(r->x, j, in);
}

int xhci_job_fetch(struct xhci *x, struct xhci_ep *e, struct xhci_ring *ring, struct xhci_job **out)
{
	struct reader r = { .x = x, .e = e, .pos = ring->next };
	int ret = job_read(&r);

	if (ret <= 0)
		return ret;
	struct xhci_job *j = calloc(1, sizeof(*j) + r.n * sizeof(j->rec[0]));

	if (!j)
		return -ENOMEM;
	j->ep = e;
	j->ring = ring;
	j->n_recs = r.n;
	j->end = r.pos;
	j->cost = r.len + r.n * REC_COST;
	memcpy(j->rec, x->recs, r.n * sizeof(j->rec[0]));
	ret = job_fill(&r, j);
	if (ret) {
		xhci_job_free(j);
		return ret;
	}
	*out = j;
	return 1;
}
