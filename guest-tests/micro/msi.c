/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --disk @DISK@ */
/* MSI-X: a completion raises its vector. A masked vector becomes pending in the PBA, and is raised
 * when it is unmasked. */
#include "virtio.h"

#define VECTOR	 0x51
#define CAP_MSIX 0x11

static struct vq q;
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} head;
static uint8_t data[512], status;

static void read_sector(const struct virtio *v)
{
	q.desc[0] = (struct vq_desc){ (uint32_t)&head, sizeof(head), DESC_NEXT, 1 };
	q.desc[1] = (struct vq_desc){ (uint32_t)data, sizeof(data), DESC_NEXT | DESC_WRITE, 2 };
	q.desc[2] = (struct vq_desc){ (uint32_t)&status, 1, DESC_WRITE, 0 };
	q.avail.ring[q.avail.idx % VQ_SIZE] = 0;
	__atomic_store_n(&q.avail.idx, (uint16_t)(q.avail.idx + 1), __ATOMIC_RELEASE);
	virtio_kick(v);
}

static void wait_used(void)
{
	wait_until(q.used.idx == q.avail.idx);
	check_eq(q.used.idx, q.avail.idx);
}

void guest_main(void)
{
	int devfn = pci_find(0x1af4, 0x1042);
	uint32_t cfg, table, pba;
	struct virtio v;
	unsigned cap;

	if (devfn < 0)
		skip("no virtio-blk in this machine");
	cfg = pci_ecam((unsigned)devfn);
	cap = pci_cap(devfn, CAP_MSIX, 0);
	check(cap != 0);
	irq_init();
	write16(cfg + cap + 2, 0x8000);
	/* The table lies in the BAR that virtio_start() places later; it needs an address now. */
	pci_place_bar(devfn, read32(cfg + cap + 4) & 7, VIRTIO_BAR_AT);
	table = VIRTIO_BAR_AT + (read32(cfg + cap + 4) & ~7u);
	pba = VIRTIO_BAR_AT + (read32(cfg + cap + 8) & ~7u);
	write32(table, LAPIC);
	write32(table + 4, 0);
	write32(table + 8, VECTOR);
	write32(table + 12, 0);
	check_eq(read32(table + 8), VECTOR);
	irq_on();

	virtio_start(&v, 2, &q, 0);
	read_sector(&v);
	check(irq_wait(VECTOR, 1));
	wait_used();

	write32(table + 12, 1); /* masked */
	read_sector(&v);
	wait_used();
	for (cap = 0; cap < 100000 && !(read32(pba) & 1); cap++)
		;
	check_eq(read32(pba) & 1, 1);
	check_eq(irq_count[VECTOR], 1);
	write32(table + 12, 0);
	check(irq_wait(VECTOR, 2));
	check_eq(read32(pba) & 1, 0);
}
