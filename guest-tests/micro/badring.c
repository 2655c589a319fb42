/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --disk @DISK@ */
/* Broken rings: each one must lead to DEVICE_NEEDS_RESET, and after a reset the device must work
 * again. */
#include "virtio.h"

#define NEEDS_RESET 64

static struct vq q;
static uint8_t header[16], status;

static void expect_broken(const struct virtio *v, uint32_t n)
{
	if (!wait_until(virtio_status(v) & NEEDS_RESET))
		failed("case", (int)n, "needs reset", virtio_status(v));
}

static void clear(void)
{
	volatile uint8_t *p = (volatile uint8_t *)&q;
	uint32_t i;

	for (i = 0; i < sizeof(q); i++)
		p[i] = 0;
}

/* Breaks the ring in the nth way. The device may read the ring at any time, so the index is written
 * last. */
static void spoil(uint32_t n)
{
	q.desc[0] = (struct vq_desc){ (uint32_t)header, sizeof(header), DESC_NEXT, 1 };
	q.desc[1] = (struct vq_desc){ (uint32_t)&status, 1, DESC_WRITE, 0 };
	switch (n) {
	case 0: /* more entries than the ring has: see below */
		break;
	case 1: /* a head beyond the table */
		q.avail.ring[0] = VQ_SIZE;
		break;
	case 2: /* a chain beyond the table */
		q.desc[0].next = 0xffff;
		break;
	case 3: /* a loop */
		q.desc[1] = (struct vq_desc){ (uint32_t)header, 1, DESC_NEXT, 0 };
		break;
	case 4: /* an address without memory */
		q.desc[0].addr = 0x7ff0000000000000;
		break;
	case 5: /* an address that wraps */
		q.desc[0].addr = (uint64_t)-8;
		break;
	}
	__asm__ volatile("" ::: "memory");
	q.avail.idx = n == 0 ? VQ_SIZE + 1 : 1;
}

void guest_main(void)
{
	struct virtio v;
	uint32_t n;

	for (n = 0; n < 6; n++) {
		clear();
		virtio_start(&v, 2, &q, 0xffff);
		check_eq(virtio_status(&v), 15);
		spoil(n);
		virtio_kick(&v);
		expect_broken(&v, n);
	}
	clear();
	virtio_start(&v, 2, &q, 0xffff);
	check_eq(virtio_status(&v), 15);
}
