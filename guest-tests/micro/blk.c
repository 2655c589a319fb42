/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --disk @DISK@,serial=micro --cpus 1 */
/* virtio-blk, polled: capacity, write, read back, identify, a request past the end. `served`:
 * another process serves the disk, and identifies it in its own way. */
#include "virtio.h"

static struct vq q;
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} head;
static uint8_t data[512], status;

static uint8_t request(const struct virtio *v, uint32_t type, uint64_t sector, uint32_t len)
{
	head.type = type;
	head.sector = sector;
	status = 0xff;
	q.desc[0] = (struct vq_desc){ (uint32_t)&head, sizeof(head), DESC_NEXT, 1 };
	q.desc[1] = (struct vq_desc){ (uint32_t)data, len, DESC_NEXT | (type == 1 ? 0 : DESC_WRITE),
				      2 };
	q.desc[2] = (struct vq_desc){ (uint32_t)&status, 1, DESC_WRITE, 0 };
	q.avail.ring[q.avail.idx % VQ_SIZE] = 0;
	__atomic_store_n(&q.avail.idx, (uint16_t)(q.avail.idx + 1), __ATOMIC_RELEASE);
	virtio_kick(v);
	wait_until(q.used.idx == q.avail.idx);
	check_eq(q.used.idx, q.avail.idx);
	return status;
}

void guest_main(void)
{
	struct virtio v;
	uint32_t i;

	virtio_start(&v, 2, &q, 0xffff);
	check_eq(read32(v.device), 2048); /* 1 MiB in sectors */
	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	check_eq(request(&v, 1, 5, sizeof(data)), 0);
	for (i = 0; i < sizeof(data); i++)
		data[i] = 0;
	check_eq(request(&v, 0, 5, sizeof(data)), 0);
	for (i = 0; i < sizeof(data); i++)
		check_eq(data[i], (uint8_t)(i * 7));
	check_eq(request(&v, 0, 4, sizeof(data)), 0);
	check_eq(data[0], 0);
	check_eq(request(&v, 8, 0, 20), 0);
	if (!guest_option("served")) {
		check_eq(data[0], 'm');
		check_eq(data[5], 0);
	}
	check_eq(request(&v, 0, 2048, sizeof(data)), 1); /* IOERR */
	check_eq(request(&v, 0, 0x7fffffffffffffff, sizeof(data)), 1);
	check_eq(request(&v, 99, 0, sizeof(data)), 2); /* UNSUPP */
	check_eq(virtio_status(&v), 15);
}
