/* SPDX-License-Identifier: BSD-2-Clause */
/* What all parts of the controller call. */
#include "devices/usb/xhci_parts.h"
#include "vmm/core/cleanup.h"

void xhci_wake(struct xhci *x)
{
	evloop_call(x->loop, &x->call);
}

void xhci_fail(struct xhci *x, const char *why)
{
	scoped_lock(&x->pci.lock);

	x->more = true;
	if (x->regs.usbsts & XHCI_STS_HCE)
		return;
	x->regs.usbsts |= XHCI_STS_HCE;
	log_guest(&x->limit, "%s: the guest's driver made a mistake: %s; the controller stops",
		  x->pci.name, why);
}

struct xhci_socket *xhci_port_socket(struct xhci *x, unsigned port)
{
	if (!port)
		return NULL;
	struct xhci_socket *s = &x->socket[(port - 1) % x->n_sockets];

	return s->port == port ? s : NULL;
}
