/* SPDX-License-Identifier: BSD-2-Clause */
/* The USB controller: registers, commands, transfers and their events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/xhci_fixture.h"

#define BULK_OUT 4u
#define BULK_IN	 5u
#define NORMAL	 HC_TYPE(XHCI_TRB_NORMAL)
#define IOC	 XHCI_TRB_IOC
#define CH	 XHCI_TRB_CH

static void expect_event(struct hc *h, uint64_t param, unsigned cc, uint32_t len)
{
	struct xhci_trb t = { 0 };

	assert_true(hc_event(h, &t));
	assert_int_equal(xhci_trb_type(&t), XHCI_TRB_EV_TRANSFER);
	assert_int_equal(t.param, param);
	assert_int_equal(hc_cc(&t), cc);
	assert_int_equal(hc_len(&t), len);
}

static void expect_none(struct hc *h)
{
	struct xhci_trb t;

	assert_false(hc_event(h, &t));
}

/* A configured slot with one endpoint. */
static unsigned endpoint(struct hc *h, unsigned dci, unsigned type, unsigned streams)
{
	unsigned slot = hc_address(h, 1);

	assert_int_equal(slot, 1);
	assert_int_equal(hc_add_ep(h, slot, dci, type, streams), XHCI_CC_SUCCESS);
	return slot;
}

/* ---- registers and commands ---- */

static void registers(void **state)
{
	struct hc *h = *state;

	assert_int_equal(bus_read(h->f.root.mmio, HC_BAR, 1), 0x40);
	assert_int_equal(hc_reg(h, 0), 0x01000040);
	assert_int_equal(hc_reg(h, 4), 8u << 24 | 1 << 8 | 64);
	assert_int_equal(hc_reg(h, 0x20), 0x03000402);
	assert_int_equal(hc_reg(h, 0x24), 0x20425355);
	assert_int_equal(hc_reg(h, 0x28), 0x401);
	assert_int_equal(hc_reg(h, 0x30), 0x02000002);
	assert_int_equal(hc_reg(h, 0x38), 0x405);
	assert_int_equal(bus_read(h->f.root.mmio, HC_BAR + HC_OPER(XHCI_DCBAAP), 8), HC_DCBAA);
	assert_int_equal(hc_reg(h, XHCI_DOORBELL), 0);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH, 0);
	hc_set(h, HC_OPER(XHCI_USBCMD), 0);
	inline_turn(h);
	assert_int_equal(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_HCH, XHCI_STS_HCH);
	/* Nothing was saved, so a restore must fail. */
	hc_set(h, HC_OPER(XHCI_USBCMD), XHCI_CMD_CRS);
	assert_true(hc_reg(h, HC_OPER(XHCI_USBSTS)) & XHCI_STS_SRE);
}

static void address_and_disable(void **state)
{
	struct hc *h = *state;
	unsigned slot = hc_address(h, 1);

	assert_int_equal(slot, 1);
	assert_int_equal(hc_ctx(h, 1, 0)->w[3], XHCI_SLOT_ADDRESSED << 27 | 1);
	assert_int_equal(hc_ep_state(h, 1, 1), XHCI_EP_RUNNING);
	assert_int_equal(hc_address(h, 1), 0); /* the port is in use */
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_DISABLE_SLOT, 1, 0, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ctx(h, 1, 0)->w[3], 0);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_DISABLE_SLOT, 1, 0, 0), XHCI_CC_SLOT_DISABLED);
	assert_int_equal(hc_address(h, 2), 0); /* no device there */
}

static void wrong_commands(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);

	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_NOOP_CMD, 0, 0, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ep_cmd(h, 22, 0, 0, 0), XHCI_CC_TRB);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, 3, 1, 0), XHCI_CC_SLOT_DISABLED);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, slot, 9, 0), XHCI_CC_EP_DISABLED);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_RESET_EP, slot, BULK_IN, 0), XHCI_CC_CONTEXT_STATE);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, HC_RING),
			 XHCI_CC_CONTEXT_STATE);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_ADDRESS, slot, 0, HC_INPUT), XHCI_CC_CONTEXT_STATE);
	/* An endpoint of a wrong direction: nothing changes. */
	assert_int_equal(hc_add_ep(h, slot, 3, XHCI_EP_BULK_OUT, 0), XHCI_CC_PARAMETER);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, slot, 3, 0), XHCI_CC_EP_DISABLED);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_RUNNING);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_CONFIGURE, slot, 0, 0xfffff000), XHCI_CC_PARAMETER);
	/* Reset Device leaves endpoint 0. */
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_RESET_DEV, slot, 0, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ctx(h, slot, 0)->w[3], XHCI_SLOT_DEFAULT << 27);
	assert_int_equal(hc_ctx(h, slot, 0)->w[0] >> 27, 1);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_DISABLED);
}

static void all_slots(void **state)
{
	struct hc *h = *state;

	for (unsigned i = 1; i <= 8; i++)
		assert_int_equal(hc_cmd(h, 0, 0, HC_TYPE(XHCI_TRB_ENABLE_SLOT)),
				 i << 8 | XHCI_CC_SUCCESS);
	assert_int_equal(hc_cmd(h, 0, 0, HC_TYPE(XHCI_TRB_ENABLE_SLOT)), XHCI_CC_NO_SLOTS);
}

/* More commands than the ring has places, so that the link is followed. */
static void command_ring_wraps(void **state)
{
	struct hc *h = *state;

	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(hc_ep_cmd(h, XHCI_TRB_NOOP_CMD, 0, 0, 0), XHCI_CC_SUCCESS);
}

static void command_abort(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);
	struct xhci_trb t;
	uint32_t addr;

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | IOC);
	hc_bell(h, slot, BULK_IN);
	h->usb.slow_cancel = true;
	addr = hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_STOP_EP) | slot << 24 | BULK_IN << 16);
	expect_none(h);
	assert_true(hc_reg(h, HC_OPER(XHCI_CRCR)) & XHCI_CRCR_CRR);
	hc_set(h, HC_OPER(XHCI_CRCR), XHCI_CRCR_CA);
	inline_turn(h);
	hc_set(h, HC_OPER(XHCI_CRCR) + 4, 0); /* the other half of the same write */
	assert_true(hc_event(h, &t));
	assert_int_equal(t.param, addr);
	assert_int_equal(hc_cc(&t), XHCI_CC_ABORTED);
	assert_true(hc_event(h, &t));
	assert_int_equal(t.param, addr + 16);
	assert_int_equal(hc_cc(&t), XHCI_CC_RING_STOPPED);
	assert_false(hc_reg(h, HC_OPER(XHCI_CRCR)) & XHCI_CRCR_CRR);
	/* The endpoint goes on. */
	fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	inline_turn(h);
	usleep(15000);
	inline_turn(h);
	assert_int_equal(h->usb.n, 1);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_NOOP_CMD, 0, 0, 0), XHCI_CC_SUCCESS);
}

/* ---- transfers ---- */

static void control(void **state)
{
	struct hc *h = *state;
	unsigned slot = hc_address(h, 1);

	hc_control(h, slot, 0x0012000001000680ull, 18);
	assert_int_equal(h->usb.last.len, 18);
	assert_int_equal(h->usb.last.setup[1], 6);
	expect_event(h, HC_RING + 0x1000 + 32, XHCI_CC_SUCCESS, 0);
	/* A short answer: the data stage is reported, too. */
	h->usb.automatic = false;
	hc_control(h, slot, 0x0040000001000680ull, 64);
	fake_usb_done(&h->usb, 0, 18, USB_OK);
	expect_event(h, HC_RING + 0x1000 + 64, XHCI_CC_SHORT, 46);
	expect_event(h, HC_RING + 0x1000 + 80, XHCI_CC_SUCCESS, 0);
	/* A stall: the Status stage does not run. */
	hc_control(h, slot, 0x0040000001000680ull, 64);
	hc_control(h, slot, 0x0000000000010900ull, 0);
	assert_int_equal(h->usb.n, 1);
	fake_usb_done(&h->usb, 0, 0, USB_STALL);
	expect_event(h, HC_RING + 0x1000 + 112, XHCI_CC_STALL, 64);
	expect_none(h);
	assert_int_equal(hc_ep_state(h, slot, 1), XHCI_EP_HALTED);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_RESET_EP, slot, 1, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, 1, (HC_RING + 0x1000 + 144) | 1),
			 XHCI_CC_SUCCESS);
	hc_bell(h, slot, 1);
	assert_int_equal(h->usb.last.setup[1], 9);
}

/* Eight requests are always queued, and every eighth of them stalls. */
static void control_queue(void **state)
{
	struct hc *h = *state;
	unsigned slot = hc_address(h, 1);
	uint32_t at[400];

	h->usb.automatic = false;
	for (unsigned i = 0; i < 8; i++) {
		at[i] = HC_RING + 0x1000 + h->ring[1] * 16;
		hc_control(h, slot, 0x0012000001000680ull, 18);
	}
	for (unsigned i = 0; i < 392; i++) {
		struct xhci_trb t;

		assert_int_equal(h->usb.n, 1);
		fake_usb_done(&h->usb, 0, i % 8 == 7 ? 0 : 18, i % 8 == 7 ? USB_STALL : USB_OK);
		assert_true(hc_event(h, &t));
		assert_int_equal(t.param, at[i] + (i % 8 == 7 ? 16 : 32));
		assert_int_equal(hc_cc(&t), i % 8 == 7 ? XHCI_CC_STALL : XHCI_CC_SUCCESS);
		if (i % 8 == 7) {
			uint32_t end = at[i] + 48;

			assert_int_equal(hc_dequeue(h, slot, 1) & ~15ull, at[i]);
			assert_int_equal(hc_ep_cmd(h, XHCI_TRB_RESET_EP, slot, 1, 0), XHCI_CC_SUCCESS);
			assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, 1, end | (hc_dequeue(h, slot, 1) & 1)),
					 XHCI_CC_SUCCESS);
			hc_bell(h, slot, 1);
		}
		at[i + 8] = HC_RING + 0x1000 + h->ring[1] * 16;
		hc_control(h, slot, 0x0012000001000680ull, 18);
	}
}

static void short_packets(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);
	uint32_t a = hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | XHCI_TRB_ISP | CH);
	uint32_t b = hc_trb(h, BULK_IN, HC_DATA + 1024, 1024, NORMAL | XHCI_TRB_ISP | IOC), c, d;

	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.last.len, 2048);
	assert_int_equal(h->usb.last.endpoint, 0x82);
	fake_usb_done(&h->usb, 0, 1000, USB_OK);
	expect_event(h, a, XHCI_CC_SHORT, 24);
	expect_event(h, b, XHCI_CC_SHORT, 1024);
	/* Event Data: the length of the whole TD, and the guest's own value. */
	hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | CH);
	hc_trb(h, BULK_IN, HC_DATA + 1024, 1024, NORMAL | CH);
	hc_trb(h, BULK_IN, 0x123456789abcull, 0, HC_TYPE(XHCI_TRB_EVENT_DATA) | IOC);
	hc_bell(h, slot, BULK_IN);
	fake_usb_done(&h->usb, 0, 2048, USB_OK);
	expect_event(h, 0x123456789abcull, XHCI_CC_SUCCESS, 2048);
	hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | CH);
	hc_trb(h, BULK_IN, 77, 0, HC_TYPE(XHCI_TRB_EVENT_DATA) | IOC);
	hc_bell(h, slot, BULK_IN);
	fake_usb_done(&h->usb, 0, 13, USB_OK);
	expect_event(h, 77, XHCI_CC_SHORT, 13);
	/* IOC in the middle. */
	c = hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | CH | IOC);
	d = hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | IOC);
	hc_bell(h, slot, BULK_IN);
	fake_usb_done(&h->usb, 0, 1024, USB_OK);
	expect_event(h, c, XHCI_CC_SUCCESS, 0);
	expect_event(h, d, XHCI_CC_SUCCESS, 0);
	expect_none(h);
}

/* Data lies where the TRBs say, also across the border of two ranges, and in the TRB itself. */
static void data_places(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_OUT, XHCI_EP_BULK_OUT, 0);

	hc_trb(h, BULK_OUT, RING_MEM / 2 - 3, 5, NORMAL | CH);
	hc_trb(h, BULK_OUT, 0x6867666564636261ull, 8, NORMAL | XHCI_TRB_IDT | IOC);
	hc_bell(h, slot, BULK_OUT);
	const struct iovec *v = h->usb.last.iov;

	assert_int_equal(h->usb.last.niov, 3);
	assert_ptr_equal(v[0].iov_base, hc_mem(h, RING_MEM / 2 - 3));
	assert_int_equal(v[0].iov_len, 3);
	assert_ptr_equal(v[1].iov_base, hc_mem(h, RING_MEM / 2));
	assert_int_equal(v[1].iov_len, 2);
	assert_memory_equal(v[2].iov_base, "abcdefgh", 8);
}

/* A TD of which only a part is there does not run. */
static void td_in_parts(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);

	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | CH);
	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.n, 0);
	hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | IOC);
	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.n, 1);
	assert_int_equal(h->usb.last.len, 1024);
}

static void stall_with_tds_in_flight(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_OUT, XHCI_EP_BULK_OUT, 0);
	uint32_t td[4];

	for (unsigned i = 0; i < 4; i++)
		td[i] = hc_trb(h, BULK_OUT, HC_DATA, 512, NORMAL | IOC);
	hc_bell(h, slot, BULK_OUT);
	assert_int_equal(h->usb.n, 4);
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	fake_usb_done(&h->usb, 0, 100, USB_STALL);
	expect_event(h, td[0], XHCI_CC_SUCCESS, 0);
	expect_event(h, td[1], XHCI_CC_STALL, 412);
	expect_none(h);
	assert_int_equal(h->usb.n, 0); /* the others were cancelled */
	assert_int_equal(hc_ep_state(h, slot, BULK_OUT), XHCI_EP_HALTED);
	assert_int_equal(hc_dequeue(h, slot, BULK_OUT), td[1] | 1);
	hc_bell(h, slot, BULK_OUT);
	assert_int_equal(h->usb.n, 0);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_RESET_EP, slot, BULK_OUT, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ep_state(h, slot, BULK_OUT), XHCI_EP_STOPPED);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_OUT, td[2] | 1),
			 XHCI_CC_SUCCESS);
	assert_int_equal(h->usb.n, 0);
	hc_bell(h, slot, BULK_OUT);
	assert_int_equal(h->usb.n, 2);
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	expect_event(h, td[2], XHCI_CC_SUCCESS, 0);
}

/* Linux cancels a request by making No Ops of its TRBs, after it has stopped the endpoint. Those
 * that it does not cancel must run. */
static void stop_endpoint(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_OUT, XHCI_EP_BULK_OUT, 0);
	struct xhci_trb *ring = (struct xhci_trb *)hc_mem(h, HC_RING + BULK_OUT * 0x1000), t;
	uint32_t td[5], cmd;

	td[0] = hc_trb(h, BULK_OUT, HC_DATA, 1024, NORMAL | IOC);
	td[1] = hc_trb(h, BULK_OUT, HC_DATA, 1024, NORMAL | CH);
	hc_trb(h, BULK_OUT, HC_DATA + 1024, 1024, NORMAL | CH);
	hc_trb(h, BULK_OUT, 99, 0, HC_TYPE(XHCI_TRB_EVENT_DATA) | IOC);
	for (unsigned i = 2; i < 5; i++)
		td[i] = hc_trb(h, BULK_OUT, HC_DATA + i * 4096, 1024, NORMAL | IOC);
	hc_bell(h, slot, BULK_OUT);
	assert_int_equal(h->usb.n, 5);
	fake_usb_done(&h->usb, 0, 1024, USB_OK);
	h->usb.cancel_done = 1536;
	cmd = hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_STOP_EP) | slot << 24 | BULK_OUT << 16);
	expect_event(h, td[0], XHCI_CC_SUCCESS, 0);
	expect_event(h, td[1] + 16, XHCI_CC_STOPPED, 512);
	assert_true(hc_event(h, &t));
	assert_int_equal(t.param, cmd);
	assert_int_equal(hc_cc(&t), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ep_state(h, slot, BULK_OUT), XHCI_EP_STOPPED);
	assert_int_equal(hc_dequeue(h, slot, BULK_OUT), (td[1] + 16) | 1);
	assert_int_equal(h->usb.n, 0);
	ring[(td[2] & 0xfff) / 16].control = HC_TYPE(XHCI_TRB_NOOP) | 1;
	ring[(td[3] & 0xfff) / 16].control = HC_TYPE(XHCI_TRB_NOOP) | 1;
	h->usb.cancel_done = 0;
	hc_bell(h, slot, BULK_OUT);
	/* The rest of the TD that was in progress, and the last one. */
	assert_int_equal(h->usb.n, 2);
	assert_int_equal(h->usb.flight[0]->len, 512);
	assert_ptr_equal(h->usb.flight[0]->iov[0].iov_base, hc_mem(h, HC_DATA + 1536));
	assert_ptr_equal(h->usb.flight[1]->iov[0].iov_base, hc_mem(h, HC_DATA + 4 * 4096));
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	expect_event(h, 99, XHCI_CC_SUCCESS, 2048); /* the length of all of it */
	fake_usb_done(&h->usb, 0, 1024, USB_OK);
	expect_event(h, td[4], XHCI_CC_SUCCESS, 0);
	expect_none(h);
}

/* A doorbell that was rung before a command takes effect before it, not afterwards: what was stopped
 * or halted stays so until the guest rings again. */
static void doorbell_before_command(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);
	uint32_t a = hc_trb(h, BULK_IN, HC_DATA, 512, NORMAL | IOC);
	uint32_t b = hc_trb(h, BULK_IN, HC_DATA + 512, 512, NORMAL | IOC);

	hc_bell(h, slot, BULK_IN);
	hc_set(h, XHCI_DOORBELL + 4 * slot, BULK_IN);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, slot, BULK_IN, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_STOPPED);
	assert_int_equal(h->usb.n, 0);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, a | 1), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	fake_usb_done(&h->usb, 0, 0, USB_STALL);
	while (h->usb.n)
		fake_usb_done(&h->usb, 0, 0, USB_CANCELLED);
	expect_event(h, a, XHCI_CC_STALL, 512);
	hc_set(h, XHCI_DOORBELL + 4 * slot, BULK_IN);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_RESET_EP, slot, BULK_IN, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_STOPPED);
	assert_int_equal(h->usb.n, 0);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, b | 1), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	fake_usb_done(&h->usb, 0, 512, USB_OK);
	expect_event(h, b, XHCI_CC_SUCCESS, 0);
}

/* The guest gives up the TD that was in progress. */
static void stop_and_skip(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);
	uint32_t td[2];

	td[0] = hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | IOC);
	td[1] = hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | IOC);
	hc_bell(h, slot, BULK_IN);
	h->usb.cancel_done = 512;
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, slot, BULK_IN, 0), XHCI_CC_SUCCESS);
	assert_int_equal(hc_dequeue(h, slot, BULK_IN), td[0] | 1);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, slot, BULK_IN, 0), XHCI_CC_CONTEXT_STATE);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, td[1] | 1), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.n, 1);
	assert_int_equal(h->usb.flight[0]->len, 1024);
}

static void broken_rings(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);
	uint32_t base = HC_RING + BULK_IN * 0x1000;
	struct xhci_trb *ring = (struct xhci_trb *)hc_mem(h, base);

	/* A link to itself. */
	ring[0] = (struct xhci_trb){ base, 0, HC_TYPE(XHCI_TRB_LINK) | 1 };
	hc_bell(h, slot, BULK_IN);
	expect_event(h, base, XHCI_CC_TRB, 0);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_ERROR);
	/* A TD without an end: 256 TRBs in a circle. */
	for (unsigned i = 0; i < 255; i++)
		ring[i] = (struct xhci_trb){ HC_DATA, 1, NORMAL | CH | 1 };
	ring[255] = (struct xhci_trb){ base, 0, HC_TYPE(XHCI_TRB_LINK) | CH | 1 };
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, base | 1), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	expect_event(h, base, XHCI_CC_TRB, 0);
	/* Data where there is no memory, a setup packet, a ring outside of memory. */
	ring[0] = (struct xhci_trb){ 0xfffffffffffff000ull, 8192, NORMAL | IOC | 1 };
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, base | 1), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	expect_event(h, base, XHCI_CC_TRB, 0);
	ring[0].control = HC_TYPE(XHCI_TRB_SETUP) | XHCI_TRB_IDT | 1;
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, base | 1), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	expect_event(h, base, XHCI_CC_TRB, 0);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, ~14ull), XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN);
	expect_event(h, ~15ull, XHCI_CC_TRB, 0);
	/* A control transfer without its data stage. */
	hc_control(h, slot, 0x0040000001000680ull, 0);
	expect_event(h, HC_RING + 0x1000, XHCI_CC_TRB, 0);
	assert_int_equal(h->usb.n, 0);
}

/* The host has no memory for the transfer now. */
static void busy(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 0);
	uint32_t td = hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | IOC);

	hc_trb(h, BULK_IN, HC_DATA, 1024, NORMAL | IOC);
	h->usb.busy = true;
	hc_bell(h, slot, BULK_IN);
	assert_int_equal(h->usb.submitted, 1);
	expect_none(h);
	h->usb.busy = false;
	usleep(15000);
	inline_turn(h);
	assert_int_equal(h->usb.n, 2);
	fake_usb_done(&h->usb, 0, 1024, USB_OK);
	expect_event(h, td, XHCI_CC_SUCCESS, 0);
}

/* ---- streams and isochronous ---- */

static void streams(void **state)
{
	struct hc *h = *state;
	uint64_t *ctx = (uint64_t *)hc_mem(h, HC_STREAMS);

	for (unsigned i = 1; i < 4; i++) {
		ctx[2 * i] = (HC_RING + i * 0x1000 + 0x10000) | 1 << 1 | 1;
		*(struct xhci_trb *)hc_mem(h, HC_RING + i * 0x1000 + 0x10000) =
			(struct xhci_trb){ HC_DATA, 512, NORMAL | IOC | 1 };
	}
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 4);

	hc_bell(h, slot, BULK_IN | 2 << 16);
	assert_int_equal(h->usb.n, 3);
	assert_int_equal(h->usb.flight[1]->stream, 2);
	fake_usb_done(&h->usb, 1, 512, USB_OK); /* in any order */
	expect_event(h, HC_RING + 0x12000, XHCI_CC_SUCCESS, 0);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_STOP_EP, slot, BULK_IN, 0), XHCI_CC_SUCCESS);
	assert_int_equal(ctx[2], (HC_RING + 0x11000) | 3);
	assert_int_equal(ctx[4], (HC_RING + 0x12010) | 3);
	assert_int_equal(hc_ep_cmd(h, XHCI_TRB_SET_DEQ, slot, BULK_IN, (HC_RING + 0x11010) | 3),
			 XHCI_CC_STREAM_ID);
	assert_int_equal(hc_cmd(h, (HC_RING + 0x11010) | 3, 1 << 16,
				HC_TYPE(XHCI_TRB_SET_DEQ) | slot << 24 | BULK_IN << 16) &
				 0xff,
			 XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN | 3 << 16);
	assert_int_equal(h->usb.n, 1);
	assert_int_equal(h->usb.flight[0]->stream, 3);
	assert_int_equal(hc_add_ep(h, slot, 7, XHCI_EP_BULK_IN, 5),
			 XHCI_CC_PARAMETER); /* too many */
}

/* A stream whose ring is broken stops the endpoint, so the others do not go on. */
static void broken_stream(void **state)
{
	struct hc *h = *state;
	uint64_t *ctx = (uint64_t *)hc_mem(h, HC_STREAMS);
	const uint32_t ring = HC_RING + 0x10000;

	ctx[2] = ring | 1 << 1 | 1;
	ctx[4] = (ring + 0x1000) | 1 << 1 | 1;
	*(struct xhci_trb *)hc_mem(h, ring) = (struct xhci_trb){ HC_DATA, 512, NORMAL | IOC | 1 };
	*(struct xhci_trb *)hc_mem(h, ring + 0x1000) =
		(struct xhci_trb){ ring + 0x1000, 0, HC_TYPE(XHCI_TRB_LINK) | 1 };
	unsigned slot = endpoint(h, BULK_IN, XHCI_EP_BULK_IN, 4);

	hc_bell(h, slot, BULK_IN | 1 << 16);
	assert_int_equal(h->usb.submitted, 1);
	assert_int_equal(h->usb.n, 0);
	expect_event(h, ring + 0x1000, XHCI_CC_TRB, 0);
	assert_int_equal(hc_ep_state(h, slot, BULK_IN), XHCI_EP_ERROR);
	assert_int_equal(hc_cmd(h, (ring + 0x2000) | 3, 2 << 16,
				HC_TYPE(XHCI_TRB_SET_DEQ) | slot << 24 | BULK_IN << 16) & 0xff,
			 XHCI_CC_SUCCESS);
	hc_bell(h, slot, BULK_IN | 1 << 16);
	assert_int_equal(h->usb.n, 1); /* the first stream's TD runs again */
}

static void isochronous(void **state)
{
	struct hc *h = *state;
	unsigned slot = endpoint(h, 3, XHCI_EP_ISO_IN, 0);
	const uint32_t type = HC_TYPE(XHCI_TRB_ISOCH) | IOC;
	uint32_t td[4];
	struct xhci_trb t;

	for (unsigned i = 0; i < 4; i++)
		td[i] = hc_trb(h, 3, HC_DATA + i * 1024, 1024, type | (i == 3 ? 0 : XHCI_TRB_BEI));
	hc_bell(h, slot, 3);
	assert_int_equal(h->usb.n, 1);
	struct usb_packet *p = h->usb.flight[0]->packet;

	assert_int_equal(h->usb.flight[0]->n_packets, 4);
	assert_int_equal(p[3].len, 1024);
	p[0].done = 1024;
	p[1].done = 100;
	p[2].status = USB_ERROR;
	p[3].done = 1024;
	fake_usb_done(&h->usb, 0, 2148, USB_OK);
	expect_event(h, td[0], XHCI_CC_SUCCESS, 0);
	expect_event(h, td[1], XHCI_CC_SHORT, 924);
	expect_event(h, td[2], XHCI_CC_TRANSACTION, 1024);
	expect_event(h, td[3], XHCI_CC_SUCCESS, 0);
	assert_int_equal(hc_ep_state(h, slot, 3), XHCI_EP_RUNNING);
	/* Nothing more is there: that is said once. */
	assert_true(hc_event(h, &t));
	assert_int_equal(hc_cc(&t), XHCI_CC_OVERRUN);
	expect_none(h);
	/* Stop: what is done is reported, the rest stays. */
	td[0] = hc_trb(h, 3, HC_DATA, 1024, type | XHCI_TRB_BEI);
	td[1] = hc_trb(h, 3, HC_DATA, 1024, type);
	hc_bell(h, slot, 3);
	h->usb.flight[0]->packet[0].done = 1024;
	hc_cmd_post(h, 0, 0, HC_TYPE(XHCI_TRB_STOP_EP) | slot << 24 | 3 << 16);
	expect_event(h, td[0], XHCI_CC_SUCCESS, 0);
	assert_true(hc_event(h, &t));
	assert_int_equal(xhci_trb_type(&t), XHCI_TRB_EV_COMMAND);
	assert_int_equal(hc_dequeue(h, slot, 3), td[1] | 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers),
		T(address_and_disable),
		T(wrong_commands),
		T(all_slots),
		T(command_ring_wraps),
		T(command_abort),
		T(control),
		T(control_queue),
		T(short_packets),
		T(data_places),
		T(td_in_parts),
		T(stall_with_tds_in_flight),
		T(stop_endpoint),
		T(doorbell_before_command),
		T(stop_and_skip),
		T(broken_rings),
		T(busy),
		T(streams), T(broken_stream),
		T(isochronous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
