/* SPDX-License-Identifier: BSD-2-Clause */
/* The USB controller: event ring, interrupt, ports, resets, and devices that come and go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/usb/usb_hid.h"
#include "tests/unit/xhci_fixture.h"

#define BULK_IN 5u
#define NORMAL	(HC_TYPE(XHCI_TRB_NORMAL) | XHCI_TRB_IOC)
#define SUPER	1u /* ports */
#define HIGH	5u

static void drop_events(struct hc *h)
{
	struct xhci_trb t;

	while (hc_event(h, &t))
		;
}

static void expect_port_event(struct hc *h, unsigned port)
{
	struct xhci_trb t = { 0 };

	assert_true(hc_event(h, &t));
	assert_int_equal(xhci_trb_type(&t), XHCI_TRB_EV_PORT);
	assert_int_equal(t.param >> 24, port);
}

static void expect_none(struct hc *h)
{
	struct xhci_trb t;

	assert_false(hc_event(h, &t));
}

static unsigned bulk_in(struct hc *h, unsigned port)
{
	unsigned slot = hc_address(h, port);

	assert_int_equal(slot, 1);
	assert_int_equal(hc_add_ep(h, slot, BULK_IN, XHCI_EP_BULK_IN, 0), XHCI_CC_SUCCESS);
	return slot;
}

/* ---- events ---- */

static void complete_all(struct hc *h)
{
	while (h->usb.n)
		fake_usb_done(&h->usb, 0, 512, USB_OK);
	inline_turn(h);
}

/* A guest that reads no events: nothing is lost, and nothing new is begun. */
static void full_ring(unsigned segs)
{
	struct hc *h;
	struct xhci_trb t;
	uint32_t td[100];
	unsigned n = 0, seen = 0, commands = 0;
	void *state;

	setup(&state);
	h = state;
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	hc_start(h, segs, 16);
	unsigned slot = bulk_in(h, SUPER);

	drop_events(h);
	for (unsigned i = 0; i < 100; i++)
		td[i] = hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	for (unsigned i = 0; i < 10; i++)
		complete_all(h);
	assert_int_equal(h->usb.submitted, 32);
	hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_NOOP_CMD));
	for (unsigned i = 0; i < 1000 && n < 101; i++) {
		complete_all(h);
		while (hc_peek(h, &t)) {
			if (xhci_trb_type(&t) == XHCI_TRB_EV_HOST) {
				assert_int_equal(hc_cc(&t), XHCI_CC_RING_FULL);
				seen++;
				continue;
			}
			n++;
			if (xhci_trb_type(&t) == XHCI_TRB_EV_COMMAND)
				commands++;
			else
				assert_int_equal(t.param, td[n - 1 - commands]);
		}
		hc_set64(h, HC_RT(XHCI_ERDP), hc_erdp(h) | XHCI_ERDP_EHB);
	}
	assert_int_equal(n, 101);
	assert_true(seen >= 1);
	teardown(&state);
}

static void event_ring_full(void **state)
{
	(void)state;
	full_ring(1);
}

static void event_ring_of_two_segments(void **state)
{
	(void)state;
	full_ring(2);
}

/* A guest that never reads events: what waits for it is bounded, and the device can leave, the
 * machine can pause, and a driver that starts anew finds a controller that works. */
static void events_never_taken(void **state)
{
	struct hc *h = *state;
	unsigned slot;

	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	hc_start(h, 1, 16);
	slot = bulk_in(h, SUPER);
	for (unsigned i = 0; i < 2000; i++) {
		hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
		hc_bell(h, slot, BULK_IN);
		hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_NOOP_CMD));
		hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_PR | XHCI_PORT_CHANGES);
		complete_all(h);
	}
	assert_in_range(h->x->queue.n, 1, 64);
	assert_in_range(h->usb.submitted, 1, 64);
	pci_pause(&h->f.root, true);
	inline_turn(h);
	assert_null(pci_pause(&h->f.root, true));
	pci_pause(&h->f.root, false);
	xhci_detach(h->x, &h->usb.dev);
	inline_turn(h);
	assert_int_equal(h->usb.detached, 1);
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	hc_start(h, 1, 16);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_NOOP_CMD, 0, 0, 0), XHCI_CC_SUCCESS);
}

static void bad_segments(void **state)
{
	struct hc *h = *state;

	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	hc_start(h, 1, 8); /* too small */
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCE);
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	assert_false(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCE);
	hc_start(h, 1, 16);
	assert_false(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCE);
}

static bool line(const struct hc *h)
{
	for (unsigned i = 0; i < FAKE_GSIS; i++)
		if (h->f.line[i])
			return true;
	return false;
}

static bool pending(struct hc *h)
{
	return hc_reg(h, HC_RT(XHCI_IMAN)) & XHCI_IMAN_IP;
}

/* By INTx: IP drives the line. */
static void interrupts(void **state)
{
	struct hc *h = *state;
	struct xhci_trb t;

	assert_true(pending(h) && line(h)); /* the device in the port */
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_EINT);
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IP | XHCI_IMAN_IE);
	assert_false(pending(h) || line(h));
	/* While EHB is set, no other one is raised; then, as the ring is not empty, one is. */
	hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_NOOP_CMD));
	assert_false(pending(h) || line(h));
	assert_true(hc_peek(h, &t));
	hc_set64(h, HC_RT(XHCI_ERDP), hc_erdp(h) | XHCI_ERDP_EHB);
	assert_true(pending(h) && line(h));
	assert_false(h->x->call.waits); /* nothing waits for room: the thread sleeps on */
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IP);
	assert_true(hc_peek(h, &t));
	hc_set64(h, HC_RT(XHCI_ERDP), hc_erdp(h) | XHCI_ERDP_EHB);
	assert_false(pending(h));
	/* Not enabled: it waits. */
	hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_NOOP_CMD));
	assert_true(pending(h) && !line(h));
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IE);
	assert_true(line(h));
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_RUN);
	assert_false(line(h));
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_RUN | XHCI_CMD_INTE);
	assert_true(line(h));
}

/* A second event within the interval: its interrupt is late, but it comes. */
static void moderation(void **state)
{
	struct hc *h = *state;
	struct xhci_trb t;

	drop_events(h);
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IP | XHCI_IMAN_IE);
	hc_set(h, HC_RT(XHCI_IMOD), 65535); /* 16 ms */
	hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_NOOP_CMD));
	assert_true(pending(h));
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IP | XHCI_IMAN_IE);
	assert_true(hc_peek(h, &t));
	hc_set64(h, HC_RT(XHCI_ERDP), hc_erdp(h) | XHCI_ERDP_EHB);
	hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_NOOP_CMD));
	assert_true(hc_peek(h, &t)); /* the event itself is not late */
	assert_false(pending(h));
	for (unsigned i = 0; i < 1000 && !pending(h); i++) {
		usleep(1000);
		inline_turn(h);
	}
	assert_true(pending(h));
}

static void blocked_interrupt(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);
	struct xhci_trb t;

	drop_events(h);
	hc_set(h, HC_RT(XHCI_IMAN), XHCI_IMAN_IP | XHCI_IMAN_IE);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | XHCI_TRB_BEI);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	inline_turn(h);
	assert_true(hc_peek(h, &t));
	assert_false(pending(h));
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	inline_turn(h);
	assert_true(hc_peek(h, &t));
	assert_true(pending(h));
}

/* ---- ports ---- */

static void super_port(void **state)
{
	struct hc *h = *state;
	uint32_t sc = hc_reg(h, HC_PORTSC(SUPER));

	assert_int_equal(sc, XHCI_PORT_CCS | XHCI_PORT_PED | XHCI_PORT_PP | USB_SUPER << 10 | XHCI_PORT_CSC);
	assert_int_equal(hc_reg(h, HC_PORTSC(2)), XHCI_PORT_PP | XHCI_PLS_RX_DETECT << 5);
	expect_port_event(h, SUPER);
	expect_none(h);
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_PCD);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_CSC);
	assert_int_equal(hc_reg(h, HC_PORTSC(SUPER)), sc & ~XHCI_PORT_CSC);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_WPR);
	expect_port_event(h, SUPER);
	assert_int_equal(hc_reg(h, HC_PORTSC(SUPER)),
			 (sc & ~XHCI_PORT_CSC) | XHCI_PORT_PRC | XHCI_PORT_WRC);
	assert_int_equal(h->usb.resets, 1);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_CHANGES);
	/* Suspend and resume. */
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_LWS | XHCI_PLS_U3 << 5);
	assert_int_equal(hc_reg(h, HC_PORTSC(SUPER)) & XHCI_PORT_PLS, XHCI_PLS_U3 << 5);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_LWS);
	assert_int_equal(hc_reg(h, HC_PORTSC(SUPER)), (sc & ~XHCI_PORT_CSC) | XHCI_PORT_PLC);
	expect_port_event(h, SUPER);
	/* Disable. */
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_PED);
	assert_false(hc_reg(h, HC_PORTSC(SUPER)) & XHCI_PORT_PED);
	hc_set(h, 0x444, 0x12345678);
	assert_int_equal(hc_reg(h, 0x444), 0x12345678);
}

static void high_port(void **state)
{
	struct hc *h = *state;
	struct fake_usb u;
	struct error err = { 0 };

	drop_events(h);
	fake_usb_init(&u, USB_HIGH);
	assert_int_equal(xhci_attach(h->x, 1, &u.dev, &err), -EBUSY);
	assert_int_equal(xhci_attach(h->x, 5, &u.dev, &err), -EINVAL);
	assert_int_equal(xhci_attach(h->x, 2, &u.dev, &err), 2);
	expect_port_event(h, HIGH + 1);
	assert_int_equal(hc_reg(h, HC_PORTSC(HIGH + 1)),
			 XHCI_PORT_CCS | XHCI_PORT_PP | USB_HIGH << 10 | XHCI_PORT_CSC | XHCI_PLS_POLLING << 5);
	hc_set(h, HC_PORTSC(HIGH + 1), XHCI_PORT_PP | XHCI_PORT_CSC | XHCI_PORT_PR);
	expect_port_event(h, HIGH + 1);
	assert_int_equal(hc_reg(h, HC_PORTSC(HIGH + 1)),
			 XHCI_PORT_CCS | XHCI_PORT_PP | XHCI_PORT_PED | USB_HIGH << 10 | XHCI_PORT_PRC);
	xhci_detach(h->x, &u.dev);
	expect_port_event(h, HIGH + 1);
	assert_int_equal(u.detached, 1);
	assert_int_equal(hc_reg(h, HC_PORTSC(HIGH + 1)) & 0x2ffff,
			 XHCI_PORT_PP | XHCI_PORT_CSC | XHCI_PLS_RX_DETECT << 5);
}

static void port_reset_with_transfers(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	drop_events(h);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_CHANGES);
	h->usb.slow_cancel = true;
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_PR);
	inline_turn(h);
	assert_int_equal(h->usb.cancelled, 1);
	assert_int_equal(h->usb.resets, 0);
	assert_true(hc_reg(h, HC_PORTSC(SUPER)) & XHCI_PORT_PR);
	fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	inline_turn(h);
	assert_int_equal(h->usb.resets, 1);
	assert_false(hc_reg(h, HC_PORTSC(SUPER)) & XHCI_PORT_PR);
}

static void detach_in_transfer(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);
	uint32_t td = hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	struct xhci_trb t;

	hc_bell(h, slot, BULK_IN);
	drop_events(h);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_CHANGES);
	h->usb.slow_cancel = true;
	xhci_detach(h->x, &h->usb.dev);
	inline_turn(h);
	assert_int_equal(h->usb.detached, 0); /* it has a transfer */
	fake_usb_done(&h->usb, 0, 0, USB_GONE);
	inline_turn(h);
	assert_int_equal(h->usb.detached, 1);
	expect_port_event(h, SUPER);
	assert_true(hc_event(h, &t));
	assert_int_equal(t.param, td);
	assert_int_equal(hc_cc(&t), XHCI_CC_TRANSACTION);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_HALTED);
	/* The slot stays until the guest disables it. */
	hc_control(h, slot, 0x0000000000010900ull, 0);
	assert_true(hc_event(h, &t));
	assert_int_equal(hc_cc(&t), XHCI_CC_TRANSACTION);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_DISABLE_SLOT, slot, 0, 0), XHCI_CC_SUCCESS);
}

/* ---- the whole controller ---- */

static void reset_with_transfers(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	h->usb.slow_cancel = true;
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	assert_int_equal(h->usb.cancelled, 2);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBCMD)), XHCI_CMD_HCRST);
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_CNR);
	fake_usb_done(&h->usb, 1, 0, USB_CANCELLED);
	fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	inline_turn(h);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBCMD)), 0);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBSTS)) & (XHCI_STS_CNR | XHCI_STS_HCH), XHCI_STS_HCH);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_DCBAAP)), 0);
	assert_true(hc_reg(h, HC_PORTSC(SUPER)) & XHCI_PORT_CSC);
	h->usb.slow_cancel = false;
	hc_start(h, 1, 16);
	assert_int_equal(hc_address(h, SUPER), 1);
}

static void await_halt(struct hc *h)
{
	for (unsigned i = 0; i < 5000 && !(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH); i++) {
		usleep(1000);
		inline_turn(h);
	}
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH);
	inline_turn(h);
}

/* A device that does not end its transfers: a halt and a reset do not wait for it, what it transfers
 * afterwards reaches nobody, and the TD runs again. */
static void slow_device(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);
	struct usb_xfer *late[2];
	struct xhci_trb t;
	uint32_t td = hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | XHCI_TRB_IOC);

	hc_bell(h, slot, BULK_IN);
	h->usb.slow_cancel = true;
	hc_set(h, HC_OPER(XHCI_USBCMD), 0);
	inline_turn(h);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH, 0);
	await_halt(h);
	assert_int_equal(h->usb.n, 1);
	late[0] = h->usb.flight[0];
	assert_int_equal(late[0]->niov, 0);
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_RUN | XHCI_CMD_INTE);
	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.n, 2);
	assert_int_equal(h->usb.flight[1]->niov, 1);
	/* The late one says nothing to the guest; the other one does. */
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	drop_events(h);
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	assert_true(hc_event(h, &t));
	assert_int_equal(t.param, td);
	assert_int_equal(hc_cc(&t), XHCI_CC_SUCCESS);
	expect_none(h);
	/* HCRST, and the driver begins anew. */
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	late[0] = h->usb.flight[0];
	late[1] = h->usb.flight[1];
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(h);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBCMD)), XHCI_CMD_HCRST);
	await_halt(h);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBCMD)), 0);
	assert_int_equal(h->usb.n, 2);
	hc_start(h, 1, 16);
	assert_int_equal(hc_address(h, SUPER), 1);
	/* The port is reset when the device has ended all. */
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_PR);
	inline_turn(h);
	assert_int_equal(h->usb.resets, 0);
	fake_usb_done(&h->usb, 1, 0, USB_CANCELLED);
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	inline_turn(h);
	assert_int_equal(h->usb.resets, 1);
	assert_int_equal(h->x->cost, 0);
}

/* Stop and go on: what was not done runs again. */
static void halt_and_run(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	h->usb.slow_cancel = true;
	hc_set(h, HC_OPER(XHCI_USBCMD), 0);
	inline_turn(h);
	assert_false(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH);
	fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	inline_turn(h);
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH);
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_RUN);
	inline_turn(h);
	assert_int_equal(h->usb.n, 1);
}

/* A paused machine: guest memory does not change, and nothing is lost. */
static void pause_machine(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);
	static char before[HC_DATA];

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	drop_events(h);
	hc_set(h, HC_PORTSC(SUPER), XHCI_PORT_PP | XHCI_PORT_CHANGES);
	h->usb.slow_cancel = true;
	assert_string_equal(pci_pause(&h->f.root, true), "usb");
	inline_turn(h);
	assert_non_null(pci_pause(&h->f.root, true));
	fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	inline_turn(h);
	assert_null(pci_pause(&h->f.root, true));
	memcpy(before, h->r.ram, HC_DATA);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	memcpy(before, h->r.ram, HC_DATA);
	hc_bell(h, slot, BULK_IN);
	xhci_detach(h->x, &h->usb.dev);
	inline_turn(h);
	assert_memory_equal(before, h->r.ram, HC_DATA);
	assert_int_equal(h->usb.n, 0);
	h->usb.slow_cancel = false;
	assert_null(pci_pause(&h->f.root, false));
	expect_port_event(h, SUPER);
}

static void reset_machine(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	h->usb.slow_cancel = true;
	assert_non_null(pci_quiesce(&h->f.root));
	inline_turn(h);
	assert_non_null(pci_quiesce(&h->f.root));
	fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	inline_turn(h);
	assert_null(pci_quiesce(&h->f.root));
	pci_reset_all(&h->f.root);
	inline_turn(h);
	h->usb.slow_cancel = false;
	pci_cfg_write(&h->f.root, 0, HC_DEVFN, PCI_BASE_ADDRESS_0, 4, HC_BAR);
	pci_cfg_write(&h->f.root, 0, HC_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	hc_start(h, 1, 16);
	assert_int_equal(hc_address(h, SUPER), 1);
}

/* Without bus mastering, nothing runs. */
static void bus_master(void **state)
{
	struct hc *h = *state;
	unsigned slot = bulk_in(h, SUPER);

	pci_cfg_write(&h->f.root, 0, HC_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL);
	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.n, 0);
	pci_cfg_write(&h->f.root, 0, HC_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	inline_turn(h);
	assert_int_equal(h->usb.n, 1);
}

/* ---- the emulated devices ---- */

static void expect_cc(struct hc *h, unsigned cc)
{
	struct xhci_trb t = { 0 };

	assert_true(hc_event(h, &t));
	assert_int_equal(xhci_trb_type(&t), XHCI_TRB_EV_TRANSFER);
	assert_int_equal(hc_cc(&t), cc);
}

static struct usb_hid *hid_plug(struct hc *h, enum usb_hid_kind kind)
{
	struct usb_hid *hid = usb_hid_new(kind, NULL, NULL);
	struct error err = { 0 };

	assert_int_equal(xhci_attach(h->x, 0, usb_hid_device(hid), &err), 2);
	inline_turn(h);
	hc_set(h, HC_PORTSC(HIGH + 1), XHCI_PORT_PP | XHCI_PORT_PR);
	drop_events(h);
	assert_int_equal(hc_address(h, HIGH + 1), 1);
	return hid;
}

static void hid_unplug(struct hc *h, struct usb_hid *hid)
{
	xhci_detach(h->x, usb_hid_device(hid));
	inline_turn(h);
	usb_hid_free(hid);
}

static void keyboard(void **state)
{
	struct hc *h = *state;
	struct usb_hid *hid = hid_plug(h, USB_HID_KEYBOARD);
	const uint8_t *data = (const uint8_t *)hc_mem(h, HC_DATA);

	hc_control(h, 1, 18ull << 48 | 0x01000680, 18);
	expect_cc(h, XHCI_CC_SUCCESS);
	assert_memory_equal(data, "\x12\x01\x00\x02\x00\x00\x00\x40", 8);
	hc_control(h, 1, 255ull << 48 | 0x02000680, 255);
	expect_cc(h, XHCI_CC_SHORT);
	expect_cc(h, XHCI_CC_SUCCESS);
	assert_int_equal(data[0] | data[2] << 8, 34 << 8 | 9);
	assert_int_equal(data[25], 65); /* the report descriptor */
	hc_control(h, 1, 0x00010900, 0);
	expect_cc(h, XHCI_CC_SUCCESS);
	hc_control(h, 1, 2ull << 48 | 0x07000680, 2); /* there is no such descriptor */
	expect_cc(h, XHCI_CC_STALL);
	assert_int_equal(hc_add_ep(h, 1, 3, XHCI_EP_INT_IN, 0), XHCI_CC_SUCCESS);
	hc_trb(h, 3, HC_DATA, 8, NORMAL);
	hc_trb(h, 3, HC_DATA + 8, 8, NORMAL);
	hc_bell(h, 1, 3);
	expect_none(h);
	usb_hid_key(hid, 0xe1, true);
	usb_hid_key(hid, 4, true);
	expect_cc(h, XHCI_CC_SUCCESS);
	expect_cc(h, XHCI_CC_SUCCESS);
	assert_memory_equal(data, "\2\0\0\0\0\0\0\0\2\0\4\0\0\0\0\0", 16);
	for (unsigned i = 5; i < 100; i++) /* more than are kept, too many at once */
		usb_hid_key(hid, (uint8_t)i, true);
	usb_hid_key(hid, 4, false);
	for (unsigned i = 0; i < 32; i++)
		hc_trb(h, 3, HC_DATA, 8, NORMAL);
	hc_bell(h, 1, 3);
	for (unsigned i = 0; i < 32; i++)
		expect_cc(h, XHCI_CC_SUCCESS);
	assert_memory_equal(data, "\2\0\1\1\1\1\1\1", 8);
	/* Stop: it waits, and is cancelled. */
	hc_trb(h, 3, HC_DATA, 8, NORMAL);
	hc_trb(h, 3, HC_DATA, 8, NORMAL);
	hc_bell(h, 1, 3);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, 1, 3, 0), XHCI_CC_SUCCESS);
	hid_unplug(h, hid);
}

static void mouse(void **state)
{
	struct hc *h = *state;
	struct usb_hid *hid = hid_plug(h, USB_HID_MOUSE);
	const uint8_t *data = (const uint8_t *)hc_mem(h, HC_DATA);

	hc_control(h, 1, 64ull << 48 | 0x22000681, 64);
	expect_cc(h, XHCI_CC_SHORT);
	expect_cc(h, XHCI_CC_SUCCESS);
	hc_control(h, 1, 0x00010900, 0);
	expect_cc(h, XHCI_CC_SUCCESS);
	assert_int_equal(hc_add_ep(h, 1, 3, XHCI_EP_INT_IN, 0), XHCI_CC_SUCCESS);
	usb_hid_mouse(hid, 1, 5, -300, 1);
	hc_trb(h, 3, HC_DATA, 8, NORMAL | XHCI_TRB_ISP);
	hc_bell(h, 1, 3);
	expect_cc(h, XHCI_CC_SHORT);
	assert_memory_equal(data, "\1\5\x81\1", 4);
	hid_unplug(h, hid);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_ring_full),
		cmocka_unit_test(event_ring_of_two_segments),
		T(events_never_taken),
		T(bad_segments),
		T(interrupts),
		T(moderation),
		T(blocked_interrupt),
		T(super_port),
		T(high_port),
		T(port_reset_with_transfers),
		T(detach_in_transfer),
		T(reset_with_transfers),
		T(halt_and_run),
		T(slow_device),
		T(pause_machine),
		T(reset_machine),
		T(bus_master),
		T(keyboard),
		T(mouse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
