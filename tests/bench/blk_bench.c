// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-blk without a guest: a synthetic driver fills a real virtqueue in memory that stands for a
 * guest's, and the device's own queue code, thread and engine serve it. Kicks and interrupts are
 * eventfds, as ioeventfd and irqfd make them; what is missing is the hypervisor's part of both.
 *
 * The driver behaves as Linux's does: indirect descriptors, EVENT_IDX, an interrupt wanted for the
 * next completion after the last one it saw, sleeping until it comes; all completed requests are
 * then replaced and one kick (if wanted) covers them. --poll-driver makes it spin on the used ring
 * instead.
 *
 * With --vhost-user SOCKET the same driver drives another process's back end.
 *
 * Output, one line: requests/s, CPU seconds of the device's side per million requests (everything
 * in this process except the driver's thread), kicks and interrupts per request.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "devices/block/blk_file.h"
#include "devices/virtio/blk_queue.h"
#include "devices/virtio/virtq.h"
#include "tests/bench/vhost_user.h"
#include "vmm/core/error.h"
#include "vmm/core/mem.h"

#define MEM_SIZE   (64 * MiB)
#define QUEUE_SIZE 256u
#define BS	   4096u
/* Guest addresses. */
#define DESC_AT	 0x0000u
#define AVAIL_AT 0x2000u
#define USED_AT	 0x4000u
#define SLOTS_AT 0x10000u  /* one page each: indirect table, header, status */
#define DATA_AT	 0x800000u /* one block each */

struct slot {
	struct virtq_desc table[3];
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	uint8_t status;
	uint64_t start;
};

struct bench {
	const char *file, *vhost_user;
	unsigned depth, secs, poll_usec;
	bool write, direct, native, pin, poll_driver, histogram, timed;
	uint64_t blocks;
	char *mem;
	int mem_fd, kick_fd, call_fd;
	uint64_t rng;
	/* the driver's side of the ring */
	uint16_t avail_idx, last_kick, used_idx;
	uint64_t done, warm, warm_calls, kicks, irqs, errors;
	uint32_t lat[200000]; /* by 100 ns */
};

static uint64_t now_ns(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct slot *slot_at(struct bench *b, unsigned i)
{
	return (struct slot *)(b->mem + SLOTS_AT + i * 4096);
}

static struct virtq_avail *avail(struct bench *b)
{
	return (struct virtq_avail *)(b->mem + AVAIL_AT);
}

static struct virtq_used *used(struct bench *b)
{
	return (struct virtq_used *)(b->mem + USED_AT);
}

static uint64_t next_random(struct bench *b)
{
	b->rng ^= b->rng << 13;
	b->rng ^= b->rng >> 7;
	b->rng ^= b->rng << 17;
	return b->rng;
}

static void slot_init(struct bench *b, unsigned i)
{
	uint32_t at = SLOTS_AT + i * 4096;
	struct slot *s = slot_at(b, i);
	struct virtq_desc *d = (struct virtq_desc *)(b->mem + DESC_AT);

	d[i] = (struct virtq_desc){ at, sizeof(s->table), VRING_DESC_F_INDIRECT, 0 };
	s->table[0] = (struct virtq_desc){ at + offsetof(struct slot, header), 16,
					   VRING_DESC_F_NEXT, 1 };
	s->table[1] = (struct virtq_desc){ DATA_AT + i * BS, BS, VRING_DESC_F_NEXT, 2 };
	s->table[2] = (struct virtq_desc){ at + offsetof(struct slot, status), 1,
					   VRING_DESC_F_WRITE, 0 };
	s->header.type = b->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
	if (!b->write)
		s->table[1].flags |= VRING_DESC_F_WRITE;
}

static void issue(struct bench *b, unsigned i)
{
	struct slot *s = slot_at(b, i);

	s->header.sector = next_random(b) % b->blocks * (BS / 512);
	s->status = 0xff;
	if (b->histogram)
		s->start = now_ns(CLOCK_MONOTONIC);
	avail(b)->ring[b->avail_idx++ & (QUEUE_SIZE - 1)] = (uint16_t)i;
}

static void publish(struct bench *b)
{
	const uint64_t one = 1;
	uint16_t event;

	if (b->avail_idx == b->last_kick)
		return;
	__atomic_store_n(&avail(b)->idx, b->avail_idx, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	event = __atomic_load_n((uint16_t *)&used(b)->ring[QUEUE_SIZE], __ATOMIC_RELAXED);
	if (vring_need_event(event, b->avail_idx, b->last_kick)) {
		b->kicks++;
		if (write(b->kick_fd, &one, 8) != 8)
			abort();
	}
	b->last_kick = b->avail_idx;
}

static void complete_one(struct bench *b, bool again)
{
	unsigned i = used(b)->ring[b->used_idx++ & (QUEUE_SIZE - 1)].id;
	struct slot *s = slot_at(b, i);

	b->errors += s->status != VIRTIO_BLK_S_OK;
	b->done++;
	if (b->histogram) {
		uint64_t t = (now_ns(CLOCK_MONOTONIC) - s->start) / 100;

		b->lat[t < 200000 ? t : 199999]++;
	}
	if (again)
		issue(b, i);
}

/* Everything that has completed, until the ring stays empty after asking for an interrupt. */
static void reap(struct bench *b, bool again)
{
	uint16_t *event = (uint16_t *)&avail(b)->ring[QUEUE_SIZE];

	do {
		uint16_t idx = __atomic_load_n(&used(b)->idx, __ATOMIC_ACQUIRE);

		while (b->used_idx != idx)
			complete_one(b, again);
		publish(b);
		if (!b->poll_driver)
			__atomic_store_n(event, b->used_idx, __ATOMIC_RELAXED);
		atomic_thread_fence(memory_order_seq_cst);
	} while (__atomic_load_n(&used(b)->idx, __ATOMIC_ACQUIRE) != b->used_idx);
}

static void wait_irq(struct bench *b)
{
	uint64_t n;

	if (b->poll_driver) {
		while (__atomic_load_n(&used(b)->idx, __ATOMIC_ACQUIRE) == b->used_idx)
			__builtin_ia32_pause();
		return;
	}
	while (read(b->call_fd, &n, 8) != 8) {
		/* qemu-storage-daemon makes our end non-blocking too. */
		if (errno != EAGAIN || fcntl(b->call_fd, F_SETFL, 0))
			abort();
	}
	b->irqs++;
}

static void drive(struct bench *b, uint64_t ns)
{
	uint64_t end = now_ns(CLOCK_MONOTONIC) + ns;

	for (unsigned i = 0; i < b->depth; i++)
		issue(b, i);
	publish(b);
	while (now_ns(CLOCK_MONOTONIC) < end) {
		wait_irq(b);
		reap(b, true);
	}
	while (b->used_idx != b->avail_idx) {
		wait_irq(b);
		reap(b, false);
	}
}

static double percentile(const struct bench *b, double p)
{
	uint64_t sum = 0, want = (uint64_t)((double)b->done * p);
	unsigned i = 0;

	while (i < 199999 && (sum += b->lat[i]) < want)
		i++;
	return i / 10.0;
}

static void run(struct bench *b)
{
	uint64_t wall, cpu, mine;

	drive(b, 200000000); /* warm up */
	b->warm = b->done;
	b->warm_calls = b->kicks + b->irqs;
	b->done = b->kicks = b->irqs = 0;
	memset(b->lat, 0, sizeof(b->lat));
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	mine = now_ns(CLOCK_THREAD_CPUTIME_ID);
	drive(b, b->secs * 1000000000ull);
	mine = now_ns(CLOCK_THREAD_CPUTIME_ID) - mine;
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - mine;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	printf("iops=%.0f cpu_us_per_req=%.3f kicks=%.4f irqs=%.4f requests=%lu errors=%lu "
	       "total=%lu driver_calls=%lu",
	       (double)b->done * 1e9 / (double)wall, (double)cpu / 1e3 / (double)b->done,
	       (double)b->kicks / (double)b->done, (double)b->irqs / (double)b->done, b->done,
	       b->errors, b->done + b->warm, b->warm_calls + b->kicks + b->irqs);
	if (b->histogram)
		printf(" p50_us=%.1f p99_us=%.1f", percentile(b, 0.5), percentile(b, 0.99));
	printf("\n");
}

static void make_memory(struct bench *b)
{
	b->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	if (b->mem_fd < 0 || ftruncate(b->mem_fd, MEM_SIZE)) {
		perror("memfd");
		exit(1);
	}
	b->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, b->mem_fd,
		      0);
	if (b->mem == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	b->kick_fd = eventfd(0, EFD_NONBLOCK);
	b->call_fd = eventfd(0, 0);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		slot_init(b, i);
}

static void irq(void *arg)
{
	const uint64_t one = 1;

	if (write(((struct bench *)arg)->call_fd, &one, 8) != 8)
		abort();
}

static void broken(void *arg)
{
	(void)arg;
	fprintf(stderr, "the device calls the ring broken\n");
	exit(1);
}

static void run_ours(struct bench *b)
{
	static const struct blk_queue_ops ops = { .notify = irq, .broken = broken };
	struct guest_mem *mem = guest_mem_new();
	struct mem_range range = { 0, MEM_SIZE, b->mem, MEM_RAM, true };
	struct virtq_setup s = {
		QUEUE_SIZE, GPA(DESC_AT), GPA(AVAIL_AT), GPA(USED_AT), true, true
	};
	struct blk_file f;
	struct error err = { 0 };
	struct virtq vq;
	struct blk_queue_config c = { .name = "blk0.0",
				      .file = &f,
				      .mem = mem,
				      .aio = b->native ? BLK_AIO_LIBAIO : BLK_AIO_URING,
				      .pin_ram = b->pin,
				      .poll_usec = b->poll_usec,
				      .depth = QUEUE_SIZE,
				      .kick_fd = b->kick_fd,
				      .timed = b->timed };
	struct blk_queue *q;

	if (guest_mem_add(mem, &range) ||
	    blk_file_open(&f, b->file, !b->write, b->direct ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK,
			  true, &err) ||
	    virtq_init(&vq, mem, &s) || !(q = blk_queue_new(&c, &err))) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	b->blocks = f.size / BS;
	blk_queue_start(q, &vq, false, &ops, b);
	run(b);
	blk_queue_stop(q);
	blk_queue_free(q);
	blk_file_close(&f);
	guest_mem_free(mem);
}

static void run_vhost_user(struct bench *b)
{
	struct vu_setup s = { b->vhost_user,
			      b->mem_fd,
			      MEM_SIZE,
			      b->mem,
			      QUEUE_SIZE,
			      DESC_AT,
			      AVAIL_AT,
			      USED_AT,
			      b->kick_fd,
			      b->call_fd,
			      1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
				      1ull << VIRTIO_RING_F_INDIRECT_DESC };
	int fd = open(b->file, O_RDONLY | O_CLOEXEC), sock;

	b->blocks = (uint64_t)lseek(fd, 0, SEEK_END) / BS;
	sock = vu_connect(&s);
	if (sock < 0)
		exit(1);
	run(b);
	close(sock);
	close(fd);
}

static const struct option options[] = {
	{ "file", 1, 0, 'f' },
	{ "depth", 1, 0, 'd' },
	{ "secs", 1, 0, 's' },
	{ "write", 0, 0, 'w' },
	{ "direct", 0, 0, 'D' },
	{ "native", 0, 0, 'n' },
	{ "pin", 0, 0, 'p' },
	{ "poll-usec", 1, 0, 'u' },
	{ "poll-driver", 0, 0, 'P' },
	{ "vhost-user", 1, 0, 'v' },
	{ "latency", 0, 0, 'l' },
	{ "timed", 0, 0, 't' },
	{ 0 },
};

static void parse(struct bench *b, int argc, char **argv)
{
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'f':
			b->file = optarg;
			break;
		case 'd':
			b->depth = (unsigned)atoi(optarg);
			break;
		case 's':
			b->secs = (unsigned)atoi(optarg);
			break;
		case 'u':
			b->poll_usec = (unsigned)atoi(optarg);
			break;
		case 'v':
			b->vhost_user = optarg;
			break;
		default:
			b->write |= c == 'w';
			b->direct |= c == 'D';
			b->native |= c == 'n';
			b->pin |= c == 'p';
			b->poll_driver |= c == 'P';
			b->histogram |= c == 'l';
			b->timed |= c == 't';
			if (c == '?')
				exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b)
		return 1;
	*b = (struct bench){
		.depth = 32, .secs = 2, .poll_usec = BLK_POLL_USEC, .rng = 0x9e3779b97f4a7c15ull
	};
	parse(b, argc, argv);
	if (!b->file || b->depth < 1 || b->depth > QUEUE_SIZE) {
		fprintf(stderr, "usage: blk_bench --file F [--depth 1..256] [--secs N] [--write] "
				"[--direct] [--pin] [--native] [--poll-usec N] [--poll-driver] "
				"[--latency] [--timed] [--vhost-user SOCKET]\n");
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1);
	make_memory(b);
	if (b->vhost_user)
		run_vhost_user(b);
	else
		run_ours(b);
	free(b);
	return 0;
}
