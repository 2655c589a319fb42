/* SPDX-License-Identifier: BSD-2-Clause */
/* The USB controller: a hostile driver, with a device of each kind. A step has 8 bytes; the first
 * one says what it does. */
#include "devices/usb/usb_hid.h"
#include "tests/fuzz/host_side.h"
#include "tests/unit/inline_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define STEP	  8u
#define STEPS_MAX 128u

static struct hc h;
static struct usb_hid *keyboard;
static bool plugged;

static void setup(void)
{
	require(hc_init(&h, inline_turn) == 0);
	require(xhci_attach(h.x, 1, &h.usb.dev, NULL) == 1);
	keyboard = usb_hid_new(USB_HID_KEYBOARD, NULL, NULL);
	require(xhci_attach(h.x, 2, usb_hid_device(keyboard), NULL) == 2);
	plugged = true;
}

/* Slot 1 has the fake device, with an endpoint of each type; slot 2 the keyboard. */
static void begin(void)
{
	static const uint8_t types[] = { [2] = XHCI_EP_BULK_OUT, [3] = XHCI_EP_BULK_IN,
					 [4] = XHCI_EP_ISO_OUT,	 [5] = XHCI_EP_ISO_IN,
					 [6] = XHCI_EP_INT_OUT,	 [7] = XHCI_EP_INT_IN };

	if (!plugged)
		xhci_attach(h.x, 1, &h.usb.dev, NULL);
	plugged = true;
	memset(h.r.ram, 0, HC_DATA);
	hc_start(&h, 2, 32);
	hc_address(&h, 1);
	memset(hc_input(&h, 0), 0, 33 * 32);
	hc_input(&h, 0)->w[1] = 1;
	for (unsigned dci = 2; dci < 8; dci++)
		hc_input_ep(&h, dci, types[dci], 0);
	hc_input_ep(&h, 9, XHCI_EP_BULK_IN, 4);
	for (unsigned i = 1; i < 4; i++)
		((uint64_t *)hc_mem(&h, HC_STREAMS))[2 * i] = (HC_RING + (16 + i) * 0x1000) | 3;
	hc_cmd(&h, HC_INPUT, 0, HC_TYPE(XHCI_TRB_CONFIGURE) | 1u << 24);
	hc_set(&h, HC_PORTSC(6), XHCI_PORT_PP | XHCI_PORT_PR);
	hc_address(&h, 6);
}

static void complete_one(unsigned i, uint32_t done, unsigned status)
{
	if (!h.usb.n)
		return;
	i %= h.usb.n;
	struct usb_xfer *t = h.usb.flight[i];

	for (unsigned k = 0; k < t->n_packets; k++) {
		t->packet[k].done = done % (t->packet[k].len + 1);
		t->packet[k].status = (done >> k) % (USB_BUSY + 1);
	}
	fake_usb_done(&h.usb, i, done, status % (USB_BUSY + 1));
}

static void machine(uint8_t how)
{
	if (how & 1)
		pci_pause(&h.f.root, how & 2);
	if (how & 4) {
		h.usb.slow_cancel = how & 8;
		h.usb.busy = how & 16;
	}
	if (how & 32 && plugged) {
		xhci_detach(h.x, &h.usb.dev);
		plugged = false;
	} else if (how & 64 && !plugged && h.x->socket[0].state == XHCI_EMPTY) {
		plugged = xhci_attach(h.x, 1, &h.usb.dev, NULL) == 1;
	}
	if (how == 0x80) {
		pci_quiesce(&h.f.root);
		inline_turn(&h);
		h.x->pci.ops->reset(&h.x->pci);
	}
	usb_hid_key(keyboard, how, !(how & 1));
}

static void step(const uint8_t *s)
{
	unsigned off = s[2] | s[3] << 8, dci = s[1] & 31;
	uint32_t val;
	struct xhci_trb t;

	memcpy(&val, s + 4, 4);
	switch (s[0] & 15) {
	case 0:
		bus_write(h.f.root.mmio, HC_BAR + off % XHCI_BAR_SIZE, 1u << (s[1] & 3), val);
		break;
	case 1:
		bus_read(h.f.root.mmio, HC_BAR + off % XHCI_BAR_SIZE, 1u << (s[1] & 3));
		break;
	case 2: /* contexts, rings, segment tables, data */
		memcpy(h.r.ram + HC_DCBAA + off % (HC_DATA - HC_DCBAA - 4), &val, 4);
		break;
	case 3:
	case 4: /* a TRB with its memory */
		hc_trb(&h, dci, HC_DATA + off, val & 0x7ffff, (uint32_t)s[6] << 10 | (s[7] & 0xfeu) << 2);
		break;
	case 5: /* one that is as it should be */
		hc_trb(&h, dci, HC_DATA + off, val & 0xfff,
		       HC_TYPE(dci == 4 || dci == 5 ? XHCI_TRB_ISOCH : XHCI_TRB_NORMAL) | XHCI_TRB_IOC |
			       (s[6] & 1 ? XHCI_TRB_CH : 0) | (s[6] & 2 ? XHCI_TRB_BEI : 0));
		break;
	case 6:
		hc_bell(&h, s[2] % 4, dci | (uint32_t)s[3] << 16);
		break;
	case 7: /* a command on its endpoint */
		hc_cmd_post(&h, s[6] & 1 ? HC_INPUT : val, s[7],
			    (uint32_t)(9 + s[2] % 16) << 10 | (s[3] % 4u) << 24 | dci << 16);
		break;
	case 8:
	case 9:
		complete_one(s[1], val & 0xffff, s[2]);
		inline_turn(&h);
		break;
	case 10:
		hc_set(&h, HC_PORTSC(1 + s[1] % 8), val);
		inline_turn(&h);
		break;
	case 11:
		machine(s[1]);
		inline_turn(&h);
		break;
	case 12:
		hc_event(&h, &t);
		break;
	case 13: /* a control request */
		hc_control(&h, 1 + s[1] % 2, (uint64_t)val | (uint64_t)(s[2] & 63) << 48, s[2] & 63);
		break;
	case 14:
		hc_input_ep(&h, dci ? dci : 1, s[2] & 7, s[3] & 7);
		break;
	case 15:
		hc_trb(&h, dci, 0x0001020304050607ull, s[2] % 10,
		       HC_TYPE(XHCI_TRB_NORMAL) | XHCI_TRB_IDT | XHCI_TRB_IOC);
		break;
	}
}

/* To the state after a reset, with nothing in flight. */
static void end(void)
{
	h.usb.slow_cancel = h.usb.busy = false;
	pci_pause(&h.f.root, false);
	pci_cfg_write(&h.f.root, 0, HC_DEVFN, PCI_BASE_ADDRESS_0, 4, HC_BAR);
	pci_cfg_write(&h.f.root, 0, HC_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	inline_turn(&h);
	hc_set(&h, HC_OPER(XHCI_USBCMD), XHCI_CMD_HCRST);
	inline_turn(&h);
	while (h.usb.n)
		fake_usb_done(&h.usb, h.usb.n - 1, 0, USB_CANCELLED);
	inline_turn(&h);
	require(!h.x->n_jobs && !h.x->cost && !h.x->regs.reset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!h.x)
		setup();
	begin();
	for (size_t i = 0; i < STEPS_MAX && (i + 1) * STEP <= len; i++)
		step(data + i * STEP);
	end();
	return 0;
}
