/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One passed-through function: puts its parts together, in the order that they need each other.
 *
 *   config.c  what the guest reads      irq.c   interrupts       rom.c    its option ROM
 *   bar.c     memory and I/O            vga.c   legacy VGA       quirk.c  what single chips need
 *
 * Threads: see device.h. What must happen off the vCPUs (stale BARs leaving, peer-to-peer mappings)
 * is asked for by an eventfd and done by the main loop under the root lock.
 */
#include "vfio/device.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vfio/bar.h"
#include "vfio/clique.h"
#include "vfio/config.h"
#include "vfio/info_cap.h"
#include "vfio/irq.h"
#include "vfio/notify.h"
#include "vfio/quirk.h"
#include "vfio/rom.h"
#include "vfio/stats.h"
#include "vfio/vga.h"
#include "vfio/host/reset_choice.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hold.h"
#include "vmm/core/stats.h"

#define RETRY_NS 5000000ull

/* ---- main loop ---- */

/* A processor may hold the root lock for as long as the kernel resets a device: the main loop,
 * which ends machines, does not wait for it but looks again. */
static void loop_work(void *arg)
{
	struct vfio_pci *v = arg;
	uint64_t now = evloop_now_ns();

	if (pthread_mutex_trylock(&v->dev.root->lock)) {
		ev_timer_set(v->linger, now + RETRY_NS);
		return;
	}
	if (v->kicked) {
		v->kicked = false;
		v->linger_ns = now + VFIO_LINGER_NS;
		vfio_bars_p2p(v);
	}
	if (vfio_bars_any(v, true) && now < v->linger_ns) {
		ev_timer_set(v->linger, v->linger_ns);
	} else {
		vfio_bars_drop(v, true);
		vfio_config_push_command(v);
	}
	pthread_mutex_unlock(&v->dev.root->lock);
}

static void on_kick(void *arg, int fd, uint32_t events)
{
	struct vfio_pci *v = arg;

	(void)events;
	if (!eventfd_drain(fd))
		return;
	v->kicked = true;
	loop_work(v);
}

static void loop_leave(struct vfio_pci *v)
{
	vfio_notify_unwatch(v);
	if (v->kick_source)
		evloop_del_fd(v->kick_source);
	if (v->linger)
		evloop_del_timer(v->linger);
	v->kick_source = NULL;
	v->linger = NULL;
}

static int loop_join(struct vfio_pci *v)
{
	struct evloop *loop = v->dev.root->loop;

	if (!loop)
		return 0;
	v->linger = evloop_add_timer(loop, loop_work, v);
	if (v->linger)
		v->kick_source = evloop_add_fd(loop, v->kick, EPOLLIN, on_kick, v);
	if (!v->kick_source)
		return -ENOMEM;
	vfio_notify_watch(v, loop);
	return 0;
}

/* ---- reset ---- */

static void irqs_off(struct vfio_pci *v)
{
	scoped_lock(&v->dev.lock);
	vfio_irqs_off(v);
}

/* Root lock held. The guest's side of a reset; the hardware keeps quiet until it is told more. */
static void reset_state(struct vfio_pci *v)
{
	irqs_off(v);
	vfio_bars_drop(v, false);
	vfio_config_reset(v);
}

static void start_over(struct vfio_pci *v)
{
	scoped_lock(&v->dev.lock);
	vfio_irqs_reset(v);
	v->irq.ready = v->plugged;
	vfio_irqs_sync(v);
}

/* It takes 100 ms and, with a device that does not come back, up to a minute. Where every processor
 * of a guest asks for resets, each would have its own before it stops: so the reset waits when the
 * processor is wanted elsewhere, till one of them comes back to the device. What ends the machine
 * or starts it over resets the device anyway. */
static void reset_or_wait(struct vfio_pci *v)
{
	int ret;

	v->reset_due = hold_is_over();
	if (v->reset_due)
		return;
	ret = v->k->ops->reset(v->k);
	if (ret)
		log_guest(&v->dev.limit, "%s: reset failed: %s", v->k->name, strerror(-ret));
}

/* A secondary bus reset by the guest resets the function for real when it can be; at the machine's
 * reset (the bridge's bit reads 0 by now) composition does that, with what shares its bus. */
static void reset_op(struct pci_device *dev)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	const struct pci_device *bridge = dev->bus ? dev->bus->bridge : NULL;

	reset_state(v);
	v->reset_due = false;
	if (bridge && pci_get16(bridge->cfg, PCI_BRIDGE_CONTROL) & PCI_BRIDGE_CTL_BUS_RESET &&
	    vfio_pci_has_reset(v)) {
		reset_or_wait(v);
		vfio_config_silence(v);
	}
	start_over(v);
}

/* The bits of a write that ask for a function-level reset: PCI Express 4.0, 7.5.3.4; PCI Advanced
 * Features, 3. */
static uint32_t flr_bits(const struct vfio_pci *v, unsigned off, unsigned size)
{
	const struct {
		unsigned cap, at, bit;
	} regs[] = { { v->exp_cap, v->exp_cap + PCI_EXP_DEVCTL + 1, PCI_EXP_DEVCTL_BCR_FLR >> 8 },
		     { v->af_cap, v->af_cap + PCI_AF_CTRL, PCI_AF_CTRL_FLR } };
	uint32_t mask = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		if (regs[i].cap && range_overlaps(off, size, regs[i].at, 1))
			mask |= regs[i].bit << (8 * (regs[i].at - off));
	return mask;
}

static uint32_t cfg_read(struct pci_device *dev, unsigned off, unsigned size)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	if (v->reset_due)
		reset_or_wait(v);
	return vfio_config_read(dev, off, size);
}

static void cfg_write(struct pci_device *dev, unsigned off, unsigned size, uint32_t val)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	uint32_t flr = val & flr_bits(v, off, size);

	if (v->reset_due)
		reset_or_wait(v);
	if (flr && hold_is_over() && vfio_pci_has_reset(v)) {
		v->reset_due = true;
		val &= ~flr;
	}
	vfio_config_write(dev, off, size, val);
}

static pthread_mutex_t *root_lock(struct vfio_pci *v)
{
	return v->plugged ? &v->dev.root->lock : NULL;
}

void vfio_pci_quiesce(struct vfio_pci *v)
{
	scoped_lock(root_lock(v));
	irqs_off(v);
	vfio_bars_drop(v, false);
	vfio_config_silence(v);
}

void vfio_pci_set_p2p(struct vfio_pci *v, bool on)
{
	scoped_lock(root_lock(v));
	if (v->env.p2p == on)
		return;
	v->env.p2p = on;
	if (on)
		vfio_pci_kick(v);
	else
		vfio_bars_p2p(v);
}

void vfio_pci_after_reset(struct vfio_pci *v)
{
	scoped_lock(root_lock(v));
	reset_state(v);
	v->reset_due = false;
	if (v->plugged)
		pci_update_mappings(v->dev.root);
	start_over(v);
}

/* Root lock held. The device is off the bus, so the guest cannot switch on again what goes off
 * here, while it runs. A device that is gone from the host refuses the last step, which is
 * harmless. */
static void unrealize(struct pci_device *dev)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	vfio_bars_drop(v, false);
	vfio_vga_unplug(v);
	irqs_off(v);
	vfio_config_silence(v);
}

/* ---- making and unmaking ---- */

static void decode_changed(struct pci_device *dev)
{
	vfio_bars_recheck(vfio_pci_of(dev));
	vfio_rom_recheck(vfio_pci_of(dev));
}

static const struct pci_device_ops vfio_pci_ops = {
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.bar_mapped = vfio_bar_mapped,
	.claimed = vfio_bar_claimed,
	.decode_changed = decode_changed,
	.reset = reset_op,
	.unrealize = unrealize,
};

/* 32, 64 and 128 bits follow each other in both. */
static uint32_t host_atomics(const struct vfio_device_info *info)
{
	uint32_t first = info->flags & VFIO_DEVICE_FLAGS_CAPS ? info->cap_offset : 0;
	const struct vfio_cap_atomic_comp *cap = vfio_info_cap(
		info, info->argsz, sizeof(*info), first, VFIO_CAP_ATOMIC_COMP, sizeof(*cap));

	static_assert(PCI_EXP_DEVCAP2_ATOMIC_COMP128 == PCI_EXP_DEVCAP2_ATOMIC_COMP32 << 2,
		      "the order of the sizes");
	return cap ? (cap->flags & 7) * PCI_EXP_DEVCAP2_ATOMIC_COMP32 : 0;
}

static int device_info(struct vfio_pci *v)
{
	struct vfio_device_info *info = NULL;
	int ret = v->k->ops->device_info(v->k, &info);

	if (ret)
		return ret;
	v->info = *info;
	v->atomics = host_atomics(info);
	free(info);
	return 0;
}

static int init_parts(struct vfio_pci *v, struct error *err)
{
	int ret = device_info(v);

	if (ret || !(v->info.flags & VFIO_DEVICE_FLAGS_PCI))
		return error_set(err, ret ? ret : -EINVAL,
				 "%s: VFIO does not present it as a PCI device", v->k->name);
	ret = vfio_config_init(v, err);
	if (!ret)
		ret = vfio_irqs_init(v, err);
	if (!ret)
		ret = vfio_clique_init(v, err);
	if (ret)
		return ret;
	vfio_quirks_init(v);
	ret = vfio_bars_init(v, err);
	if (!ret)
		ret = vfio_rom_init(v, err);
	if (!ret)
		ret = vfio_vga_init(v, err);
	return ret;
}

struct vfio_pci *vfio_pci_new(struct vfio_kernel *k, const struct vfio_pci_config *cfg,
			      const struct vfio_pci_env *env, struct error *err)
{
	struct vfio_pci *v = calloc(1, sizeof(*v));

	if (!v) {
		error_set(err, -ENOMEM, "%s: out of memory", k->name);
		k->ops->close(k);
		return NULL;
	}
	/* The ids are read from the device. */
	pci_device_init(&v->dev, k->name, &vfio_pci_ops, 0, 0, 0, 0);
	v->k = k;
	v->cfg = cfg;
	v->env = *env;
	v->irq.intx_trigger = v->irq.intx_resample = v->irq.err.fd = v->irq.req.fd = -1;
	v->kick = eventfd_new();
	if (v->kick < 0)
		error_set(err, -errno,
			  "%s: no file descriptor is left: raise the limit (ulimit -n)", k->name);
	else if (init_parts(v, err) == 0)
		return v;
	vfio_pci_free(v);
	return NULL;
}

/* In this order: without the bus, nothing looks at kick_source any more. */
static void leave_bus(struct vfio_pci *v)
{
	pci_remove(&v->dev);
	loop_leave(v);
	v->plugged = false;
}

/* All that a guest can reach once the device is on the bus. */
static int get_ready(struct vfio_pci *v, struct error *err)
{
	uint8_t pin = v->dev.cfg[PCI_INTERRUPT_PIN];
	int ret = vfio_vga_plug(v, err);

	if (!ret && pin >= 1 && pin <= 4) {
		ret = pci_add_intx(&v->dev, pin);
		if (ret)
			error_set(err, ret, "%s: no interrupt line is free", v->k->name);
	}
	if (!ret) {
		ret = loop_join(v);
		if (ret)
			error_set(err, ret, "%s: out of memory", v->k->name);
	}
	if (!ret)
		vfio_pci_after_reset(v);
	return ret;
}

int vfio_pci_plug(struct vfio_pci *v, struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
		  struct error *err)
{
	int ret;

	pci_place(root, bus, &v->dev, devfn);
	v->plugged = true;
	ret = get_ready(v, err);
	if (!ret)
		ret = pci_add(root, bus, &v->dev, devfn, err);
	if (ret) {
		leave_bus(v);
		return ret;
	}
	vfio_stats_init(v);
	return 0;
}

void vfio_pci_unplug(struct vfio_pci *v)
{
	struct vfio_pci_counts c = vfio_pci_counts(v);

	if (!v->plugged)
		return;
	log_info("%s: %" PRIu64 " memslots set, %" PRIu64 " removed; %" PRIu64
		 " BAR accesses trapped; %" PRIu64 " SET_IRQS; %" PRIu64 " vectors masked, %" PRIu64
		 " unmasked",
		 v->k->name, c.bar_maps, c.bar_unmaps, c.trapped, c.set_irqs, c.masks, c.unmasks);
	stats_remove(v->dev.root->stats, v->k->name, v);
	leave_bus(v);
}

void vfio_pci_free(struct vfio_pci *v)
{
	if (!v)
		return;
	vfio_pci_unplug(v);
	vfio_irqs_free(v);
	vfio_rom_free(v);
	vfio_bars_free(v);
	if (v->kick >= 0)
		close(v->kick);
	v->k->ops->close(v->k);
	pci_device_destroy(&v->dev);
	free(v);
}

/* ---- what composition asks ---- */

struct vfio_kernel *vfio_pci_kernel(const struct vfio_pci *v)
{
	return v->k;
}

bool vfio_pci_has_reset(const struct vfio_pci *v)
{
	return v->info.flags & VFIO_DEVICE_FLAGS_RESET;
}

bool vfio_pci_has_flr(const struct vfio_pci *v)
{
	uint8_t cfg[256];
	ssize_t n = v->k->ops->region_read(v->k, v->cfg_off, cfg, sizeof(cfg));

	return n > 0 && vfio_reset_has_flr(cfg, (size_t)n);
}

/* As the guest reads it: what is synthesized counts. */
void vfio_pci_link(const struct vfio_pci *v, unsigned *speed, unsigned *width)
{
	uint8_t b[2] = { 0 };
	unsigned at = v->exp_cap + PCI_EXP_LNKSTA;

	*speed = *width = 0;
	if (!v->exp_cap)
		return;
	if (v->emu[at])
		memcpy(b, v->dev.cfg + at, 2);
	else if (v->k->ops->region_read(v->k, v->cfg_off + at, b, 2) != 2)
		return;
	*speed = pci_get16(b, 0) & PCI_EXP_LNKSTA_CLS;
	*width = (pci_get16(b, 0) & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT;
}

uint32_t vfio_pci_atomics(const struct vfio_pci *v)
{
	return v->atomics;
}

struct vfio_pci_counts vfio_pci_counts(const struct vfio_pci *v)
{
	return (struct vfio_pci_counts){ .bar_maps = count_read(&v->counts.bar_maps),
					 .bar_unmaps = count_read(&v->counts.bar_unmaps),
					 .trapped = count_read(&v->counts.trapped),
					 .set_irqs = count_read(&v->counts.set_irqs),
					 .masks = count_read(&v->counts.masks),
					 .unmasks = count_read(&v->counts.unmasks) };
}
