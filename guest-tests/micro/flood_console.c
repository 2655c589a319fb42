/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --console file:/dev/null */
/* Prints through virtio-console with 64 KiB in each request: a few MiB or, with --append forever,
 * without end. With "big" in the command line, each request has the same 16 MiB six times. */
#include "virtio.h"

#define CONSOLE	 3
#define TX	 1
#define BUF	 0x10000u
#define REQUESTS 64u
#define BIG_BUF	 0x1000000u
#define BIG_N	 6u

static struct vq q;
static uint8_t text[BUF];

static uint16_t prepare(bool big)
{
	uint32_t i, n = big ? BIG_N : 1;

	for (i = 0; i < BUF; i++)
		text[i] = i % 64 == 63 ? '\n' : (uint8_t)('a' + i % 26);
	for (i = 0; i < n; i++)
		q.desc[i] = (struct vq_desc){ big ? 0x100000u : (uint32_t)text, big ? BIG_BUF : BUF,
					      i + 1 < n ? DESC_NEXT : 0, (uint16_t)(i + 1) };
	return 0;
}

void guest_main(void)
{
	bool forever = guest_option("forever"), big = guest_option("big");
	struct virtio v;
	uint32_t i;

	virtio_start_queue(&v, CONSOLE, TX, &q, 0xffff);
	check_eq(virtio_status(&v), 15);
	q.avail.ring[0] = prepare(big);
	for (i = 1; forever || i <= REQUESTS; i++) {
		q.avail.ring[(i - 1) % VQ_SIZE] = 0;
		__atomic_store_n(&q.avail.idx, (uint16_t)i, __ATOMIC_RELEASE);
		virtio_kick(&v);
		while (q.used.idx != (uint16_t)i)
			__asm__ volatile("pause");
	}
	check_eq(virtio_status(&v), 15);
}
