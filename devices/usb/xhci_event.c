/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events and the interrupt (xHCI 1.2, 4.9.4 and 4.17).
 *
 * An event first goes to our own queue, and then to the guest's ring as far as that has room. So
 * a full ring loses nothing: the rest waits, and meanwhile no TD and no command is read, which
 * bounds the queue.
 *
 * An interrupt that is due (IPE) stays due until it is raised: while EHB is set, the guest's write
 * to ERDP looks again; within the moderation interval, the timer of the thread does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/msix.h"
#include "devices/usb/xhci_parts.h"
#include "vmm/core/cleanup.h"

#define QUEUE_MIN 64u
#define QUEUE_MAX (1u << 20)
#define SEG_MIN	  16u
#define SEG_MAX	  4096u
#define IMOD_NS	  250u

/* ---- the queue ---- */

static int queue_grow(struct xhci_queue *q)
{
	unsigned size = q->size ? 2 * q->size : QUEUE_MIN;
	struct xhci_event *ev = size <= QUEUE_MAX ? calloc(size, sizeof(*ev)) : NULL;

	if (!ev)
		return -ENOMEM;
	for (unsigned i = 0; i < q->n; i++)
		ev[i] = q->ev[(q->first + i) & (q->size - 1)];
	free(q->ev);
	*q = (struct xhci_queue){ .ev = ev, .n = q->n, .size = size };
	return 0;
}

void xhci_event_push(struct xhci *x, const struct xhci_trb *trb, bool silent)
{
	struct xhci_queue *q = &x->queue;

	if (q->n == q->size && queue_grow(q)) {
		xhci_fail(x, "the host has no memory for its events");
		return;
	}
	q->ev[(q->first + q->n++) & (q->size - 1)] = (struct xhci_event){ *trb, silent };
	x->more = true;
}

void xhci_events_reset(struct xhci *x)
{
	free(x->queue.ev);
	memset(&x->queue, 0, sizeof(x->queue));
	x->n_seg = 0;
	x->event_out = false;
}

/* ---- the ring ---- */

struct erst_entry {
	uint64_t addr;
	uint32_t size, reserved;
};
static_assert(sizeof(struct erst_entry) == 16, "xHCI 1.2 6.5");

/* Reads the segment table (6.5), as the guest wants it with a write to ERSTBA. */
static void segments_load(struct xhci *x, uint64_t base, unsigned n)
{
	struct erst_entry e[1u << XHCI_ERST_MAX];

	x->n_seg = 0;
	x->er_seg = x->er_index = 0;
	x->er_cycle = true;
	if (!n || n > ARRAY_SIZE(e) || guest_mem_read(x->mem, GPA(base), e, n * sizeof(e[0]))) {
		xhci_fail(x, "the segment table of its event ring is not valid");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		x->seg[i] = (struct xhci_segment){ e[i].addr & ~63ull, e[i].size & 0xffff };
		if (x->seg[i].size < SEG_MIN || x->seg[i].size > SEG_MAX) {
			xhci_fail(x, "a segment of its event ring has a wrong size");
			return;
		}
	}
	x->n_seg = n;
}

static uint64_t segment_addr(const struct xhci *x, unsigned seg, unsigned index)
{
	return x->seg[seg].addr + index * sizeof(struct xhci_trb);
}

/* The address `ahead` places behind the enqueue pointer; 0, 1 or 2. */
static uint64_t event_addr(const struct xhci *x, unsigned ahead)
{
	unsigned seg = x->er_seg, index = x->er_index + ahead;

	if (index >= x->seg[seg].size) {
		index -= x->seg[seg].size;
		seg = (seg + 1) % x->n_seg;
	}
	return segment_addr(x, seg, index);
}

static void event_write(struct xhci *x, const struct xhci_trb *t)
{
	struct xhci_trb out = *t;
	uint64_t at = event_addr(x, 0);

	out.control = (t->control & ~XHCI_TRB_C) | (x->er_cycle ? XHCI_TRB_C : 0);
	uint32_t *control = guest_mem_near(x->mem, &x->last_event, GPA(at + 12), 4);

	if (!control || guest_mem_write(x->mem_rw, GPA(at), &out, 12)) {
		xhci_fail(x, "its event ring is not in memory");
		return;
	}
	/* Pairs with the guest, which polls the cycle bit, and reads the rest afterwards. */
	__atomic_store_n(control, out.control, __ATOMIC_RELEASE);
	if (++x->er_index < x->seg[x->er_seg].size)
		return;
	x->er_index = 0;
	if (++x->er_seg < x->n_seg)
		return;
	x->er_seg = 0;
	x->er_cycle = !x->er_cycle;
}

/* One place stays for Event Ring Full (4.9.4), if more waits than fits. */
static bool event_fits(struct xhci *x, uint64_t erdp)
{
	static const struct xhci_trb full = { .status = (uint32_t)XHCI_CC_RING_FULL << 24,
					      .control = XHCI_TRB_EV_HOST << 10 };

	if (event_addr(x, 1) == erdp)
		return false;
	if (event_addr(x, 2) != erdp || x->queue.n == 1)
		return true;
	event_write(x, &full);
	x->event_out = true;
	return false;
}

static void queue_flush(struct xhci *x, uint64_t erdp)
{
	struct xhci_queue *q = &x->queue;

	while (q->n && x->n_seg && event_fits(x, erdp)) {
		const struct xhci_event *e = &q->ev[q->first];

		event_write(x, &e->trb);
		if (!e->silent)
			x->event_out = true;
		q->first = (q->first + 1) & (q->size - 1);
		q->n--;
	}
}

void xhci_events_flush(struct xhci *x)
{
	uint64_t erdp, base;
	unsigned n_seg;
	bool load;

	pthread_mutex_lock(&x->pci.lock);
	erdp = x->regs.erdp & ~15ull;
	base = x->regs.erstba & ~63ull;
	n_seg = x->regs.erstsz;
	load = x->regs.erst_loaded;
	x->regs.erst_loaded = false;
	pthread_mutex_unlock(&x->pci.lock);
	if (load)
		segments_load(x, base, n_seg);
	queue_flush(x, erdp);
	scoped_lock(&x->pci.lock);
	if (x->n_seg)
		x->regs.er_enqueue = event_addr(x, 0);
	if (x->event_out)
		x->regs.ipe = true;
	x->event_out = false;
	x->regs.full = x->queue.n != 0;
	if (x->regs.full && (x->regs.erdp & ~15ull) != erdp)
		x->more = true; /* the guest has made room meanwhile */
}

/* ---- the interrupt; under the lock ---- */

/* IP goes out as a message, and clears itself (5.5.2.1), or drives the line. */
void xhci_intr_update(struct xhci *x)
{
	struct xhci_regs *r = &x->regs;
	bool on = r->iman & XHCI_IMAN_IP && r->iman & XHCI_IMAN_IE && r->usbcmd & XHCI_CMD_INTE;
	bool msix = msix_enabled(&x->pci);

	if (r->ended) /* it leaves its bus */
		return;
	if (on && msix) {
		msix_notify(&x->pci, 0);
		r->iman &= ~XHCI_IMAN_IP;
	}
	pci_set_intx(&x->pci, on && !msix);
}

uint64_t xhci_intr_try(struct xhci *x)
{
	struct xhci_regs *r = &x->regs;
	uint64_t now, interval = (r->imod & 0xffff) * (uint64_t)IMOD_NS;

	if (!r->ipe || r->erdp & XHCI_ERDP_EHB || !(r->usbcmd & XHCI_CMD_RUN))
		return 0;
	now = evloop_now_ns();
	/* The guest may have made the interval shorter meanwhile. */
	if (now < r->imod_until && r->imod_until - now <= interval)
		return r->imod_until;
	r->ipe = false;
	r->erdp |= XHCI_ERDP_EHB;
	r->iman |= XHCI_IMAN_IP;
	r->usbsts |= XHCI_STS_EINT;
	r->imod_until = now + interval;
	xhci_intr_update(x);
	return 0;
}

void xhci_erdp_write(struct xhci *x, uint64_t val)
{
	struct xhci_regs *r = &x->regs;
	uint64_t busy = r->erdp & ~val & XHCI_ERDP_EHB;

	r->erdp = (val & ~(uint64_t)XHCI_ERDP_EHB) | busy;
	if (val & XHCI_ERDP_EHB && r->er_enqueue && r->er_enqueue != (val & ~15ull))
		r->ipe = true;
	/* There is room for what waits, or a timer is needed. Most writes need no turn. */
	if (xhci_intr_try(x) || r->full)
		xhci_wake(x);
}
