/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller as a PCI device, and its thread. See xhci_parts.h for the other files.
 *
 * The thread sleeps in an event loop. What wakes it (a register, a completion, a timer) asks for a
 * turn; a turn looks at everything and goes on until nothing changes, or for a limited number of
 * steps. The controller is held while the guest has stopped it, resets it, has switched off bus
 * mastering, or while the machine is paused: all jobs are cancelled; when the last one is back, and
 * its data is written, the controller is quiet, and touches no guest memory until it is let go.
 *
 * A device of the host may hold a job for seconds, while the kernel waits for it. The guest must
 * not wait so long, so such jobs are abandoned. Time is counted in ticks of the loop, in which what
 * has completed is seen first, so that a busy host does not look like a slow device.
 */
#include "devices/usb/xhci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "devices/backend/iothread.h"
#include "devices/pci/msix.h"
#include "devices/usb/xhci_parts.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"

#define XHCI_VENDOR 0x1b36u
#define XHCI_DEVICE 0x000du
#define XHCI_CLASS  0x0c0330u
#define XHCI_SBRN   0x60u
#define XHCI_STEPS  32u
#define END_NS	    1000000000ull

/* ---- held and quiet ---- */

static bool regs_hold(const struct xhci_regs *r)
{
	return !(r->usbcmd & XHCI_CMD_RUN) || r->usbsts & XHCI_STS_HCE || r->reset || r->paused ||
	       !r->master || r->ended;
}

static bool hold_wanted(struct xhci *x, bool *quiet)
{
	scoped_lock(&x->pci.lock);
	bool hold = regs_hold(&x->regs);

	if (!hold)
		x->regs.quiet = false;
	*quiet = x->regs.quiet && !x->regs.reset;
	return hold;
}

static void ep_hold(struct xhci_ep *e)
{
	xhci_ep_drain(e, XHCI_DRAIN_HOLD);
}

static void ep_release(struct xhci_ep *e)
{
	xhci_ep_undrain(e, XHCI_DRAIN_HOLD);
}

/* HCRST (4.2, 5.4.1): slots and rings are gone. Guest memory does not change. */
static void slots_reset(struct xhci *x)
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		xhci_slot_free(&x->slot[i]);
	xhci_cmds_reset(x);
	xhci_events_reset(x);
	x->kicked = x->dirty = x->retry_ns = 0;
	for (unsigned i = 0; i < x->n_sockets; i++)
		x->socket[i].resetting = false;
}

/* No job is left. */
static void held_settle(struct xhci *x, bool quiet)
{
	bool reset;

	if (quiet)
		return;
	pthread_mutex_lock(&x->pci.lock);
	reset = x->regs.reset;
	pthread_mutex_unlock(&x->pci.lock);
	if (reset)
		slots_reset(x);
	else
		xhci_events_flush(x);
	scoped_lock(&x->pci.lock);
	if (reset)
		xhci_regs_reset(x);
	if (!regs_hold(&x->regs)) {
		x->more = true;
		return;
	}
	if (!(x->regs.usbcmd & XHCI_CMD_RUN)) {
		x->regs.usbsts |= XHCI_STS_HCH;
		x->regs.crr = false;
	}
	if (x->regs.reset) {
		x->more = true; /* it came meanwhile */
		return;
	}
	x->regs.quiet = true;
	pthread_cond_broadcast(&x->settled);
}

static unsigned ticks_allowed(struct xhci *x)
{
	scoped_lock(&x->pci.lock);
	const struct xhci_regs *r = &x->regs;

	return r->paused && r->usbcmd & XHCI_CMD_RUN ? XHCI_PAUSE_TICKS : XHCI_HALT_TICKS;
}

static void held_wait(struct xhci *x)
{
	uint64_t now = evloop_now_ns();

	if (x->tick_ns > now)
		return;
	if (x->tick_ns && ++x->ticks >= ticks_allowed(x))
		xhci_each_ep(x, xhci_ep_abandon);
	x->tick_ns = now + XHCI_TICK_NS;
}

static void held_work(struct xhci *x, bool quiet)
{
	if (x->n_jobs) {
		held_wait(x);
		return;
	}
	x->tick_ns = x->ticks = 0;
	held_settle(x, quiet);
}

/* ---- a turn ---- */

static void ep_retry_now(struct xhci_ep *e)
{
	if (!e->busy)
		return;
	e->busy = false;
	xhci_ep_kick(e);
}

/* Endpoints that found too little memory try again when a job is gone, or after a while. */
static void retry_work(struct xhci *x)
{
	if (!x->retry_ns || (!x->freed && evloop_now_ns() < x->retry_ns))
		return;
	x->retry_ns = 0;
	xhci_each_ep(x, ep_retry_now);
}

static void xhci_step(struct xhci *x)
{
	bool quiet, hold = hold_wanted(x, &quiet);

	xhci_sockets_work(x);
	if (hold != x->held)
		xhci_each_ep(x, hold ? ep_hold : ep_release);
	x->held = hold;
	xhci_eps_settle(x);
	if (hold) {
		held_work(x, quiet);
		return;
	}
	x->tick_ns = x->ticks = 0;
	retry_work(x);
	x->freed = false;
	xhci_port_events(x);
	xhci_events_flush(x);
	if (xhci_events_wait(x))
		return;
	xhci_cmds_work(x);
	xhci_bells_work(x);
	xhci_eps_pump(x);
}

static void timer_update(struct xhci *x)
{
	uint64_t next = x->tick_ns;

	if (!x->held) {
		scoped_lock(&x->pci.lock);
		next = xhci_intr_try(x);
	}
	if (!x->held && x->retry_ns && (!next || x->retry_ns < next))
		next = x->retry_ns;
	if (next != x->timer_ns)
		ev_timer_set(x->timer, next);
	x->timer_ns = next;
}

static void xhci_turn(void *opaque)
{
	struct xhci *x = opaque;

	x->in_turn = true;
	for (unsigned i = 0; i < XHCI_STEPS; i++) {
		x->more = false;
		xhci_step(x);
		if (!x->more)
			break;
	}
	x->in_turn = false;
	if (x->more)
		xhci_wake(x);
	timer_update(x);
}

static void timer_fired(void *opaque)
{
	struct xhci *x = opaque;

	x->timer_ns = 0;
	xhci_turn(x);
}

/* ---- the thread ---- */

static void thread_leaves(void *opaque, int fd, uint32_t events)
{
	struct xhci *x = opaque;

	(void)events;
	eventfd_drain(fd);
	if (!iothread_wanted(x->thread))
		evloop_stop(x->loop, 0);
}

static void thread_run(void *opaque)
{
	struct xhci *x = opaque;

	evloop_run(x->loop);
}

static const struct iothread_ops thread_ops = { .run = thread_run };

/* ---- PCI ---- */

static struct xhci *from_pci(struct pci_device *dev)
{
	return container_of(dev, struct xhci, pci);
}

static void xhci_cfg_written(struct pci_device *dev, unsigned off, unsigned size)
{
	struct xhci *x = from_pci(dev);
	bool master = pci_bus_master(dev);

	if (range_overlaps(off, size, PCI_COMMAND, 2) ||
	    range_overlaps(off, size, dev->cfg[PCI_CAPABILITY_LIST], 4))
		msix_cfg_written(dev);
	scoped_lock(&dev->lock);
	x->regs.master = master;
	xhci_intr_update(x);
	xhci_wake(x);
}

/* The thread has reset the controller before (quiesce). */
static void xhci_pci_reset(struct pci_device *dev)
{
	struct xhci *x = from_pci(dev);

	msix_reset(dev);
	scoped_lock(&dev->lock);
	x->regs.master = x->regs.frozen = false;
	xhci_wake(x);
}

static bool xhci_pci_quiesce(struct pci_device *dev)
{
	struct xhci *x = from_pci(dev);

	scoped_lock(&dev->lock);
	if (!x->regs.frozen) {
		x->regs.frozen = x->regs.reset = true;
		x->regs.usbcmd = 0;
		xhci_wake(x);
	}
	return !x->regs.reset;
}

static bool xhci_pci_pause(struct pci_device *dev, bool pause)
{
	struct xhci *x = from_pci(dev);

	scoped_lock(&dev->lock);
	x->regs.paused = pause;
	xhci_wake(x);
	return !pause || x->regs.quiet;
}

static const struct pci_device_ops xhci_pci_ops = {
	.cfg_written = xhci_cfg_written,
	.reset = xhci_pci_reset,
	.quiesce = xhci_pci_quiesce,
	.pause = xhci_pci_pause,
};

/* ---- making and freeing ---- */

static int host_init(struct xhci *x, struct error *err)
{
	x->loop = evloop_new();
	x->wake_fd = eventfd_new();
	if (!x->loop || x->wake_fd < 0)
		return error_set(err, -errno, "usb: %s", strerror(errno));
	x->timer = evloop_add_timer(x->loop, timer_fired, x);
	x->wake_source = evloop_add_fd(x->loop, x->wake_fd, EPOLLIN, thread_leaves, x);
	if (!x->timer || !x->wake_source)
		return error_set(err, -errno, "usb: %s", strerror(errno));
	x->thread = iothread_new("usb", x->wake_fd, &thread_ops, x, err);
	return x->thread ? 0 : err ? err->code : -EAGAIN;
}

static int pci_part_init(struct xhci *x, struct error *err)
{
	int ret = msix_init(&x->pci, 1, 0, XHCI_MSIX, err);

	if (ret)
		return ret;
	x->pci.cfg[XHCI_SBRN] = 0x30; /* 5.2.3: USB 3.0 */
	x->pci.cfg[XHCI_SBRN + 1] = 0x20;
	ret = pci_add_bar(&x->pci, 0, PCI_BAR_MEM64, false, XHCI_BAR_SIZE, &xhci_bar_ops, x);
	return ret ? error_set(err, ret, "usb: %s", strerror(-ret)) : 0;
}

static int xhci_plug(struct xhci *x, struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
		     struct error *err)
{
	int ret;

	pci_place(root, bus, &x->pci, devfn);
	ret = pci_add_intx(&x->pci, 1);
	if (ret)
		return error_set(err, ret, "usb: %s", strerror(-ret));
	ret = pci_add(root, bus, &x->pci, devfn, err);
	if (!ret)
		iothread_resume(x->thread);
	return ret;
}

static void xhci_init(struct xhci *x, struct pci_root *root, unsigned ports)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&x->settled, &attr);
	pthread_condattr_destroy(&attr);
	pci_device_init(&x->pci, "usb", &xhci_pci_ops, XHCI_VENDOR, XHCI_DEVICE, XHCI_CLASS, 1);
	x->mem = x->mem_rw = root->mem;
	x->n_sockets = ports;
	x->n_ports = 2 * ports;
	x->wake_fd = -1;
	x->call = (struct ev_call){ .fn = xhci_turn, .arg = x };
	x->held = true;
	for (unsigned i = 0; i <= XHCI_SLOTS; i++)
		x->slot[i] = (struct xhci_slot){ .x = x, .id = (uint8_t)i };
	for (unsigned i = 0; i < ports; i++)
		x->socket[i].x = x;
	xhci_regs_reset(x);
	x->regs.quiet = true;
}

static void xhci_destroy(struct xhci *x)
{
	iothread_free(x->thread);
	slots_reset(x);
	if (x->loop) {
		evloop_del_timer(x->timer);
		evloop_cancel(x->loop, &x->call);
		evloop_free(x->loop);
	}
	cleanup_close(&x->wake_fd);
	msix_destroy(&x->pci);
	pci_device_destroy(&x->pci);
	pthread_cond_destroy(&x->settled);
	free(x);
}

struct xhci *xhci_new(struct pci_root *root, struct pci_bus *bus, uint8_t devfn, unsigned ports,
		      struct error *err)
{
	struct xhci *x = calloc(1, sizeof(*x));

	if (!x) {
		error_set(err, -ENOMEM, "usb: out of memory");
		return NULL;
	}
	ports = ports ? ports : XHCI_PORTS_DEFAULT;
	xhci_init(x, root, ports < XHCI_PORTS_MAX ? ports : XHCI_PORTS_MAX);
	if (!pci_part_init(x, err) && !host_init(x, err) && !xhci_plug(x, root, bus, devfn, err))
		return x;
	pci_remove(&x->pci);
	xhci_destroy(x);
	return NULL;
}

void xhci_unplug(struct xhci *x)
{
	pthread_mutex_lock(&x->pci.lock);
	x->regs.ended = true; /* the thread raises no interrupt from here on */
	pthread_mutex_unlock(&x->pci.lock);
	xhci_wake(x);
	pci_remove(&x->pci);
}

static bool all_settled(const struct xhci *x)
{
	for (unsigned i = 0; i < x->n_sockets; i++)
		if (x->socket[i].state != XHCI_EMPTY)
			return false;
	return x->regs.quiet;
}

/* True: all devices are out, and nothing is in flight. */
static bool xhci_end(struct xhci *x)
{
	uint64_t end = evloop_now_ns() + END_NS;
	struct timespec t = { (time_t)(end / 1000000000), (long)(end % 1000000000) };

	scoped_lock(&x->pci.lock);
	for (unsigned i = 0; i < x->n_sockets; i++)
		if (x->socket[i].state != XHCI_EMPTY)
			x->socket[i].state = XHCI_LEAVING;
	xhci_wake(x);
	while (!all_settled(x))
		if (pthread_cond_timedwait(&x->settled, &x->pci.lock, &t) == ETIMEDOUT)
			break;
	return all_settled(x);
}

bool xhci_free(struct xhci *x)
{
	if (!x)
		return true;
	xhci_unplug(x);
	if (!xhci_end(x))
		return false;
	xhci_destroy(x);
	return true;
}
