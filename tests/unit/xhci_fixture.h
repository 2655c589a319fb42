/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of the controller on the test's thread: what each one begins and ends with. */
#ifndef TESTS_UNIT_XHCI_FIXTURE_H
#define TESTS_UNIT_XHCI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/inline_loop.h"

/* A controller that runs, with a device in port 1. */
static inline int setup(void **state)
{
	struct hc *h = malloc(sizeof(*h));
	struct error err = { 0 };

	assert_int_equal(hc_init(h, inline_turn), 0);
	assert_int_equal(xhci_attach(h->x, 0, &h->usb.dev, &err), 1);
	hc_start(h, 1, 256);
	*state = h;
	return 0;
}

static inline int teardown(void **state)
{
	struct hc *h = *state;

	h->usb.slow_cancel = false;
	if (!h->usb.detached)
		xhci_detach(h->x, &h->usb.dev);
	pci_pause(&h->f.root, false);
	hc_set(h, HC_OPER(XHCI_USBCMD), 0);
	inline_turn(h);
	while (h->usb.n)
		fake_usb_done(&h->usb, h->usb.n - 1, 0, USB_CANCELLED);
	inline_turn(h);
	assert_true(xhci_free(h->x));
	assert_int_equal(h->usb.detached, 1);
	fake_root_free(&h->f);
	ring_free(&h->r);
	free(h);
	return 0;
}

#endif
