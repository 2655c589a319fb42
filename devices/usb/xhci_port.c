/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports (xHCI 1.2, 4.19 and 5.4.8), and the devices in them.
 *
 * A socket is a pair of ports, and holds one device. A device that comes goes through COMING and
 * HERE; one that leaves stays LEAVING until it has nothing in flight. Other threads only set COMING
 * and LEAVING; the controller's thread does the rest.
 */
#include <errno.h>

#include "devices/usb/xhci_parts.h"
#include "vmm/core/cleanup.h"

/* ---- registers; under the lock ---- */

static void port_set_pls(struct xhci_port *p, enum xhci_pls pls)
{
	p->portsc = (p->portsc & ~XHCI_PORT_PLS) | (uint32_t)pls << 5;
}

static enum xhci_pls port_pls(const struct xhci_port *p)
{
	return (p->portsc & XHCI_PORT_PLS) >> 5;
}

void xhci_port_change(struct xhci *x, unsigned port, uint32_t bits)
{
	struct xhci_port *p = &x->regs.port[port];

	if ((p->portsc & bits) == bits)
		return;
	p->portsc |= bits;
	x->regs.usbsts |= XHCI_STS_PCD;
	x->regs.port_event |= 1u << port;
	xhci_wake(x);
}

void xhci_ports_report(struct xhci *x)
{
	for (unsigned i = 1; i <= x->n_ports; i++)
		if (x->regs.port[i].portsc & XHCI_PORT_CHANGES)
			x->regs.port_event |= 1u << i;
}

static void port_connect(struct xhci *x, unsigned port, enum usb_speed speed)
{
	struct xhci_port *p = &x->regs.port[port];

	p->portsc &= ~(XHCI_PORT_SPEED | XHCI_PORT_PED | XHCI_PORT_PR);
	p->portsc |= XHCI_PORT_CCS | (uint32_t)speed << 10;
	/* USB 3 trains its link by itself; USB 2 waits for a reset (4.19.1). */
	port_set_pls(p, p->usb3 ? XHCI_PLS_U0 : XHCI_PLS_POLLING);
	if (p->usb3)
		p->portsc |= XHCI_PORT_PED;
	xhci_port_change(x, port, XHCI_PORT_CSC);
}

static void port_disconnect(struct xhci *x, unsigned port)
{
	struct xhci_port *p = &x->regs.port[port];

	p->portsc &= ~(XHCI_PORT_SPEED | XHCI_PORT_PED | XHCI_PORT_PR | XHCI_PORT_CCS);
	port_set_pls(p, XHCI_PLS_RX_DETECT);
	xhci_port_change(x, port, XHCI_PORT_CSC);
}

static void port_reset_done(struct xhci *x, unsigned port)
{
	struct xhci_port *p = &x->regs.port[port];
	bool warm = x->regs.port_warm >> port & 1;

	if (!(p->portsc & XHCI_PORT_PR))
		return;
	x->regs.port_warm &= ~(1u << port);
	p->portsc &= ~XHCI_PORT_PR;
	if (p->portsc & XHCI_PORT_CCS) {
		p->portsc |= XHCI_PORT_PED;
		port_set_pls(p, XHCI_PLS_U0);
	}
	xhci_port_change(x, port, XHCI_PORT_PRC | (warm ? XHCI_PORT_WRC : 0));
}

/* The guest writes the state of the link, with LWS. */
static void port_link_write(struct xhci *x, unsigned port, enum xhci_pls want)
{
	struct xhci_port *p = &x->regs.port[port];
	enum xhci_pls now = port_pls(p);

	if (want == XHCI_PLS_RX_DETECT && p->usb3 && now == XHCI_PLS_DISABLED) {
		port_set_pls(p, XHCI_PLS_RX_DETECT);
		if (p->portsc & XHCI_PORT_CCS)
			port_connect(x, port, (p->portsc & XHCI_PORT_SPEED) >> 10);
		return;
	}
	if (want == XHCI_PLS_DISABLED && p->usb3) {
		p->portsc &= ~XHCI_PORT_PED;
		port_set_pls(p, XHCI_PLS_DISABLED);
		return;
	}
	if (!(p->portsc & XHCI_PORT_PED))
		return;
	if (want == XHCI_PLS_U3 || (want == XHCI_PLS_RESUME && !p->usb3 && now == XHCI_PLS_U3))
		port_set_pls(p, want);
	if (want == XHCI_PLS_U0 && now != XHCI_PLS_U0) {
		port_set_pls(p, XHCI_PLS_U0);
		xhci_port_change(x, port, XHCI_PORT_PLC);
	}
}

void xhci_port_write(struct xhci *x, unsigned port, uint32_t val)
{
	struct xhci_port *p = &x->regs.port[port];
	uint32_t keep = XHCI_PORT_PIC | XHCI_PORT_WAKE;
	bool warm = p->usb3 && val & XHCI_PORT_WPR;

	p->portsc &= ~(val & XHCI_PORT_CHANGES);
	p->portsc = (p->portsc & ~keep) | (val & keep);
	if (val & XHCI_PORT_PED && p->portsc & XHCI_PORT_PED) {
		p->portsc &= ~XHCI_PORT_PED;
		port_set_pls(p, XHCI_PLS_DISABLED);
	}
	if ((val & XHCI_PORT_PR || warm) && p->portsc & XHCI_PORT_CCS) {
		p->portsc = (p->portsc & ~XHCI_PORT_PED) | XHCI_PORT_PR;
		x->regs.port_reset |= 1u << port;
		if (warm)
			x->regs.port_warm |= 1u << port;
		xhci_wake(x);
		return;
	}
	if (val & XHCI_PORT_LWS)
		port_link_write(x, port, (val & XHCI_PORT_PLS) >> 5);
}

void xhci_ports_reset(struct xhci *x)
{
	x->regs.port_reset = x->regs.port_warm = x->regs.port_event = 0;
	for (unsigned i = 1; i <= x->n_ports; i++) {
		x->regs.port[i] = (struct xhci_port){ .usb3 = i <= x->n_sockets };
		x->regs.port[i].portsc = XHCI_PORT_PP;
		port_set_pls(&x->regs.port[i], XHCI_PLS_RX_DETECT);
	}
	for (unsigned i = 0; i < x->n_sockets; i++)
		if (x->socket[i].port)
			port_connect(x, x->socket[i].port, x->socket[i].dev->speed);
}

/* ---- sockets ---- */

static void port_each_ep(struct xhci *x, unsigned port, void (*fn)(struct xhci_ep *))
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		if (x->slot[i].enabled && x->slot[i].port == port)
			xhci_slot_each(&x->slot[i], fn);
}

static void ep_lose(struct xhci_ep *e)
{
	xhci_ep_drain(e, XHCI_DRAIN_SELF);
}

static void ep_reset_begin(struct xhci_ep *e)
{
	xhci_ep_drain(e, XHCI_DRAIN_PORT);
}

static void ep_reset_end(struct xhci_ep *e)
{
	xhci_ep_undrain(e, XHCI_DRAIN_PORT);
}

static void socket_empty(struct xhci_socket *s)
{
	struct usb_device *dev = s->dev;

	pthread_mutex_lock(&s->x->pci.lock);
	s->dev = NULL;
	s->state = XHCI_EMPTY;
	pthread_cond_broadcast(&s->x->settled);
	pthread_mutex_unlock(&s->x->pci.lock);
	dev->ops->detached(dev);
}

static void socket_come(struct xhci_socket *s)
{
	struct xhci *x = s->x;
	unsigned i = (unsigned)(s - x->socket) + 1;
	unsigned port = s->dev->speed == USB_SUPER ? i : i + x->n_sockets;

	if (s->dev->ops->attached && s->dev->ops->attached(s->dev, x->loop)) {
		socket_empty(s);
		return;
	}
	scoped_lock(&x->pci.lock);
	s->port = port;
	if (s->state == XHCI_COMING) /* else it was detached meanwhile */
		s->state = XHCI_HERE;
	port_connect(x, port, s->dev->speed);
}

static void socket_reset_end(struct xhci_socket *s)
{
	unsigned port = s->port;

	s->resetting = false;
	port_each_ep(s->x, port, ep_reset_end);
	scoped_lock(&s->x->pci.lock);
	port_reset_done(s->x, port);
}

static void socket_leave(struct xhci_socket *s)
{
	struct xhci *x = s->x;

	if (s->port) {
		port_each_ep(x, s->port, ep_lose);
		if (s->resetting)
			socket_reset_end(s);
		scoped_lock(&x->pci.lock);
		port_disconnect(x, s->port);
		s->port = 0;
	}
	if (!s->flights)
		socket_empty(s);
}

static void socket_reset(struct xhci_socket *s)
{
	if (!s->resetting) {
		s->resetting = true;
		port_each_ep(s->x, s->port, ep_reset_begin);
	}
	if (s->flights)
		return;
	s->dev->ops->reset(s->dev);
	socket_reset_end(s);
}

void xhci_sockets_work(struct xhci *x)
{
	uint32_t resets;

	pthread_mutex_lock(&x->pci.lock);
	resets = x->regs.port_reset;
	x->regs.port_reset = 0;
	pthread_mutex_unlock(&x->pci.lock);
	for (unsigned i = 0; i < x->n_sockets; i++) {
		struct xhci_socket *s = &x->socket[i];
		enum xhci_socket_state state;

		pthread_mutex_lock(&x->pci.lock);
		state = s->state;
		pthread_mutex_unlock(&x->pci.lock);
		if (state == XHCI_COMING)
			socket_come(s);
		else if (state == XHCI_LEAVING)
			socket_leave(s);
		else if (s->resetting || (s->port && resets >> s->port & 1))
			socket_reset(s);
	}
}

void xhci_port_events(struct xhci *x)
{
	uint32_t ports;

	if (xhci_events_wait(x))
		return;
	pthread_mutex_lock(&x->pci.lock);
	ports = x->regs.port_event;
	x->regs.port_event = 0;
	pthread_mutex_unlock(&x->pci.lock);
	for (unsigned i = 1; i <= x->n_ports; i++) {
		struct xhci_trb t = { .param = (uint64_t)i << 24,
				      .status = (uint32_t)XHCI_CC_SUCCESS << 24,
				      .control = XHCI_TRB_EV_PORT << 10 };

		if (ports >> i & 1)
			xhci_event_push(x, &t, false);
	}
}

/* ---- any thread ---- */

static struct xhci_socket *socket_free(struct xhci *x, unsigned port)
{
	for (unsigned i = 0; i < x->n_sockets; i++)
		if ((!port || port == i + 1) && x->socket[i].state == XHCI_EMPTY)
			return &x->socket[i];
	return NULL;
}

int xhci_attach(struct xhci *x, unsigned port, struct usb_device *dev, struct error *err)
{
	struct xhci_socket *s;

	if (port > x->n_sockets)
		return error_set(err, -EINVAL, "there is no USB port %u: the ports are 1 to %u",
				 port, x->n_sockets);
	scoped_lock(&x->pci.lock);
	if (x->regs.ended)
		return error_set(err, -ENODEV, "the USB controller was removed");
	s = socket_free(x, port);
	if (!s && port)
		return error_set(err, -EBUSY, "USB port %u has a device", port);
	if (!s)
		return error_set(err, -ENOSPC, "all %u USB ports have a device", x->n_sockets);
	dev->complete = xhci_complete;
	dev->owner = s;
	s->dev = dev;
	s->state = XHCI_COMING;
	xhci_wake(x);
	return (int)(s - x->socket) + 1;
}

void xhci_detach(struct xhci *x, struct usb_device *dev)
{
	scoped_lock(&x->pci.lock);
	for (unsigned i = 0; i < x->n_sockets; i++)
		if (x->socket[i].dev == dev)
			x->socket[i].state = XHCI_LEAVING;
	xhci_wake(x);
}
