/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk under a hostile guest: transport, requests, and all that is done to them before and after
 * the kernel. The engine is one of ours, linked in place of io_uring by --wrap: it answers in full,
 * in part or with an error, as the input says. Not reached: the engines themselves (blk_uring.c,
 * blk_aio.c), which see no guest data that has not been checked.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/block/blk_file.h"
#include "devices/block/engine.h"
#include "devices/virtio/virtio_blk.h"
#include "tests/fuzz/virtio_guest.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define IMAGE_SIZE (40 * 4096 + 3 * 512 + 77)
#define HDR	   RING_DATA

struct blk_engine {
	struct blk_gate gate;
	struct blk_req *flying[64], *done, **done_tail;
	unsigned n;
};

static struct fake_driver *guest; /* of this run */
static uint8_t answers;		  /* how the kernel takes requests, two bits each */
static bool with_direct;

static int mem_open(struct blk_engine **out, const struct blk_engine_config *c, struct error *err)
{
	struct blk_engine *e = calloc(1, sizeof(*e));

	char path[32];

	(void)err;
	/* As with O_DIRECT on storage of 4 KiB blocks; the memory file takes anything. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", c->file->fd);
	c->file->direct = with_direct;
	if (with_direct && blk_file_set_align(c->file, path, 4096, 512))
		abort();
	blk_gate_init(&e->gate, c->file, true);
	e->done_tail = &e->done;
	*out = e;
	return 0;
}

static void mem_close(struct blk_engine *e)
{
	free(e);
}

static void done_add(struct blk_engine *e, struct blk_req *r)
{
	r->next = NULL;
	*e->done_tail = r;
	e->done_tail = &r->next;
}

static void take(struct blk_engine *e, struct blk_req *r, enum blk_way way)
{
	if (way == BLK_GO && e->n == 64)
		blk_gate_fail(&e->gate, r, -EBUSY);
	if (way == BLK_DONE || (way == BLK_GO && e->n == 64))
		done_add(e, r);
	else if (way == BLK_GO)
		e->flying[e->n++] = r;
}

static void mem_submit(struct blk_engine *e, struct blk_req *r)
{
	take(e, r, blk_gate_enter(&e->gate, r));
}

/* Touches the ends of each buffer, so that a wrong one is seen. */
static void touch(const struct blk_req *r)
{
	for (unsigned i = 0; i < r->niov; i++) {
		char *p = r->iov[i].iov_base;
		size_t n = r->iov[i].iov_len;

		if (n && r->op == BLK_READ)
			p[0] = p[n - 1] = 0x5a;
		else if (n && p[0] == p[n - 1] && p[0] == 0x77)
			answers ^= 1;
	}
	if (r->bounce)
		memset(r->bounce, 0x5b, r->bounce_len);
}

static int64_t answer(const struct blk_req *r)
{
	static const int errors[] = { -EIO, -EAGAIN, -EINVAL, -EOPNOTSUPP };
	uint8_t a = answers & 3;

	answers = (uint8_t)(answers >> 2 | answers << 6);
	if (a == 0)
		answers++;
	if (a == 2)
		return errors[answers >> 2 & 3];
	if (r->op > BLK_WRITE)
		return 0;
	touch(r);
	if (a == 3)
		return (int64_t)(r->len / 2 / 512 * 512);
	return (int64_t)(r->bounce ? r->bounce_len : r->len);
}

/* The driver goes on while the disk's thread sleeps: it offers the chain at descriptor 0 again. */
static void guest_adds(void)
{
	driver_offer(guest, 0, 0, HDR, 16, VRING_DESC_F_NEXT);
	((struct virtq_desc *)(guest->r.ram + FAKE_QUEUE))->next = 1;
}

static struct blk_req *mem_run(struct blk_engine *e, enum blk_wait wait)
{
	struct blk_req *list, *r;
	enum blk_way way;

	if (wait != BLK_NOWAIT && (answers & 0x81) == 0x81)
		guest_adds();
	while (e->n) {
		r = e->flying[--e->n];
		if (blk_gate_answer(&e->gate, r, answer(r)))
			done_add(e, r);
		else
			mem_submit(e, r);
		while ((r = blk_gate_next(&e->gate, &way)))
			take(e, r, way);
	}
	while ((r = blk_gate_next(&e->gate, &way)))
		take(e, r, way);
	list = e->done;
	e->done = NULL;
	e->done_tail = &e->done;
	return list;
}

static bool mem_ready(struct blk_engine *e)
{
	return e->done || e->n;
}

const struct blk_ops __wrap_blk_uring_ops = {
	.name = "memory",
	.open = mem_open,
	.close = mem_close,
	.submit = mem_submit,
	.run = mem_run,
	.ready = mem_ready,
};

/* A request as a driver makes it, but for what the input makes of it. */
static void request(struct fake_driver *d, const uint8_t *s)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN,	 VIRTIO_BLK_T_OUT,
					  VIRTIO_BLK_T_FLUSH,	 VIRTIO_BLK_T_GET_ID,
					  VIRTIO_BLK_T_DISCARD,	 VIRTIO_BLK_T_WRITE_ZEROES,
					  VIRTIO_BLK_T_SCSI_CMD, 0x80000000 };
	uint32_t type = types[s[1] & 7], head[4] = { type, 0, s[3], 0 };
	uint64_t range[2] = { s[3], s[4] | (uint64_t)(s[1] >> 6) << 32 };
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	uint32_t len = s[4] * 512u, hdr = HDR + (s[0] >> 4) * 64u;
	uint32_t buf = RING_DATA + 0x1000u + s[5];
	unsigned q = s[1] >> 3 & 1, first = (s[2] & 1) * 4u;
	struct virtq_desc *t = (struct virtq_desc *)(d->r.ram + FAKE_QUEUE * (q + 1));

	if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES) {
		memcpy(d->r.ram + buf, range, sizeof(range));
		len = 16;
	}
	if (s[2] & 2) /* in two ranges of the host */
		buf = RING_MEM / 2 - 512 - s[5];
	memcpy(d->r.ram + hdr, head, sizeof(head));
	driver_offer(d, q, (uint16_t)first, hdr, 16, VRING_DESC_F_NEXT);
	t[first].next = (uint16_t)(first + 1);
	t[first + 1] =
		(struct virtq_desc){ buf, len + (s[2] >> 4 == 1),
				     (uint16_t)(VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0)),
				     (uint16_t)(first + 2) };
	t[first + 2] = (struct virtq_desc){ hdr + 48, 1 + (s[2] >> 2 & 1), VRING_DESC_F_WRITE, 0 };
	if (s[2] & 8)
		memcpy(&t[first + 1], s + 2, 6);
}

static struct virtio_blk *make(struct fake_driver *d, bool direct)
{
	struct error err = { 0 };
	struct virtio_blk *b;
	char path[32];
	int fd = memfd_create("disk", 0);
	struct blk_config c = { .path = path,
				.format = BLK_FORMAT_RAW,
				.cache = BLK_CACHE_WRITEBACK,
				.queues = 2,
				.serial = "fuzz" };

	with_direct = direct;
	if (fd < 0 || ftruncate(fd, IMAGE_SIZE) || fake_driver_init(d))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	b = virtio_blk_open(&c, &err);
	if (!b || virtio_blk_plug(b, d->root, &d->root->bus, FAKE_DEVFN, &c, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	close(fd);
	return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fake_driver drivers[2];
	static struct virtio_blk *disks[2];
	struct fake_driver *d;
	unsigned which;

	if (len < STEP_BYTES)
		return 0;
	log_set_level(LOG_ERROR);
	which = data[0] & 1;
	d = &drivers[which];
	/* To make one takes much longer than a run. */
	if (disks[which] && (data[0] & 0xfc) == 0xfc && data[1] == 0xa5) {
		virtio_blk_free(disks[which]);
		fake_driver_free(d);
		disks[which] = NULL;
	}
	if (!disks[which])
		disks[which] = make(d, which == 0);
	guest = d;
	answers = data[1];
	virtio_begin(d, 2, data[0] & 2 ? 0 : 1u << 9 /* FLUSH */ | 1u << 28 | 1u << 29);
	for (size_t i = 2; i + STEP_BYTES <= len && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES) {
		if ((data[i] & 15) >= STEP_OTHER)
			request(d, data + i);
		else
			virtio_step(d, data + i);
	}
	driver_kick(d, 0);
	threads_run();
	return 0;
}
