/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interrupt backend on KVM: lines, routes, irqfds and MSIs; also the reset of the in-kernel
 * chips.
 *
 * Threads: all functions are called under the lock of the interrupt table, except kvm_reset_chips()
 * (main loop, vCPUs paused).
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/cleanup.h"
#include "vmm/kvm/kvm.h"

#define IOAPIC_ADDR	0xfec00000u
#define IOAPIC_MASKED	0x10000u
#define PIC_ELCR_MASTER 0xf8
#define PIC_ELCR_SLAVE	0xde

static int set_line(void *opaque, uint32_t gsi, bool level)
{
	struct kvm *k = opaque;
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	return ioctl(k->vm, KVM_IRQ_LINE, &l) < 0 ? -errno : 0;
}

static void route_fill(struct kvm_irq_routing_entry *e, const struct irq_backend_route *r)
{
	e->gsi = r->gsi;
	if (r->is_msi) {
		/* KVM ignores the devid without KVM_MSI_VALID_DEVID. x86 does not need it. */
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (uint32_t)r->msi.addr;
		e->u.msi.address_hi = (uint32_t)(r->msi.addr >> 32);
		e->u.msi.data = r->msi.data;
	} else {
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = r->pin.chip;
		e->u.irqchip.pin = r->pin.pin;
	}
}

static int set_routes(void *opaque, const struct irq_backend_route *r, unsigned n)
{
	struct kvm *k = opaque;
	scoped_free struct kvm_irq_routing *t = NULL;
	unsigned i;

	t = calloc(1, sizeof(*t) + n * sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	t->nr = n;
	for (i = 0; i < n; i++)
		route_fill(&t->entries[i], &r[i]);
	return ioctl(k->vm, KVM_SET_GSI_ROUTING, t) < 0 ? -errno : 0;
}

static int irqfd_add(void *opaque, uint32_t gsi, int fd, int resample_fd)
{
	struct kvm *k = opaque;
	struct kvm_irqfd i = { .fd = (uint32_t)fd, .gsi = gsi };

	if (resample_fd >= 0) {
		i.flags = KVM_IRQFD_FLAG_RESAMPLE;
		i.resamplefd = (uint32_t)resample_fd;
	}
	return ioctl(k->vm, KVM_IRQFD, &i) < 0 ? -errno : 0;
}

static int irqfd_del(void *opaque, uint32_t gsi, int fd)
{
	struct kvm *k = opaque;
	struct kvm_irqfd i = { .fd = (uint32_t)fd, .gsi = gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN };

	return ioctl(k->vm, KVM_IRQFD, &i) < 0 ? -errno : 0;
}

static int signal_msi(void *opaque, uint64_t addr, uint32_t data, uint32_t devid)
{
	struct kvm *k = opaque;
	struct kvm_msi m = { .address_lo = (uint32_t)addr,
			     .address_hi = (uint32_t)(addr >> 32),
			     .data = data };

	(void)devid;
	return ioctl(k->vm, KVM_SIGNAL_MSI, &m) < 0 ? -errno : 0;
}

const struct irq_backend_ops kvm_irq_ops = {
	.set_line = set_line,
	.set_routes = set_routes,
	.irqfd_add = irqfd_add,
	.irqfd_del = irqfd_del,
	.signal_msi = signal_msi,
};

static int reset_pics(struct kvm *k)
{
	static const uint8_t elcr_mask[] = { PIC_ELCR_MASTER, PIC_ELCR_SLAVE };
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(elcr_mask); i++) {
		struct kvm_irqchip c = { .chip_id = i };

		c.chip.pic.elcr_mask = elcr_mask[i];
		if (ioctl(k->vm, KVM_SET_IRQCHIP, &c) < 0)
			return -errno;
	}
	return 0;
}

static int reset_ioapic(struct kvm *k)
{
	struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };
	unsigned i;

	c.chip.ioapic.base_address = IOAPIC_ADDR;
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		c.chip.ioapic.redirtbl[i].bits = IOAPIC_MASKED;
	return ioctl(k->vm, KVM_SET_IRQCHIP, &c) < 0 ? -errno : 0;
}

static int reset_pit(struct kvm *k)
{
	struct kvm_pit_state2 s = { 0 };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(s.channels); i++) {
		/* KVM's own reset values. Mode 255 means not programmed; count 0 means 65536. */
		s.channels[i].mode = 0xff;
		s.channels[i].gate = i != 2;
	}
	return ioctl(k->vm, KVM_SET_PIT2, &s) < 0 ? -errno : 0;
}

int kvm_reset_chips(struct kvm *k)
{
	int ret = reset_pics(k);

	if (ret == 0)
		ret = reset_ioapic(k);
	if (ret == 0)
		ret = reset_pit(k);
	return ret;
}
