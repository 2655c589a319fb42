/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI. One 32-bit BAR contains all groups of registers, each in its own page, and the
 * MSI-X table:
 *
 *   0x0000 common   0x1000 ISR   0x2000 device   0x3000 notify (4 bytes a queue)   0x4000 MSI-X
 *
 * OVMF numbers BARs by counting registers, so no BAR may follow a 64-bit BAR. With one 32-bit BAR
 * this problem does not exist. The notify multiplier is 4, so each queue has its own address in the
 * notify page. A zero-length doorbell (ioeventfd) at this address makes the kernel write to
 * kick_fd. Doorbells exist while the driver runs and the BAR is mapped.
 *
 * Interrupts: with MSI-X, each queue has an eventfd for its vector, and the thread that completes
 * requests writes to it. With INTx, the same threads write to intx_fd, and the main loop raises the
 * line under the device's lock, so that ISR and line change together (§4.1.4.5).
 */
#include "devices/virtio/virtio_pci.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "devices/pci/msix.h"
#include "devices/virtio/virtio_run.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/stats.h"
#include "vmm/core/evloop.h"

#define VIRTIO_VENDOR 0x1af4u
#define VIRTIO_PCI_ID 0x1040u /* plus the virtio device id, §4.1.2 */

#define PAGE	   0x1000u
#define REG_BAR	   0u
#define REG_COMMON 0x0000u
#define REG_ISR	   0x1000u
#define REG_DEVICE 0x2000u
#define REG_MSIX   0x4000u
#define REG_SIZE   0x8000u

#define VIRTIO_PCI_ISR_QUEUE 0x1u /* <linux/virtio_pci.h> defines only the other bit */

#define TRANSPORT_FEATURES                                              \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC)

#define STATUS_DRIVER                                                                       \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static_assert(sizeof(struct virtio_pci_common_cfg) == 56, "VIRTIO 1.2 4.1.4.3");
static_assert(sizeof(struct virtio_pci_cap) == 16, "VIRTIO 1.2 4.1.4");
static_assert(sizeof(struct virtio_pci_notify_cap) == 20, "VIRTIO 1.2 4.1.4.4");
static_assert(sizeof(struct virtio_pci_cfg_cap) == 20, "VIRTIO 1.2 4.1.4.9");
static_assert(VIRTIO_MAX_QUEUES * VIRTIO_NOTIFY_MUL <= PAGE, "one page of doorbells");

#define REG(field) offsetof(struct virtio_pci_common_cfg, field)

static struct virtio_device *from_pci(struct pci_device *dev)
{
	return container_of(dev, struct virtio_device, pci);
}

/* ---- interrupts ---- */

int virtio_queue_call_fd(struct virtio_queue *q)
{
	int fd = msix_enabled(&q->vdev->pci) ? q->vector_fd : -1;

	q->foreign = true;
	return fd >= 0 ? fd : q->vdev->intx_fd;
}

void virtio_notify_queue(struct virtio_queue *q)
{
	struct virtio_device *v = q->vdev;

	count_add(&q->interrupts, 1);
	if (!msix_enabled(&v->pci))
		eventfd_signal(v->intx_fd);
	else if (q->vector_fd >= 0)
		eventfd_signal(q->vector_fd);
}

/* Raises a queue interrupt in INTx mode; runs on the main loop. */
static void intx_raised(void *arg, int fd, uint32_t events)
{
	struct virtio_device *v = arg;

	(void)events;
	eventfd_drain(fd);
	scoped_lock(&v->pci.lock);
	if (msix_enabled(&v->pci))
		return;
	v->isr |= VIRTIO_PCI_ISR_QUEUE;
	pci_set_intx(&v->pci, true);
}

static void notify_config(struct virtio_device *v)
{
	if (msix_enabled(&v->pci)) {
		msix_notify(&v->pci, v->config_vector); /* ignores NO_VECTOR */
	} else {
		v->isr |= VIRTIO_PCI_ISR_CONFIG;
		eventfd_signal(v->intx_fd);
	}
}

/* False: it is set already. */
static bool needs_reset(struct virtio_device *v)
{
	uint8_t old = atomic_fetch_or(&v->status, VIRTIO_CONFIG_S_NEEDS_RESET);

	if (old & VIRTIO_CONFIG_S_NEEDS_RESET)
		return false;
	if (old & VIRTIO_CONFIG_S_DRIVER_OK)
		notify_config(v);
	return true;
}

void virtio_needs_reset(struct virtio_device *v)
{
	needs_reset(v);
}

void virtio_broken(struct virtio_device *v, const char *why)
{
	if (!needs_reset(v))
		return;
	pthread_mutex_lock(&v->leaf);
	log_guest(
		&v->limit,
		"%s: the guest's driver violated the virtio protocol: %s; the device needs a reset",
		v->pci.name, why);
	pthread_mutex_unlock(&v->leaf);
}

void virtio_config_changed(struct virtio_device *v)
{
	v->generation++;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		notify_config(v);
}

/* Reading ISR clears it and lowers the line. */
static uint8_t isr_read(struct virtio_device *v)
{
	uint8_t isr = atomic_exchange(&v->isr, 0);

	pci_set_intx(&v->pci, false);
	return isr;
}

/* §4.1.5.1.2: if a vector cannot be assigned, the register reads back as NO_VECTOR. */
static uint16_t take_vector(struct virtio_device *v, uint64_t vector, int *fd)
{
	*fd = vector == VIRTIO_MSI_NO_VECTOR || vector > UINT16_MAX
		      ? -1
		      : msix_eventfd(&v->pci, (unsigned)vector);
	if (*fd >= 0)
		return (uint16_t)vector;
	*fd = -1;
	return VIRTIO_MSI_NO_VECTOR;
}

static void virtio_bar_mapped(struct pci_device *dev, unsigned n, bool mapped)
{
	if (n == REG_BAR)
		virtio_moved(from_pci(dev), mapped ? dev->bar[n].addr : 0);
}

/* ---- device status and features ---- */

static void queue_reset(struct virtio_queue *q)
{
	eventfd_drain(q->kick_fd);
	q->enabled = q->direct = false;
	q->size = q->max_size;
	q->vector = VIRTIO_MSI_NO_VECTOR;
	q->vector_fd = -1;
	q->desc = q->avail = q->used = 0;
}

static void registers_reset(struct virtio_device *v)
{
	for (unsigned i = 0; i < v->n_queues; i++)
		queue_reset(&v->queues[i]);
	v->guest_features = 0;
	v->feature_sel = v->guest_feature_sel = 0;
	v->queue_sel = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	eventfd_drain(v->intx_fd);
	isr_read(v);
	if (v->ops->reset)
		v->ops->reset(v);
	v->status = 0;
}

/* §2.2.2: the driver may accept only offered features. It must be a modern driver, because we do
 * not support others. */
static bool features_ok(const struct virtio_device *v)
{
	return !(v->guest_features & ~v->features) && virtio_has(v, VIRTIO_F_VERSION_1);
}

static void status_write(struct virtio_device *v, uint8_t val)
{
	uint8_t old = v->status, add = val & STATUS_DRIVER & (uint8_t)~old;

	if (val == 0) {
		virtio_reset(v);
		return;
	}
	if ((add & VIRTIO_CONFIG_S_FEATURES_OK) && !features_ok(v))
		add &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((old | add) & VIRTIO_CONFIG_S_FEATURES_OK))
		add &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status |= add;
	if ((add & VIRTIO_CONFIG_S_DRIVER_OK) && !(old & VIRTIO_CONFIG_S_NEEDS_RESET))
		virtio_driver_ok(v);
}

static void features_write(struct virtio_device *v, uint32_t val)
{
	unsigned shift = 32 * v->guest_feature_sel;

	if (v->guest_feature_sel > 1 || (v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	v->guest_features &= ~(0xffffffffull << shift);
	v->guest_features |= (uint64_t)val << shift;
}

/* ---- queues ---- */

static struct virtio_queue *selected(struct virtio_device *v)
{
	return v->queue_sel < v->n_queues ? &v->queues[v->queue_sel] : NULL;
}

/* Looks up the host addresses of the rings. This is done only once, when features (FEATURES_OK) and
 * guest addresses are final. */
static void queue_enable(struct virtio_device *v, struct virtio_queue *q)
{
	struct virtq_setup s = {
		.size = q->size,
		.desc = GPA(q->desc),
		.avail = GPA(q->avail),
		.used = GPA(q->used),
		.event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX),
		.indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC),
	};

	if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK) || v->driver_ok)
		return;
	if (virtq_init(&q->vq, v->mem, &s)) {
		virtio_broken(v, "the address or size of a ring is not valid");
		return;
	}
	q->direct = v->ops->direct && v->ops->direct(v, q->index);
	if (!q->direct && q->kick_fd < 0)
		q->kick_fd = eventfd_new();
	if (q->direct || q->kick_fd >= 0)
		q->enabled = true;
	else
		log_guest(&v->pci.limit, "%s: queue %u cannot be used: eventfd: %s", v->pci.name,
			  q->index, strerror(errno));
}

static void set_half(uint64_t *addr, bool high, uint64_t val)
{
	unsigned shift = high ? 32 : 0;

	*addr = (*addr & ~(0xffffffffull << shift)) | (val & 0xffffffff) << shift;
}

static void queue_write(struct virtio_device *v, uint64_t off, uint64_t val)
{
	struct virtio_queue *q = selected(v);
	int fd;

	if (!q)
		return;
	if (off == REG(queue_msix_vector)) {
		q->vector = take_vector(v, val & 0xffff, &fd);
		q->vector_fd = fd;
		return;
	}
	if (q->enabled)
		return; /* §4.1.4.3.2: these registers must not change while the queue is enabled */
	switch (off) {
	case REG(queue_size):
		if (is_pow2(val) && val <= q->max_size)
			q->size = (uint16_t)val;
		break;
	case REG(queue_enable):
		if (val == 1)
			queue_enable(v, q);
		break;
	case REG(queue_desc_lo):
	case REG(queue_desc_hi):
		set_half(&q->desc, off == REG(queue_desc_hi), val);
		break;
	case REG(queue_avail_lo):
	case REG(queue_avail_hi):
		set_half(&q->avail, off == REG(queue_avail_hi), val);
		break;
	case REG(queue_used_lo):
	case REG(queue_used_hi):
		set_half(&q->used, off == REG(queue_used_hi), val);
		break;
	}
}

/* ---- registers ---- */

static void common_write(struct virtio_device *v, uint64_t off, uint64_t val)
{
	int fd;

	if (v->resetting) /* §4.1.4.3.2: the driver must wait for status 0 */
		return;
	switch (off) {
	case REG(device_feature_select):
		v->feature_sel = (uint32_t)val;
		break;
	case REG(guest_feature_select):
		v->guest_feature_sel = (uint32_t)val;
		break;
	case REG(guest_feature):
		features_write(v, (uint32_t)val);
		break;
	case REG(msix_config):
		v->config_vector = take_vector(v, val & 0xffff, &fd);
		break;
	case REG(device_status):
		status_write(v, (uint8_t)val);
		break;
	case REG(queue_select):
		v->queue_sel = (uint16_t)val;
		break;
	default:
		queue_write(v, off, val);
		break;
	}
}

/* Copies byte by byte with atomic loads, because a thread of the device may change bytes (the link
 * state of virtio_net). */
static uint64_t copy_out(const void *src, uint64_t src_len, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	if (range_ok(off, size, src_len) && size <= sizeof(val))
		for (unsigned i = 0; i < size; i++)
			val |= (uint64_t)pci_get8(src, (unsigned)off + i) << (8 * i);
	return val;
}

static uint64_t common_read(struct virtio_device *v, uint64_t off, unsigned size)
{
	const struct virtio_queue *q = selected(v);
	struct virtio_pci_common_cfg c = {
		.device_feature_select = v->feature_sel,
		.guest_feature_select = v->guest_feature_sel,
		.msix_config = v->config_vector,
		.num_queues = (uint16_t)v->n_queues,
		.device_status = v->status,
		.config_generation = v->generation,
		.queue_select = v->queue_sel,
	};

	if (v->feature_sel < 2)
		c.device_feature = (uint32_t)(v->features >> 32 * v->feature_sel);
	if (v->guest_feature_sel < 2)
		c.guest_feature = (uint32_t)(v->guest_features >> 32 * v->guest_feature_sel);
	if (q) { /* §4.1.4.3.1: for a queue that does not exist queue_size is 0 */
		c.queue_size = q->size;
		c.queue_msix_vector = q->vector;
		c.queue_enable = q->enabled;
		c.queue_notify_off = (uint16_t)q->index;
		c.queue_desc_lo = (uint32_t)q->desc;
		c.queue_desc_hi = (uint32_t)(q->desc >> 32);
		c.queue_avail_lo = (uint32_t)q->avail;
		c.queue_avail_hi = (uint32_t)(q->avail >> 32);
		c.queue_used_lo = (uint32_t)q->used;
		c.queue_used_hi = (uint32_t)(q->used >> 32);
	}
	return copy_out(&c, sizeof(c), off, size);
}

static uint64_t virtio_reg_read(void *opaque, uint64_t off, unsigned size)
{
	struct virtio_device *v = opaque;
	uint64_t reg = off % PAGE;

	switch (off - reg) {
	case REG_COMMON:
		return common_read(v, reg, size);
	case REG_ISR:
		return reg == 0 ? isr_read(v) : 0;
	case REG_DEVICE:
		return copy_out(v->config, v->config_len, reg, size);
	}
	return 0; /* the notify page, and the page of the MSI-X table outside of the table */
}

static void virtio_reg_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct virtio_device *v = opaque;
	uint64_t reg = off % PAGE;

	switch (off - reg) {
	case REG_COMMON:
		common_write(v, reg, val);
		break;
	case REG_DEVICE:
		if (v->ops->config_write && range_ok(reg, size, v->config_len))
			v->ops->config_write(v, (unsigned)reg, size, val);
		break;
	case VIRTIO_REG_NOTIFY:
		if (v->started && reg / VIRTIO_NOTIFY_MUL < v->n_queues)
			virtio_kick_self(&v->queues[reg / VIRTIO_NOTIFY_MUL]);
		break;
	}
}

static const struct io_region_ops virtio_bar_ops = {
	.read = virtio_reg_read,
	.write = virtio_reg_write,
	.max_size = 4,
};

/* ---- the PCI side ---- */

/* §4.1.4.9: firmware that cannot map the BAR accesses the registers through a window in
 * configuration space. The MSI-X table cannot be accessed by it. True: the window is set to valid
 * registers. */
static bool cfg_window(const struct virtio_device *v, uint32_t *off, uint32_t *len)
{
	const uint8_t *cap = &v->pci.cfg[v->cfg_cap];

	*off = pci_get32(cap, VIRTIO_PCI_CAP_OFFSET);
	*len = pci_get32(cap, VIRTIO_PCI_CAP_LENGTH);
	return cap[VIRTIO_PCI_CAP_BAR] == REG_BAR && (*len == 1 || *len == 2 || *len == 4) &&
	       *off % *len == 0 && range_ok(*off, *len, REG_MSIX);
}

static bool in_cfg_data(const struct virtio_device *v, unsigned off, unsigned size)
{
	return range_overlaps(off, size,
			      v->cfg_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), 4);
}

static uint32_t virtio_cfg_read(struct pci_device *dev, unsigned off, unsigned size)
{
	struct virtio_device *v = from_pci(dev);
	uint32_t reg, len;

	if (in_cfg_data(v, off, size) && cfg_window(v, &reg, &len)) {
		scoped_lock(&dev->lock);
		return (uint32_t)virtio_reg_read(v, reg, len);
	}
	return pci_default_cfg_read(dev, off, size);
}

static void virtio_cfg_write(struct pci_device *dev, unsigned off, unsigned size, uint32_t val)
{
	struct virtio_device *v = from_pci(dev);
	uint32_t reg, len;

	if (in_cfg_data(v, off, size) && cfg_window(v, &reg, &len)) {
		scoped_lock(&dev->lock);
		virtio_reg_write(v, reg, len, len < 4 ? val & ((1u << 8 * len) - 1) : val);
		return;
	}
	pci_default_cfg_write(dev, off, size, val);
}

static void virtio_cfg_written(struct pci_device *dev, unsigned off, unsigned size)
{
	struct virtio_device *v = from_pci(dev);
	bool master = range_overlaps(off, size, PCI_COMMAND, 2) && pci_bus_master(dev) != v->master;

	/* The first capability is MSI-X. Only its flags are writable. */
	if (master || range_overlaps(off, size, dev->cfg[PCI_CAPABILITY_LIST], 4))
		msix_cfg_written(dev);
	if (!master)
		return;
	scoped_lock(&dev->lock);
	virtio_master_changed(v);
}

static void virtio_pci_reset(struct pci_device *dev)
{
	struct virtio_device *v = from_pci(dev);

	scoped_lock(&dev->lock);
	v->master = false;
	virtio_reset(v);
	msix_reset(dev);
}

static bool virtio_pci_quiesce(struct pci_device *dev)
{
	return virtio_quiesce(from_pci(dev));
}

static bool virtio_pci_pause(struct pci_device *dev, bool pause)
{
	return virtio_pause(from_pci(dev), pause);
}

static const struct pci_device_ops virtio_pci_ops = {
	.cfg_read = virtio_cfg_read,
	.cfg_write = virtio_cfg_write,
	.cfg_written = virtio_cfg_written,
	.bar_mapped = virtio_bar_mapped,
	.reset = virtio_pci_reset,
	.quiesce = virtio_pci_quiesce,
	.pause = virtio_pci_pause,
};

/* Adds a capability with `extra` bytes after struct virtio_pci_cap. Returns its offset. */
static int add_cap(struct virtio_device *v, uint8_t type, uint32_t off, uint32_t len,
		   unsigned extra)
{
	unsigned size = (unsigned)sizeof(struct virtio_pci_cap) + extra;
	int at = pci_add_cap(&v->pci, PCI_CAP_ID_VNDR, size);
	uint8_t *cap;

	if (at < 0)
		return at;
	cap = &v->pci.cfg[at];
	cap[VIRTIO_PCI_CAP_LEN] = (uint8_t)size;
	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = REG_BAR;
	pci_set32(cap, VIRTIO_PCI_CAP_OFFSET, off);
	pci_set32(cap, VIRTIO_PCI_CAP_LENGTH, len);
	return at;
}

static int add_caps(struct virtio_device *v, struct error *err)
{
	int notify, cfg, ret;

	ret = msix_init(&v->pci, v->n_queues + 1, REG_BAR, REG_MSIX, err);
	if (ret)
		return ret;
	notify = add_cap(v, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_REG_NOTIFY,
			 v->n_queues * VIRTIO_NOTIFY_MUL, 4);
	cfg = add_cap(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4);
	if (notify < 0 || cfg < 0 ||
	    add_cap(v, VIRTIO_PCI_CAP_COMMON_CFG, REG_COMMON, sizeof(struct virtio_pci_common_cfg),
		    0) < 0 ||
	    add_cap(v, VIRTIO_PCI_CAP_ISR_CFG, REG_ISR, 1, 0) < 0 ||
	    add_cap(v, VIRTIO_PCI_CAP_DEVICE_CFG, REG_DEVICE, PAGE, 0) < 0)
		return error_set(err, -ENOSPC, "%s: no room for capabilities", v->pci.name);
	pci_set32(v->pci.cfg, (unsigned)notify + VIRTIO_PCI_NOTIFY_CAP_MULT, VIRTIO_NOTIFY_MUL);
	v->cfg_cap = (unsigned)cfg;
	v->pci.wmask[cfg + VIRTIO_PCI_CAP_BAR] = 0xff;
	pci_set32(v->pci.wmask, v->cfg_cap + VIRTIO_PCI_CAP_OFFSET, UINT32_MAX);
	pci_set32(v->pci.wmask, v->cfg_cap + VIRTIO_PCI_CAP_LENGTH, UINT32_MAX);
	return 0;
}

static int add_queues(struct virtio_device *v, uint16_t size)
{
	v->queues = calloc(v->n_queues, sizeof(*v->queues));
	if (!v->queues)
		return -ENOMEM;
	for (unsigned i = 0; i < v->n_queues; i++)
		v->queues[i] = (struct virtio_queue){
			.vdev = v, .index = i, .max_size = size, .kick_fd = -1, .vector_fd = -1
		};
	for (unsigned i = 0; i < v->n_queues && !v->ops->direct; i++) {
		v->queues[i].kick_fd = eventfd_new();
		if (v->queues[i].kick_fd < 0)
			return -errno;
	}
	v->intx_fd = eventfd_new();
	return v->intx_fd < 0 ? -errno : 0;
}

static const struct virtio_run_ops run_ops = {
	.registers_reset = registers_reset,
	.broken = virtio_broken,
};

int virtio_init(struct virtio_device *v, const char *name, const struct virtio_ops *ops,
		uint64_t features, unsigned n_queues, uint16_t queue_size, struct error *err)
{
	int ret;

	pci_device_init(&v->pci, name, &virtio_pci_ops, VIRTIO_VENDOR,
			(uint16_t)(VIRTIO_PCI_ID + ops->id), ops->class_code, 1);
	pci_set16(v->pci.cfg, PCI_SUBSYSTEM_VENDOR_ID, VIRTIO_VENDOR);
	/* Must be at least 0x40; otherwise drivers take the device for a transitional one
	 * (§4.1.2.1). */
	pci_set16(v->pci.cfg, PCI_SUBSYSTEM_ID, (uint16_t)(VIRTIO_PCI_ID + ops->id));
	virtio_run_init(v, &run_ops);
	v->ops = ops;
	v->features = features | TRANSPORT_FEATURES;
	v->n_queues = n_queues;
	v->intx_fd = -1;
	if (n_queues < 1 || n_queues > VIRTIO_MAX_QUEUES)
		ret = error_set(err, -EINVAL, "%s: between 1 and %u queues", name,
				VIRTIO_MAX_QUEUES);
	else
		ret = add_queues(v, queue_size);
	if (ret == -ENOMEM || ret == -EMFILE || ret == -ENFILE)
		error_set(err, ret, "%s: %s", name, strerror(-ret));
	if (!ret)
		ret = add_caps(v, err);
	if (!ret)
		ret = pci_add_bar(&v->pci, REG_BAR, PCI_BAR_MEM32, false, REG_SIZE, &virtio_bar_ops,
				  v);
	if (ret)
		virtio_destroy(v);
	else
		registers_reset(v);
	return ret;
}

static void queue_kicked(void *arg, int fd, uint32_t events)
{
	struct virtio_queue *q = arg;
	struct virtio_device *v = q->vdev;

	(void)events;
	eventfd_drain(fd);
	scoped_lock(&v->pci.lock);
	if (v->started && q->enabled)
		v->ops->kicked(v, q);
}

static int add_sources(struct virtio_device *v, struct evloop *loop)
{
	v->intx_source = evloop_add_fd(loop, v->intx_fd, EPOLLIN, intx_raised, v);
	if (!v->intx_source)
		return -errno;
	for (unsigned i = 0; v->ops->kicked && i < v->n_queues; i++) {
		struct virtio_queue *q = &v->queues[i];

		q->source = evloop_add_fd(loop, q->kick_fd, EPOLLIN, queue_kicked, q);
		if (!q->source)
			return -errno;
	}
	return 0;
}

static void each_irq(void *opaque, stats_irq_fn *fn, void *arg)
{
	struct virtio_device *v = opaque;

	scoped_lock(&v->pci.lock);
	for (unsigned i = 0; v->started && i < v->n_queues; i++) {
		const struct virtio_queue *q = &v->queues[i];
		bool msix = msix_enabled(&v->pci);

		if (q->enabled)
			fn(arg, &(struct stats_irq){ .device = v->pci.name,
						     .kind = msix ? "MSI-X" : "INTx, queue",
						     .path = msix ? "irqfd" : "userspace",
						     .vector = msix ? q->vector : i,
						     .known = !q->foreign,
						     .count = count_read(&q->interrupts) });
	}
}

int virtio_realize(struct virtio_device *v, struct pci_root *root, struct pci_bus *bus,
		   uint8_t devfn, struct error *err)
{
	int ret;

	v->mem = root->mem;
	pci_place(root, bus, &v->pci, devfn);
	ret = pci_add_intx(&v->pci, 1);
	if (!ret && root->loop)
		ret = add_sources(v, root->loop);
	if (ret)
		return error_set(err, ret, "%s: %s", v->pci.name, strerror(-ret));
	ret = pci_add(root, bus, &v->pci, devfn, err);
	if (!ret)
		stats_add_irqs(root->stats, each_irq, v);
	return ret;
}

static void remove_sources(struct virtio_device *v)
{
	evloop_del_fd(v->intx_source);
	v->intx_source = NULL;
	for (unsigned i = 0; v->queues && i < v->n_queues; i++) {
		evloop_del_fd(v->queues[i].source);
		v->queues[i].source = NULL;
	}
}

void virtio_unplug(struct virtio_device *v)
{
	struct pci_root *root = v->pci.root;

	if (!root)
		return;
	pci_remove(&v->pci); /* unmaps the BAR, so no register access can follow */
	remove_sources(v);
	stats_remove(root->stats, v->pci.name, v);
}

bool virtio_destroy(struct virtio_device *v)
{
	pci_remove(&v->pci); /* unmaps the BAR, so no register access can follow */
	remove_sources(v);
	if (!virtio_end(v))
		return false;
	for (unsigned i = 0; v->queues && i < v->n_queues; i++)
		if (v->queues[i].kick_fd >= 0)
			close(v->queues[i].kick_fd);
	if (v->intx_fd >= 0)
		close(v->intx_fd);
	msix_destroy(&v->pci);
	free(v->queues);
	v->queues = NULL;
	virtio_run_destroy(v);
	pci_device_destroy(&v->pci);
	return true;
}
