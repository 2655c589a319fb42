/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/bench/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE	 4096u
#define SECTOR	 512u
#define SLOTS_AT 0x10000u  /* one page each: indirect table, header, status */
#define DATA_AT	 0x200000u /* one block each */
#define TABLE	 (DRIVER_BS_MAX / PAGE + 2)

struct slot {
	struct vring_desc table[TABLE];
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	uint8_t status;
	uint64_t start;
};

uint64_t driver_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct slot *slot_at(struct driver *d, unsigned i)
{
	return (struct slot *)(d->mem + SLOTS_AT + i * PAGE);
}

static struct vring_avail *avail(struct driver *d)
{
	return (struct vring_avail *)(d->mem + DRIVER_AVAIL);
}

static struct vring_used *used(struct driver *d)
{
	return (struct vring_used *)(d->mem + DRIVER_USED);
}

static uint64_t block_next(struct driver *d)
{
	if (d->cfg.seq)
		return d->next_block++ % d->cfg.blocks;
	d->rng ^= d->rng << 13;
	d->rng ^= d->rng >> 7;
	d->rng ^= d->rng << 17;
	return d->rng % d->cfg.blocks;
}

static bool slot_reads(const struct driver *d, unsigned i)
{
	return !d->cfg.write || i >= d->cfg.depth;
}

static void slot_init(struct driver *d, unsigned i)
{
	const struct driver_config *c = &d->cfg;
	uint64_t at = d->gpa + SLOTS_AT + i * PAGE, data = d->gpa + DATA_AT + (uint64_t)i * c->bs;
	uint16_t way = slot_reads(d, i) ? VRING_DESC_F_WRITE : 0, pages = (uint16_t)(c->bs / PAGE);
	struct slot *s = slot_at(d, i);

	((struct vring_desc *)(d->mem + DRIVER_DESC))[i] = (struct vring_desc){
		at, (uint32_t)sizeof(*s->table) * (pages + 2u), VRING_DESC_F_INDIRECT, 0
	};
	s->table[0] = (struct vring_desc){ at + offsetof(struct slot, header), 16,
					   VRING_DESC_F_NEXT, 1 };
	for (uint16_t k = 1; k <= pages; k++, data += PAGE)
		s->table[k] = (struct vring_desc){ data, PAGE, VRING_DESC_F_NEXT | way,
						   (uint16_t)(k + 1) };
	s->table[pages + 1] = (struct vring_desc){ at + offsetof(struct slot, status), 1,
						   VRING_DESC_F_WRITE, 0 };
	s->header.type = way ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
}

static bool slot_timed(const struct driver *d, unsigned i)
{
	return d->cfg.histogram && (!d->cfg.readers || i >= d->cfg.depth);
}

static void issue(struct driver *d, unsigned i)
{
	struct slot *s = slot_at(d, i);

	s->header.sector = block_next(d) * (d->cfg.bs / SECTOR);
	s->status = 0xff;
	if (slot_timed(d, i))
		s->start = driver_now_ns();
	avail(d)->ring[d->avail_idx++ & (DRIVER_QUEUE - 1)] = (uint16_t)i;
}

static void publish(struct driver *d)
{
	const uint64_t one = 1;
	uint16_t event;

	if (d->avail_idx == d->last_kick)
		return;
	__atomic_store_n(&avail(d)->idx, d->avail_idx, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	event = __atomic_load_n((uint16_t *)&used(d)->ring[DRIVER_QUEUE], __ATOMIC_RELAXED);
	if (vring_need_event(event, d->avail_idx, d->last_kick)) {
		d->kicks++;
		if (write(d->kick_fd, &one, 8) != 8)
			abort();
	}
	d->last_kick = d->avail_idx;
}

static void add(struct driver *d, unsigned i)
{
	uint64_t end = d->cfg.work ? driver_now_ns() + d->cfg.work : 0;

	while (end && driver_now_ns() < end)
		__builtin_ia32_pause();
	issue(d, i);
	if (d->cfg.single)
		publish(d);
}

static void complete_one(struct driver *d, bool again)
{
	unsigned i = used(d)->ring[d->used_idx++ & (DRIVER_QUEUE - 1)].id;
	struct slot *s = slot_at(d, i);

	d->errors += s->status != VIRTIO_BLK_S_OK;
	d->done++;
	d->read += i >= d->cfg.depth;
	if (slot_timed(d, i)) {
		uint64_t t = (driver_now_ns() - s->start) / 100;

		d->lat[t < DRIVER_BUCKETS ? t : DRIVER_BUCKETS - 1]++;
	}
	if (again)
		add(d, i);
}

/* Everything that has completed, until the ring stays empty after asking for an interrupt. */
static void reap(struct driver *d, bool again)
{
	uint16_t *event = (uint16_t *)&avail(d)->ring[DRIVER_QUEUE];

	do {
		uint16_t idx = __atomic_load_n(&used(d)->idx, __ATOMIC_ACQUIRE);

		while (d->used_idx != idx)
			complete_one(d, again);
		publish(d);
		if (!d->cfg.spin)
			__atomic_store_n(event, d->used_idx, __ATOMIC_RELAXED);
		atomic_thread_fence(memory_order_seq_cst);
	} while (__atomic_load_n(&used(d)->idx, __ATOMIC_ACQUIRE) != d->used_idx);
}

static void wait_irq(struct driver *d)
{
	uint64_t n;

	if (d->cfg.spin) {
		while (__atomic_load_n(&used(d)->idx, __ATOMIC_ACQUIRE) == d->used_idx)
			__builtin_ia32_pause();
		return;
	}
	while (read(d->call_fd, &n, 8) != 8) {
		/* qemu-storage-daemon makes our end non-blocking too. */
		if (errno != EAGAIN || fcntl(d->call_fd, F_SETFL, 0))
			abort();
	}
	d->irqs++;
}

int driver_init(struct driver *d, const struct driver_config *c, char *mem, uint64_t gpa)
{
	*d = (struct driver){ .cfg = *c,
			      .gpa = gpa,
			      .mem = mem,
			      .rng = 0x9e3779b97f4a7c15ull + gpa,
			      .next_block = c->first_block,
			      .kick_fd = eventfd(0, EFD_NONBLOCK),
			      .call_fd = eventfd(0, 0),
			      .lat = calloc(DRIVER_BUCKETS, sizeof(*d->lat)) };
	for (unsigned i = 0; i < c->depth + c->readers; i++)
		slot_init(d, i);
	return d->kick_fd < 0 || d->call_fd < 0 || !d->lat ? -errno : 0;
}

void driver_run(struct driver *d, uint64_t ns)
{
	uint64_t end = driver_now_ns() + ns;

	/* Of this thread, and of no thread of the device's: a guest's wake-ups have no slack. */
	prctl(PR_SET_TIMERSLACK, 1);
	d->done = d->read = d->kicks = d->irqs = 0;
	memset(d->lat, 0, DRIVER_BUCKETS * sizeof(*d->lat));
	for (unsigned i = 0; i < d->cfg.depth + d->cfg.readers; i++)
		add(d, i);
	publish(d);
	while (driver_now_ns() < end) {
		wait_irq(d);
		reap(d, true);
	}
	while (d->used_idx != d->avail_idx) {
		wait_irq(d);
		reap(d, false);
	}
}

double driver_percentile(const uint32_t *lat, uint64_t n, double p)
{
	uint64_t sum = 0, want = (uint64_t)((double)n * p);
	unsigned i = 0;

	while (i < DRIVER_BUCKETS - 1 && (sum += lat[i]) < want)
		i++;
	return i / 10.0;
}
