/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio.h"

#define CAP_VENDOR 9
#define CFG_COMMON 1
#define CFG_NOTIFY 2
#define CFG_DEVICE 4

/* Common configuration, by offset (VIRTIO 1.2, 4.1.4.3). */
#define C_DRIVER_FEATURE_SELECT 8
#define C_DRIVER_FEATURE	12
#define C_STATUS		20
#define C_QUEUE_SELECT		22
#define C_QUEUE_SIZE		24
#define C_QUEUE_VECTOR		26
#define C_QUEUE_ENABLE		28
#define C_QUEUE_NOTIFY_OFF	30
#define C_QUEUE_DESC		32
#define C_QUEUE_AVAIL		40
#define C_QUEUE_USED		48

static void find_structures(struct virtio *v)
{
	uint32_t cfg = pci_ecam((unsigned)v->devfn), addr;
	unsigned at;

	for (at = pci_cap(v->devfn, CAP_VENDOR, 0); at; at = pci_cap(v->devfn, CAP_VENDOR, at)) {
		addr = VIRTIO_BAR_AT + read32(cfg + at + 8);
		switch (read8(cfg + at + 3)) {
		case CFG_COMMON:
			v->common = addr;
			pci_place_bar(v->devfn, read8(cfg + at + 4), VIRTIO_BAR_AT);
			break;
		case CFG_NOTIFY:
			v->notify = addr;
			v->notify_multiplier = read32(cfg + at + 16);
			break;
		case CFG_DEVICE:
			v->device = addr;
			break;
		}
	}
	check(v->common && v->notify);
}

static void write_addr(const struct virtio *v, unsigned off, const volatile void *p)
{
	write32(v->common + off, (uint32_t)p);
	write32(v->common + off + 4, 0);
}

void virtio_start_queue(struct virtio *v, uint16_t type, uint16_t index, struct vq *q,
			uint16_t msix_vector)
{
	*v = (struct virtio){ .queue = index,
			      .devfn = pci_find(0x1af4, (uint16_t)(0x1040 + type)) };
	if (v->devfn < 0)
		skip("no such virtio device in this machine");
	find_structures(v);
	write8(v->common + C_STATUS, 0);
	while (read8(v->common + C_STATUS))
		;
	write8(v->common + C_STATUS, 3);
	write32(v->common + C_DRIVER_FEATURE_SELECT, 0);
	write32(v->common + C_DRIVER_FEATURE, 0);
	write32(v->common + C_DRIVER_FEATURE_SELECT, 1);
	write32(v->common + C_DRIVER_FEATURE, 1);
	write8(v->common + C_STATUS, 11);
	check_eq(read8(v->common + C_STATUS), 11);
	write16(v->common + C_QUEUE_SELECT, index);
	check(read16(v->common + C_QUEUE_SIZE) >= VQ_SIZE);
	write16(v->common + C_QUEUE_SIZE, VQ_SIZE);
	write16(v->common + C_QUEUE_VECTOR, msix_vector);
	check_eq(read16(v->common + C_QUEUE_VECTOR), msix_vector);
	write_addr(v, C_QUEUE_DESC, q->desc);
	write_addr(v, C_QUEUE_AVAIL, &q->avail);
	write_addr(v, C_QUEUE_USED, &q->used);
	write16(v->common + C_QUEUE_ENABLE, 1);
	write8(v->common + C_STATUS, 15);
	check_eq(read16(v->common + C_QUEUE_NOTIFY_OFF), index);
	v->notify += v->notify_multiplier * index;
}

void virtio_start(struct virtio *v, uint16_t type, struct vq *q, uint16_t msix_vector)
{
	virtio_start_queue(v, type, 0, q, msix_vector);
}

void virtio_kick(const struct virtio *v)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	write16(v->notify, v->queue);
}

uint8_t virtio_status(const struct virtio *v)
{
	return read8(v->common + C_STATUS);
}
