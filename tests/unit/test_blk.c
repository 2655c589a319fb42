/* SPDX-License-Identifier: BSD-2-Clause */
/* Disk images and the virtio-blk queue on both engines, with and without O_DIRECT,
 * on disk and on tmpfs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block/blk_file.h"
#include "devices/virtio/blk_queue.h"
#include "tests/unit/ring.h"
#include "vmm/core/error.h"
#include "vmm/core/stats.h"

#define SECTORS 2048u
#define HDR	RING_DATA
#define STATUS	(RING_DATA + 0x100)
#define BUF	(RING_DATA + 0x1000)

struct disk {
	char path[64];
	struct ring r;
	struct blk_file f;
	struct blk_queue *q;
	int kick, call;
	_Atomic unsigned broken;
};

struct variant {
	enum blk_aio aio;
	enum blk_cache cache;
	bool event_idx;
	const char *dir; /* of the image */
};

static const struct variant variants[] = {
	{ BLK_AIO_URING, BLK_CACHE_WRITEBACK, true, "/var/tmp" },
	{ BLK_AIO_URING, BLK_CACHE_NONE, true, "/var/tmp" },
	{ BLK_AIO_URING, BLK_CACHE_WRITEBACK, true, "/dev/shm" },
	{ BLK_AIO_URING, BLK_CACHE_NONE, true, "/dev/shm" },
	{ BLK_AIO_LIBAIO, BLK_CACHE_WRITEBACK, false, "/var/tmp" },
	{ BLK_AIO_LIBAIO, BLK_CACHE_NONE, true, "/var/tmp" },
};

static void make_image(char *path, const char *dir, size_t len)
{
	int fd;

	sprintf(path, "%s/minivmm-test-XXXXXX", dir);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	close(fd);
}

static void image_put(const char *path, off_t off, const void *buf, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, buf, len, off), len);
	close(fd);
}

static void image_get(const char *path, off_t off, void *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, buf, len, off), len);
	close(fd);
}

static void irq(void *arg)
{
	const uint64_t one = 1;

	assert_int_equal(write(((struct disk *)arg)->call, &one, 8), 8);
}

static void broken(void *arg)
{
	((struct disk *)arg)->broken++;
	irq(arg);
}

static const struct blk_queue_ops ops = { .notify = irq, .broken = broken };

/* False: this host does not have the engine, or has no O_DIRECT in this folder. */
static bool disk_start(struct disk *d, const struct variant *v, bool readonly, size_t len)
{
	struct error err = { 0 };
	struct blk_queue_config c = { .run.name = "test",
				      .run.aio = v->aio,
				      .run.poll_usec = BLK_POLL_USEC,
				      .run.timed = true,
				      .run.engine.file = &d->f,
				      .run.engine.ram_pinned = true,
				      .run.engine.depth = 64,
				      .serial = "SN0123456789ABCDEFGH" };

	memset(d, 0, sizeof(*d));
	make_image(d->path, v->dir, len);
	if (blk_file_open(&d->f, d->path, readonly, v->cache, BLK_FORMAT_AUTO, &err)) {
		unlink(d->path);
		return false;
	}
	assert_int_equal(ring_new(&d->r, v->event_idx), 0);
	d->kick = eventfd(0, EFD_NONBLOCK);
	d->call = eventfd(0, EFD_NONBLOCK);
	c.run.engine.kick_fd = d->kick;
	c.run.engine.mem = d->r.mem;
	d->q = blk_queue_new(&c, &err);
	if (!d->q) {
		print_message("%s\n", err.text);
		unlink(d->path);
		return false;
	}
	blk_queue_start(d->q, &d->r.vq, false, &ops, d);
	return true;
}

static void disk_stop(struct disk *d)
{
	blk_queue_stop(d->q);
	blk_queue_free(d->q);
	blk_file_close(&d->f);
	unlink(d->path);
	close(d->kick);
	close(d->call);
	ring_free(&d->r);
}

static void kick(struct disk *d)
{
	const uint64_t one = 1;

	assert_int_equal(write(d->kick, &one, 8), 8);
}

/* Waits until all requests are done. False: the ring is broken, or nothing came for a minute, which
 * is long because others may use the disk. */
static bool wait_done(struct disk *d)
{
	struct pollfd p = { d->call, POLLIN, 0 };
	uint64_t n;

	for (;;) {
		d->r.used_idx = __atomic_load_n(&ring_used(&d->r)->idx, __ATOMIC_ACQUIRE);
		if (d->r.used_idx == d->r.avail_idx)
			return true;
		if (d->broken)
			return false;
		__atomic_store_n(&ring_avail(&d->r)->ring[RING_SIZE], d->r.used_idx,
				 __ATOMIC_RELAXED);
		atomic_thread_fence(memory_order_seq_cst);
		/* There is no interrupt for completions before the queue saw the new used_event. */
		if (d->r.used_idx != __atomic_load_n(&ring_used(&d->r)->idx, __ATOMIC_ACQUIRE))
			continue;
		if (poll(&p, 1, 60000) != 1 || read(d->call, &n, 8) < 0)
			return false;
	}
}

static void header(struct disk *d, uint32_t type, uint64_t sector)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h = { type, 0, sector };

	memcpy(d->r.ram + HDR, &h, sizeof(h));
	d->r.ram[STATUS] = 0x55;
}

/* Makes a chain at entry 0: a request with `len` bytes at guest address `buf`. */
static void chain(struct disk *d, uint32_t type, uint64_t sector, uint64_t buf, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	header(d, type, sector);
	ring_set(&d->r, 0, HDR, 16, VRING_DESC_F_NEXT, len ? 1 : 2);
	ring_set(&d->r, 1, buf, len, (uint16_t)(VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0)),
		 2);
	ring_set(&d->r, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
}

/* Makes the request; returns the status byte. */
static int request_at(struct disk *d, uint32_t type, uint64_t sector, uint64_t buf, uint32_t len)
{
	chain(d, type, sector, buf, len);
	ring_offer(&d->r, 0);
	kick(d);
	assert_true(wait_done(d));
	return d->r.ram[STATUS];
}

static int request(struct disk *d, uint32_t type, uint64_t sector, uint32_t len)
{
	return request_at(d, type, sector, BUF, len);
}

#define FOR_EACH_VARIANT(d, v, ro, len)                                                    \
	for (const struct variant *v = variants; v < variants + ARRAY_SIZE(variants); v++) \
		if (disk_start(d, v, ro, len))

/* A queue of 256 requests has memory for a batch of submissions and for 512 completions. */
static void ring_size(void **state)
{
	struct error err = { 0 };
	struct blk_queue_config c = { .run.name = "test",
				      .run.aio = BLK_AIO_URING,
				      .run.engine.depth = 256 };
	unsigned long from, to, total = 0;
	struct disk d = { 0 };
	char line[512];
	FILE *f;

	(void)state;
	make_image(d.path, "/var/tmp", SECTORS * 512);
	assert_int_equal(blk_file_open(&d.f, d.path, false, BLK_CACHE_NONE, BLK_FORMAT_RAW, &err),
			 0);
	c.run.engine.file = &d.f;
	c.run.engine.kick_fd = eventfd(0, EFD_NONBLOCK);
	d.q = blk_queue_new(&c, &err);
	if (!d.q)
		skip();
	f = fopen("/proc/self/maps", "re");
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "[io_uring]") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			total += to - from;
	fclose(f);
	assert_in_range(total, 4 * KiB, 16 * KiB);
	blk_queue_free(d.q);
	blk_file_close(&d.f);
	close(c.run.engine.kick_fd);
	unlink(d.path);
}

static uint32_t used_len(struct disk *d)
{
	return ring_used(&d->r)->ring[(uint16_t)(d->r.used_idx - 1) % RING_SIZE].len;
}

static const uint64_t *counter(const struct stats *s, const char *name)
{
	const struct stats_set *set = stats_sets(s);

	for (unsigned i = 0; i < set->n; i++)
		if (!strcmp(set->counter[i].name, name))
			return set->counter[i].value;
	fail_msg("no counter %s", name);
	return NULL;
}

static void counts(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		struct stats *s = stats_new(true);
		uint64_t latencies = 0;

		blk_runner_add_stats(blk_queue_runner(d.q), s, "blk0.0");
		request(&d, VIRTIO_BLK_T_IN, 8, 4096);
		request(&d, VIRTIO_BLK_T_IN, 8, 512);
		request(&d, VIRTIO_BLK_T_OUT, 8, 1024);
		request(&d, VIRTIO_BLK_T_OUT, SECTORS, 512); /* beyond the end */
		request(&d, VIRTIO_BLK_T_FLUSH, 0, 0);
		blk_queue_stop(d.q); /* the last interrupt may not have been raised yet */
		assert_int_equal(*counter(s, "reads"), 2);
		assert_int_equal(*counter(s, "bytes_read"), 4608);
		assert_int_equal(*counter(s, "writes"), 1);
		assert_int_equal(*counter(s, "bytes_written"), 1024);
		assert_int_equal(*counter(s, "flushes"), 1);
		assert_int_equal(*counter(s, "errors"), 1);
		assert_in_range(*counter(s, "interrupts"), 1, 5); /* only where it was waited for */
		assert_true(*counter(s, "system_calls") >= 4);
		assert_int_equal(counter(s, "batch")[1], 5);
		for (unsigned i = 1; i < STATS_BUCKETS; i++)
			latencies += counter(s, "latency_ns")[i];
		assert_int_equal(latencies, 4);
		stats_free(s);
		disk_stop(&d);
	}
}

static void reads_and_writes(void **state)
{
	static struct disk d;
	char got[4096];

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		image_put(d.path, 512 * 8, "hello", 5);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 8, 4096), VIRTIO_BLK_S_OK);
		assert_memory_equal(d.r.ram + BUF, "hello", 5);
		assert_int_equal(used_len(&d), 4097);
		memset(d.r.ram + BUF, 0xab, 4096);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 2040, 4096), VIRTIO_BLK_S_OK);
		assert_int_equal(used_len(&d), 1);
		image_get(d.path, 2040 * 512, got, 4096);
		assert_memory_equal(got, d.r.ram + BUF, 4096);
		assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, 0), VIRTIO_BLK_S_OK);
		disk_stop(&d);
	}
}

/* Unaligned buffers, a buffer in two host ranges, and 512-byte requests with any block size. */
static void odd_buffers(void **state)
{
	static struct disk d;
	char got[8192];

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		for (unsigned i = 0; i < 8192; i++)
			d.r.ram[BUF + 3 + i] = (char)(i * 7);
		assert_int_equal(request_at(&d, VIRTIO_BLK_T_OUT, 16, BUF + 3, 8192), 0);
		image_get(d.path, 16 * 512, got, 8192);
		assert_memory_equal(got, d.r.ram + BUF + 3, 8192);
		memset(d.r.ram + BUF, 0, 16384);
		assert_int_equal(request_at(&d, VIRTIO_BLK_T_IN, 16, BUF + 1, 8192), 0);
		assert_memory_equal(got, d.r.ram + BUF + 1, 8192);
		assert_int_equal(request_at(&d, VIRTIO_BLK_T_IN, 16, RING_MEM / 2 - 1000, 8192), 0);
		assert_memory_equal(got, d.r.ram + RING_MEM / 2 - 1000, 1000);
		assert_memory_equal(got + 1000, d.r.ram + RING_MEM, 7192);
		memset(d.r.ram + BUF, 0x11, 512);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 17, 512), 0);
		image_get(d.path, 17 * 512, got, 1024);
		assert_int_equal(got[511], 0x11);
		assert_int_equal(got[512], (char)(1024 * 7));
		disk_stop(&d);
	}
}

/* More unaligned buffers at the same time than there are aligned ones: all requests are completed,
 * also if the queue stops while some wait. */
static void many_odd_buffers(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		for (unsigned round = 0; round < 8; round++) {
			chain(&d, round & 1 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 0, BUF + 1,
			      900 * KiB);
			for (unsigned i = 0; i < RING_SIZE; i++)
				ring_offer(&d.r, 0);
			kick(&d);
			assert_true(wait_done(&d));
			assert_int_equal(d.r.ram[STATUS], VIRTIO_BLK_S_OK);
		}
		for (unsigned i = 0; i < RING_SIZE; i++)
			ring_offer(&d.r, 0);
		kick(&d);
		disk_stop(&d);
	}
}

static void bad_requests_fail(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, SECTORS - 1, 1024),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, UINT64_MAX, 512),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 1ull << 55, 512),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, 100), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, 77, 0, 512), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(request(&d, VIRTIO_BLK_T_DISCARD, 0, 15), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_DISCARD, 0, 32), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
		disk_stop(&d);
	}
}

static int range(struct disk *d, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct {
		uint64_t sector;
		uint32_t n, flags;
	} r = { sector, n, flags };

	memcpy(d->r.ram + BUF, &r, sizeof(r));
	return request(d, type, 0, sizeof(r));
}

static void discards_and_zeroes(void **state)
{
	static struct disk d;
	char ones[8192], got[8192];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		image_put(d.path, 0, ones, sizeof(ones));
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 1, 3, 0), 0);
		image_get(d.path, 0, got, 8192);
		assert_int_equal((uint8_t)got[511], 0xff);
		assert_int_equal(got[512], 0);
		assert_int_equal(got[2047], 0);
		assert_int_equal((uint8_t)got[2048], 0xff);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 1), 0);
		image_get(d.path, 4096, got, 4096);
		assert_int_equal(got[0] | got[4095], 0);
		if (d.f.discard)
			assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, 8, 0), 0);
		assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, 8, 1), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2),
				 VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 2, 0),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX, 2, 0),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0),
				 VIRTIO_BLK_S_IOERR);
		disk_stop(&d);
	}
}

static void readonly_and_serial(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, true, SECTORS * 512)
	{
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
		assert_memory_equal(d.r.ram + BUF, "SN0123456789ABCDEFGH", 20);
		disk_stop(&d);
	}
}

/* The image ends 100 bytes into a sector: the sector counts as a whole, and its rest is zero. */
static void odd_size(void **state)
{
	static struct disk d;
	struct stat st;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, 10 * 512 + 100)
	{
		memset(d.r.ram + BUF, 0x77, 4096);
		image_put(d.path, 10 * 512, "tail", 4);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 10, 512), VIRTIO_BLK_S_OK);
		assert_memory_equal(d.r.ram + BUF, "tail", 5);
		assert_int_equal(d.r.ram[BUF + 511], 0);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 8, 3 * 512), VIRTIO_BLK_S_OK);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 11, 512), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 10, 512), VIRTIO_BLK_S_OK);
		/* The image keeps its length; data behind its end is refused. */
		assert_int_equal(stat(d.path, &st), 0);
		assert_int_equal(st.st_size, 10 * 512 + 100);
		d.r.ram[BUF + 99] = 'x';
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 10, 512), VIRTIO_BLK_S_OK);
		d.r.ram[BUF + 99] = 'y';
		d.r.ram[BUF + 100] = 'x';
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 10, 512), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 10, 512), VIRTIO_BLK_S_OK);
		/* No part of it was written. */
		assert_int_equal(d.r.ram[BUF + 99], 'x');
		assert_int_equal(d.r.ram[BUF + 100], 0);
		assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 10, 1, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(stat(d.path, &st), 0);
		assert_int_equal(st.st_size, 10 * 512 + 100);
		disk_stop(&d);
	}
}

/* Somebody truncates the image: an error, not zeroes and not a hang. */
static void truncated_image(void **state)
{
	static struct disk d;
	struct stat st;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		assert_int_equal(truncate(d.path, 4096), 0);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 1024, 4096), VIRTIO_BLK_S_IOERR);
		/* A write would make it longer again. */
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 1024, 4096), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, 8192), VIRTIO_BLK_S_IOERR);
		assert_int_equal(stat(d.path, &st), 0);
		assert_int_equal(st.st_size, 4096);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
		/* Whoever truncated it has thought better of it. */
		assert_int_equal(truncate(d.path, SECTORS * 512), 0);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 1024, 4096), VIRTIO_BLK_S_OK);
		disk_stop(&d);
	}
}

static void no_room_for_status(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		header(&d, VIRTIO_BLK_T_OUT, 0);
		ring_set(&d.r, 0, HDR, 16, 0, 0);
		ring_offer(&d.r, 0);
		kick(&d);
		assert_false(wait_done(&d));
		assert_int_equal(d.broken, 1);
		/* After a stop and a start with a new ring it must work again. */
		blk_queue_stop(d.q);
		memset(d.r.ram + RING_AVAIL, 0, 0x2000);
		d.r.avail_idx = d.r.used_idx = 0;
		d.broken = 0;
		assert_int_equal(virtq_init(&d.r.vq, d.r.mem,
					    &(struct virtq_setup){ RING_SIZE, GPA(RING_DESC),
								   GPA(RING_AVAIL), GPA(RING_USED),
								   false, true }),
				 0);
		blk_queue_start(d.q, &d.r.vq, true, &ops, &d);
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_OK);
		disk_stop(&d);
	}
}

/* A stop while there are requests: all requests that were taken are completed, and afterwards
 * nothing is written to guest memory. */
static void stop_drains(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		chain(&d, VIRTIO_BLK_T_IN, 0, BUF, 65536);
		for (unsigned i = 0; i < RING_SIZE; i++)
			ring_offer(&d.r, 0);
		kick(&d);
		blk_queue_stop(d.q);
		assert_int_equal(ring_used(&d.r)->idx, d.r.vq.last_avail);
		memset(d.r.ram + BUF, 0x42, 65536);
		usleep(2000);
		assert_int_equal(d.r.ram[BUF], 0x42);
		assert_int_equal(d.r.ram[BUF + 65535], 0x42);
		disk_stop(&d);
	}
}

/* Kicks like a driver: only if the device has asked for it. */
static void kick_if_wanted(struct disk *d, const struct variant *v, uint16_t before)
{
	uint16_t event;

	atomic_thread_fence(memory_order_seq_cst);
	event = __atomic_load_n((uint16_t *)&ring_used(&d->r)->ring[RING_SIZE], __ATOMIC_RELAXED);
	if (v->event_idx ? vring_need_event(event, d->r.avail_idx, before)
			 : !(__atomic_load_n(&ring_used(&d->r)->flags, __ATOMIC_RELAXED) &
			     VRING_USED_F_NO_NOTIFY))
		kick(d);
}

/* After a burst the queue polls its ring before it sleeps. The next burst must be seen, at whatever
 * time it comes. */
static void bursts(void **state)
{
	static struct disk d;
	uint16_t before;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		chain(&d, VIRTIO_BLK_T_IN, 0, BUF, 512);
		for (unsigned round = 0; round < 300; round++) {
			before = d.r.avail_idx;
			for (unsigned i = 0; i < 1 + round % RING_SIZE; i++)
				ring_offer(&d.r, 0);
			kick_if_wanted(&d, v, before);
			assert_true(wait_done(&d));
			usleep(round % 7 * 8);
		}
		disk_stop(&d);
	}
}

/* The number of io_uring's worker threads. They are tasks of this process with special names. */
static unsigned workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(tasks);
	for (struct dirent *e; (e = readdir(tasks));) {
		char path[300], name[8] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		n += f && fgets(name, sizeof(name), f) && !strcmp(name, "iou-wrk");
		if (f)
			fclose(f);
	}
	closedir(tasks);
	return n;
}

/* A file on tmpfs must be read without another thread. */
static void tmpfs_in_place(void **state)
{
	static struct disk d;

	(void)state;
	FOR_EACH_VARIANT(&d, v, false, SECTORS * 512)
	{
		/* The workers of old rings take some time to end. */
		for (unsigned i = 0; i < 10000 && workers(); i++)
			usleep(1000);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
		if (!strcmp(v->dir, "/dev/shm"))
			assert_int_equal(workers(), 0);
		disk_stop(&d);
	}
}

static void open_errors(void **state)
{
	char path[64];
	struct blk_file a, b;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(blk_file_open(&a, "/nonexistent", false, BLK_CACHE_WRITEBACK,
				       BLK_FORMAT_AUTO, &err),
			 -ENOENT);
	assert_int_equal(
		blk_file_open(&a, "/dev/null", false, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
		-EINVAL);
	make_image(path, "/var/tmp", 0);
	assert_int_equal(blk_file_open(&a, path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "truncate"));
	assert_int_equal(truncate(path, 1 << 20), 0);
	/* The lock allows one writer, or any number of readers. */
	assert_int_equal(blk_file_open(&a, path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			 0);
	assert_int_equal(blk_file_open(&b, path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			 -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	assert_int_equal(blk_file_open(&b, path, true, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			 -EBUSY);
	blk_file_close(&a);
	assert_int_equal(blk_file_open(&a, path, true, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			 0);
	assert_int_equal(blk_file_open(&b, path, true, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			 0);
	blk_file_close(&a);
	blk_file_close(&b);
	unlink(path);
}

/* Images of other formats are refused, except with format=raw. */
static void other_formats(void **state)
{
	static const struct {
		const char *name, *magic;
		size_t len;
		off_t at;
	} cases[] = {
		{ "qcow2", "QFI\xfb", 4, 0 },
		{ "vmdk", "KDMV", 4, 0 },
		{ "vmdk", "# Disk DescriptorFile\n", 22, 0 },
		{ "vhdx", "vhdxfile", 8, 0 },
		{ "vhd", "conectix", 8, 0 },
		{ "vdi", "\x7f\x10\xda\xbe", 4, 64 },
		{ "qed", "QED", 4, 0 },
	};
	struct error err = { 0 };
	struct blk_file a;
	char path[64], is[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		make_image(path, "/dev/shm", 1024 * 1024);
		image_put(path, cases[i].at, cases[i].magic, cases[i].len);
		assert_int_equal(
			blk_file_open(&a, path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_AUTO, &err),
			-EINVAL);
		sprintf(is, " is a %s image,", cases[i].name);
		assert_non_null(strstr(err.text, is));
		assert_non_null(strstr(err.text, "qemu-img convert"));
		assert_int_equal(
			blk_file_open(&a, path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_RAW, &err),
			0);
		blk_file_close(&a);
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_size),
		cmocka_unit_test(counts),
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(odd_buffers),
		cmocka_unit_test(many_odd_buffers),
		cmocka_unit_test(bad_requests_fail),
		cmocka_unit_test(discards_and_zeroes),
		cmocka_unit_test(readonly_and_serial),
		cmocka_unit_test(odd_size),
		cmocka_unit_test(truncated_image),
		cmocka_unit_test(no_room_for_status),
		cmocka_unit_test(stop_drains),
		cmocka_unit_test(bursts),
		cmocka_unit_test(tmpfs_in_place),
		cmocka_unit_test(open_errors),
		cmocka_unit_test(other_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
