/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_driver.h"

#include <errno.h>
#include <linux/virtio_config.h>

#include "vmm/core/evloop.h"

#define ACK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

int fake_driver_init(struct fake_driver *d)
{
	memset(d, 0, sizeof(*d));
	fake_root_init(&d->f);
	d->root = &d->f.root;
	if (ring_memory(&d->r))
		return -ENOMEM;
	d->root->mem = d->r.mem;
	d->root->loop = evloop_new();
	return d->root->loop ? 0 : -ENOMEM;
}

void fake_driver_free(struct fake_driver *d)
{
	evloop_free(d->root->loop);
	fake_root_free(&d->f);
	ring_free(&d->r);
}

void driver_map(struct fake_driver *d)
{
	pci_cfg_write(d->root, 0, FAKE_DEVFN, PCI_BASE_ADDRESS_0, 4, FAKE_BAR);
	pci_cfg_write(d->root, 0, FAKE_DEVFN, PCI_COMMAND, 2,
		      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

uint32_t driver_reg(struct fake_driver *d, uint32_t off, unsigned size)
{
	return (uint32_t)bus_read(d->root->mmio, FAKE_BAR + off, size);
}

void driver_reg_set(struct fake_driver *d, uint32_t off, unsigned size, uint32_t val)
{
	bus_write(d->root->mmio, FAKE_BAR + off, size, val);
}

uint8_t driver_status(struct fake_driver *d)
{
	return (uint8_t)driver_reg(d, C(device_status), 1);
}

void driver_status_set(struct fake_driver *d, uint8_t v)
{
	driver_reg_set(d, C(device_status), 1, v);
}

void driver_accept(struct fake_driver *d, uint32_t features)
{
	driver_status_set(d, 0);
	driver_status_set(d, ACK);
	driver_reg_set(d, C(guest_feature_select), 4, 0);
	driver_reg_set(d, C(guest_feature), 4, features);
	driver_reg_set(d, C(guest_feature_select), 4, 1);
	driver_reg_set(d, C(guest_feature), 4, 1 /* VERSION_1 */);
	driver_status_set(d, ACK | VIRTIO_CONFIG_S_FEATURES_OK);
}

void driver_prepare(struct fake_driver *d, unsigned queues, uint32_t features)
{
	driver_map(d);
	driver_rings(d, queues, features);
}

void driver_rings(struct fake_driver *d, unsigned queues, uint32_t features)
{
	driver_accept(d, features);
	memset(d->r.ram + FAKE_QUEUE, 0, 2 * FAKE_QUEUE);
	for (unsigned q = 0; q < queues; q++)
		driver_ring(d, q);
}

void driver_ring(struct fake_driver *d, unsigned q)
{
	uint32_t base = driver_base(q);

	memset(d->r.ram + base, 0, FAKE_QUEUE);
	d->avail_idx[q] = 0;
	driver_reg_set(d, C(queue_select), 2, q);
	driver_reg_set(d, C(queue_size), 2, RING_SIZE);
	driver_reg_set(d, C(queue_desc_lo), 4, base);
	driver_reg_set(d, C(queue_avail_lo), 4, base + 0x1000);
	driver_reg_set(d, C(queue_used_lo), 4, base + 0x2000);
	driver_reg_set(d, C(queue_enable), 2, 1);
}

void driver_go(struct fake_driver *d)
{
	driver_status_set(d, ACK | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

static struct virtq_desc *driver_desc(struct fake_driver *d, unsigned q)
{
	return (struct virtq_desc *)(d->r.ram + driver_base(q));
}

static void driver_avail(struct fake_driver *d, unsigned q, uint16_t i)
{
	struct virtq_avail *a = (struct virtq_avail *)(d->r.ram + driver_base(q) + 0x1000);

	a->ring[d->avail_idx[q]++ % RING_SIZE] = i;
	__atomic_store_n(&a->idx, d->avail_idx[q], __ATOMIC_RELEASE);
}

void driver_offer(struct fake_driver *d, unsigned q, uint16_t i, uint64_t addr, uint32_t len,
		  uint16_t flags)
{
	driver_desc(d, q)[i] = (struct virtq_desc){ addr, len, flags, 0 };
	driver_avail(d, q, i);
}

void driver_command(struct fake_driver *d, unsigned q, uint64_t addr, uint32_t len, uint64_t answer)
{
	driver_desc(d, q)[0] = (struct virtq_desc){ addr, len, VRING_DESC_F_NEXT, 1 };
	driver_desc(d, q)[1] = (struct virtq_desc){ answer, 1, VRING_DESC_F_WRITE, 0 };
	driver_avail(d, q, 0);
	driver_kick(d, q);
}

void driver_kick(struct fake_driver *d, unsigned q)
{
	bus_write(d->root->mmio, FAKE_NOTIFY + 4 * q, 2, q);
}

struct virtq_used *driver_used(struct fake_driver *d, unsigned q)
{
	return (struct virtq_used *)(d->r.ram + driver_base(q) + 0x2000);
}

static void stop_loop(void *loop)
{
	evloop_stop(loop, 0);
}

void driver_turn(struct fake_driver *d, unsigned ms)
{
	struct ev_timer *t = evloop_add_timer(d->root->loop, stop_loop, d->root->loop);

	ev_timer_set(t, evloop_now_ns() + ms * 1000000ull);
	evloop_run(d->root->loop);
	evloop_del_timer(t);
}
