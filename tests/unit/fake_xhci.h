/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's driver for the USB controller, in a machine with 1 MiB of memory, and a device that
 * completes its transfers when the test says so. It uses no test library. */
#ifndef TESTS_UNIT_FAKE_XHCI_H
#define TESTS_UNIT_FAKE_XHCI_H

#include "devices/usb/xhci_parts.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/ring.h"

#define HC_DEVFN PCI_DEVFN(4, 0)
#define HC_BAR	 0xe0000000u

/* Guest memory. */
#define HC_DCBAA   0x1000u
#define HC_CMDS	   0x2000u /* 256 TRBs; the last one is a link */
#define HC_ERST	   0x3000u
#define HC_EVENTS  0x4000u /* two segments */
#define HC_INPUT   0x7000u
#define HC_CTX	   0x8000u /* + 0x400 for each slot */
#define HC_STREAMS 0xf000u
#define HC_RING	   0x10000u /* + 0x1000 for each DCI; 256 TRBs, the last one is a link */
#define HC_DATA	   0x40000u

#define HC_FLIGHTS 256u

struct fake_usb {
	struct usb_device dev;
	bool automatic; /* control transfers succeed at once */
	struct usb_xfer *flight[HC_FLIGHTS];
	unsigned n, submitted, cancelled, resets, detached;
	struct usb_xfer last; /* a copy of the one that was submitted last */
	uint32_t cancel_done; /* what the oldest one has transferred when it is cancelled */
	bool slow_cancel;     /* the test completes what was cancelled */
	bool busy;	      /* the host lacks memory */
};

struct hc {
	struct fake_root f;
	struct ring r;
	struct xhci *x;
	struct fake_usb usb;
	void (*turn)(struct hc *);
	unsigned n_segs, seg_size;
	unsigned cmd, ring[32];
	bool cmd_cycle, cycle[32];
	unsigned er_seg, er_index;
	bool er_cycle;
};

static inline uint32_t hc_reg(struct hc *h, unsigned off)
{
	return (uint32_t)bus_read(h->f.root.mmio, HC_BAR + off, 4);
}

static inline void hc_set(struct hc *h, unsigned off, uint32_t val)
{
	bus_write(h->f.root.mmio, HC_BAR + off, 4, val);
}

static inline void hc_set64(struct hc *h, unsigned off, uint64_t val)
{
	hc_set(h, off, (uint32_t)val);
	hc_set(h, off + 4, (uint32_t)(val >> 32));
}

#define HC_OPER(reg)  (XHCI_OPER + (reg))
#define HC_RT(reg)    (XHCI_RUNTIME + 0x20 + (reg))
#define HC_PORTSC(n)  (XHCI_OPER + XHCI_PORTS + 0x10 * ((n)-1))
#define HC_TYPE(type) ((uint32_t)(type) << 10)

static inline char *hc_mem(struct hc *h, uint32_t addr)
{
	return h->r.ram + addr + (addr >= RING_MEM / 2 ? RING_MEM / 2 : 0);
}

static inline struct xhci_ctx *hc_ctx(struct hc *h, unsigned slot, unsigned i)
{
	return (struct xhci_ctx *)hc_mem(h, HC_CTX + slot * 0x400 + i * 32);
}

static inline struct xhci_ctx *hc_input(struct hc *h, unsigned i)
{
	return (struct xhci_ctx *)hc_mem(h, HC_INPUT + i * 32);
}

/* ---- the device ---- */

static inline void fake_usb_done(struct fake_usb *u, unsigned i, uint32_t done,
				 enum usb_status status)
{
	struct usb_xfer *t = u->flight[i];

	u->n--;
	memmove(&u->flight[i], &u->flight[i + 1], (u->n - i) * sizeof(t));
	t->done = done;
	t->status = status;
	u->dev.complete(&u->dev, t);
}

static inline void fake_usb_submit(struct usb_device *dev, struct usb_xfer *t)
{
	struct fake_usb *u = container_of(dev, struct fake_usb, dev);

	u->submitted++;
	u->last = *t;
	u->flight[u->n++] = t;
	if (u->busy || u->n == HC_FLIGHTS)
		fake_usb_done(u, u->n - 1, 0, USB_BUSY);
	else if (u->automatic && !(t->endpoint & 0x7f))
		fake_usb_done(u, u->n - 1, t->len, USB_OK);
}

static inline void fake_usb_cancel(struct usb_device *dev, struct usb_xfer *t)
{
	struct fake_usb *u = container_of(dev, struct fake_usb, dev);

	u->cancelled++;
	if (u->slow_cancel)
		return;
	for (unsigned i = 0; i < u->n; i++) {
		if (u->flight[i] != t)
			continue;
		if (t->n_packets)
			for (unsigned k = 0; k < t->n_packets; k++)
				if (!t->packet[k].done)
					t->packet[k].status = USB_CANCELLED;
		fake_usb_done(u, i, i == 0 && u->cancel_done <= t->len ? u->cancel_done : 0,
			      USB_CANCELLED);
		return;
	}
}

static inline void fake_usb_reset(struct usb_device *dev)
{
	container_of(dev, struct fake_usb, dev)->resets++;
}

static inline void fake_usb_detached(struct usb_device *dev)
{
	container_of(dev, struct fake_usb, dev)->detached++;
}

static inline void fake_usb_init(struct fake_usb *u, enum usb_speed speed)
{
	static const struct usb_device_ops ops = { .submit = fake_usb_submit,
						   .cancel = fake_usb_cancel,
						   .reset = fake_usb_reset,
						   .detached = fake_usb_detached };

	memset(u, 0, sizeof(*u));
	u->dev = (struct usb_device){ .ops = &ops, .speed = speed, .name = "fake" };
	u->automatic = true;
}

/* ---- the driver ---- */

static inline int hc_init(struct hc *h, void (*turn)(struct hc *))
{
	struct error err = { 0 };

	memset(h, 0, sizeof(*h));
	h->turn = turn;
	fake_root_init(&h->f);
	if (ring_memory(&h->r))
		return -1;
	h->f.root.mem = h->r.mem;
	h->x = xhci_new(&h->f.root, &h->f.root.bus, HC_DEVFN, 0, &err);
	if (!h->x)
		return -1;
	pci_cfg_write(&h->f.root, 0, HC_DEVFN, PCI_BASE_ADDRESS_0, 4, HC_BAR);
	pci_cfg_write(&h->f.root, 0, HC_DEVFN, PCI_COMMAND, 2,
		      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	fake_usb_init(&h->usb, USB_SUPER);
	return 0;
}

static inline void hc_link(struct hc *h, uint32_t ring)
{
	*(struct xhci_trb *)hc_mem(h, ring + 255 * 16) =
		(struct xhci_trb){ ring, 0, HC_TYPE(XHCI_TRB_LINK) | XHCI_TRB_TC };
}

/* Makes empty rings, and starts the controller. */
static inline void hc_start(struct hc *h, unsigned segs, unsigned seg_size)
{
	uint64_t *erst = (uint64_t *)hc_mem(h, HC_ERST), *dcbaa = (uint64_t *)hc_mem(h, HC_DCBAA);

	memset(hc_mem(h, HC_CMDS), 0, HC_DATA - HC_CMDS);
	for (unsigned i = 0; i < segs; i++) {
		erst[2 * i] = HC_EVENTS + i * 0x1000;
		erst[2 * i + 1] = seg_size;
	}
	for (unsigned i = 1; i <= 8; i++)
		dcbaa[i] = HC_CTX + i * 0x400;
	h->n_segs = segs;
	h->seg_size = seg_size;
	h->cmd = h->er_seg = h->er_index = 0;
	h->cmd_cycle = h->er_cycle = true;
	hc_link(h, HC_CMDS);
	for (unsigned i = 0; i < 32; i++) {
		h->ring[i] = 0;
		h->cycle[i] = true;
		hc_link(h, HC_RING + i * 0x1000);
	}
	hc_set(h, HC_OPER(XHCI_CONFIG), 8);
	hc_set64(h, HC_OPER(XHCI_DCBAAP), HC_DCBAA);
	hc_set64(h, HC_OPER(XHCI_CRCR), HC_CMDS | 1);
	hc_set(h, HC_RT(XHCI_ERSTSZ), segs);
	hc_set64(h, HC_RT(XHCI_ERDP), HC_EVENTS);
	hc_set64(h, HC_RT(XHCI_ERSTBA), HC_ERST);
	hc_set(h, HC_RT(XHCI_IMOD), 0);
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IE);
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_RUN | XHCI_CMD_INTE);
	h->turn(h);
}

static inline uint64_t hc_erdp(const struct hc *h)
{
	return HC_EVENTS + h->er_seg * 0x1000 + h->er_index * 16;
}

/* Takes an event without telling the controller. */
static inline bool hc_peek(struct hc *h, struct xhci_trb *t)
{
	const struct xhci_trb *e = (const struct xhci_trb *)hc_mem(h, (uint32_t)hc_erdp(h));

	*t = (struct xhci_trb){ 0 };
	t->control = __atomic_load_n(&e->control, __ATOMIC_ACQUIRE);
	if ((t->control & XHCI_TRB_C) != h->er_cycle)
		return false;
	t->param = e->param;
	t->status = e->status;
	if (++h->er_index == h->seg_size) {
		h->er_index = 0;
		if (++h->er_seg == h->n_segs) {
			h->er_seg = 0;
			h->er_cycle = !h->er_cycle;
		}
	}
	return true;
}

static inline bool hc_event(struct hc *h, struct xhci_trb *t)
{
	h->turn(h);
	if (!hc_peek(h, t))
		return false;
	hc_set64(h, HC_RT(XHCI_ERDP), hc_erdp(h) | XHCI_ERDP_EHB);
	return true;
}

static inline unsigned hc_cc(const struct xhci_trb *t)
{
	return t->status >> 24;
}

static inline uint32_t hc_len(const struct xhci_trb *t)
{
	return t->status & XHCI_EV_LENGTH;
}

/* Puts a TRB on a ring, over its end, too. Returns its address. */
static inline uint32_t hc_put(struct hc *h, uint32_t ring, unsigned *at, bool *cycle,
			      struct xhci_trb t)
{
	struct xhci_trb *trb = (struct xhci_trb *)hc_mem(h, ring);
	uint32_t addr = ring + *at * 16;

	t.control |= *cycle;
	trb[*at].param = t.param;
	trb[*at].status = t.status;
	__atomic_store_n(&trb[*at].control, t.control, __ATOMIC_RELEASE);
	if (++*at == 255) {
		__atomic_store_n(&trb[255].control, (trb[255].control & ~1u) | *cycle, __ATOMIC_RELEASE);
		*at = 0;
		*cycle = !*cycle;
	}
	return addr;
}

static inline uint32_t hc_trb(struct hc *h, unsigned dci, uint64_t param, uint32_t status,
			      uint32_t control)
{
	return hc_put(h, HC_RING + dci * 0x1000, &h->ring[dci], &h->cycle[dci],
		      (struct xhci_trb){ param, status, control });
}

static inline void hc_bell(struct hc *h, unsigned slot, unsigned val)
{
	hc_set(h, XHCI_DOORBELL + 4 * slot, val);
	h->turn(h);
}

static inline uint32_t hc_cmd_post(struct hc *h, uint64_t param, uint32_t status, uint32_t control)
{
	uint32_t addr = hc_put(h, HC_CMDS, &h->cmd, &h->cmd_cycle,
			       (struct xhci_trb){ param, status, control });

	hc_bell(h, 0, 0);
	return addr;
}

/* A command, and its event, which must be the next one of its kind; others are dropped. Returns the
 * completion code, and 256 times the slot; 0: no event. */
static inline unsigned hc_cmd(struct hc *h, uint64_t param, uint32_t status, uint32_t control)
{
	uint32_t addr = hc_cmd_post(h, param, status, control);
	struct xhci_trb t;

	for (unsigned i = 0; i < 1000; i++) {
		if (!hc_event(h, &t))
			continue;
		if (xhci_trb_type(&t) == XHCI_TRB_EV_COMMAND && t.param == addr)
			return hc_cc(&t) | t.control >> 24 << 8;
	}
	return 0;
}

static inline unsigned hc_ep_cmd(struct hc *h, unsigned type, unsigned slot, unsigned dci,
				 uint64_t param)
{
	return hc_cmd(h, param, 0, HC_TYPE(type) | slot << 24 | dci << 16) & 0xff;
}

/* Input contexts: an endpoint with its ring. */
static inline void hc_input_ep(struct hc *h, unsigned dci, unsigned type, unsigned streams)
{
	struct xhci_ctx *c = hc_input(h, dci + 1);

	*c = (struct xhci_ctx){ { streams << 10 | (streams ? 1u << 15 : 0), type << 3 | 512u << 16,
				  streams ? HC_STREAMS : (HC_RING + dci * 0x1000) | 1 } };
	hc_input(h, 0)->w[1] |= 1u << dci;
}

/* Enables a slot and addresses the device in that port. Returns the slot; 0: it failed. */
static inline unsigned hc_address(struct hc *h, unsigned port)
{
	unsigned ret = hc_cmd(h, 0, 0, HC_TYPE(XHCI_TRB_ENABLE_SLOT)), slot = ret >> 8;

	if ((ret & 0xff) != XHCI_CC_SUCCESS)
		return 0;
	memset(hc_input(h, 0), 0, 33 * 32);
	hc_input(h, 0)->w[1] = 1;
	hc_input(h, 1)->w[0] = 1u << 27;
	hc_input(h, 1)->w[1] = port << 16;
	hc_input_ep(h, 1, XHCI_EP_CONTROL, 0);
	ret = hc_cmd(h, HC_INPUT, 0, HC_TYPE(XHCI_TRB_ADDRESS) | slot << 24);
	return (ret & 0xff) == XHCI_CC_SUCCESS ? slot : 0;
}

/* Adds one endpoint. Returns the completion code. */
static inline unsigned hc_add_ep(struct hc *h, unsigned slot, unsigned dci, unsigned type,
				 unsigned streams)
{
	memset(hc_input(h, 0), 0, 33 * 32);
	hc_input(h, 0)->w[1] = 1;
	hc_input_ep(h, dci, type, streams);
	return hc_cmd(h, HC_INPUT, 0, HC_TYPE(XHCI_TRB_CONFIGURE) | slot << 24) & 0xff;
}

/* A control request without data, or with IN data at HC_DATA. */
static inline void hc_control(struct hc *h, unsigned slot, uint64_t setup, unsigned len)
{
	hc_trb(h, 1, setup, 8, HC_TYPE(XHCI_TRB_SETUP) | XHCI_TRB_IDT | (len ? 3u << 16 : 0));
	if (len)
		hc_trb(h, 1, HC_DATA, len, HC_TYPE(XHCI_TRB_DATA) | XHCI_TRB_IN | XHCI_TRB_ISP);
	hc_trb(h, 1, 0, 0, HC_TYPE(XHCI_TRB_STATUS) | XHCI_TRB_IOC | (len ? 0 : XHCI_TRB_IN));
	hc_bell(h, slot, 1);
}

/* The dequeue pointer that the controller has published. */
static inline uint64_t hc_dequeue(struct hc *h, unsigned slot, unsigned dci)
{
	const struct xhci_ctx *c = hc_ctx(h, slot, dci);

	return (uint64_t)c->w[3] << 32 | c->w[2];
}

static inline unsigned hc_ep_state(struct hc *h, unsigned slot, unsigned dci)
{
	return hc_ctx(h, slot, dci)->w[0] & 7;
}

#endif
