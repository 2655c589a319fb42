/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk without a guest: a synthetic driver a queue (driver.h), and the device's own queue
 * code, threads and engine as a machine has them. Kicks and interrupts are eventfds, as ioeventfd
 * and irqfd make them; what is missing is the hypervisor's part of both. The device's threads have
 * the timer slack that they have in a machine.
 *
 * With --vhost-user SOCKET the same drivers drive another process's back end.
 *
 * Output, one line: requests/s, CPU seconds of the device's side per million requests (everything
 * in this process except the drivers' threads), kicks and interrupts per request. --readers N adds
 * so many requests in flight that read beside the writes; latencies are theirs then.
 */
#include <fcntl.h>
#include <getopt.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "devices/block/blk_file.h"
#include "devices/virtio/blk_queue.h"
#include "devices/virtio/virtq.h"
#include "tests/bench/driver.h"
#include "tests/bench/vhost_user.h"
#include "vmm/core/error.h"
#include "vmm/core/mem.h"

#define QUEUES_MAX 8u
#define WARM_NS	   200000000u

struct bench {
	const char *file, *vhost_user;
	unsigned secs, poll_usec, queues;
	bool direct, native, pin, timed;
	struct driver_config load;
	char *mem;
	int mem_fd;
	pthread_barrier_t barrier; /* the drivers' threads and the main one */
	struct worker {
		struct bench *bench;
		struct driver driver;
		pthread_t thread;
		uint64_t warm, warm_calls, cpu; /* requests, calls of the warm-up; ns */
	} workers[QUEUES_MAX];
};

static uint64_t cpu_ns(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct bench *b = w->bench;

	driver_run(&w->driver, WARM_NS);
	w->warm = w->driver.done;
	w->warm_calls = w->driver.kicks + w->driver.irqs;
	pthread_barrier_wait(&b->barrier);
	pthread_barrier_wait(&b->barrier);
	w->cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	driver_run(&w->driver, b->secs * 1000000000ull);
	w->cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - w->cpu;
	pthread_barrier_wait(&b->barrier);
	return NULL;
}

static void report(struct bench *b, uint64_t wall, uint64_t cpu)
{
	uint64_t done = 0, read = 0, kicks = 0, irqs = 0, errors = 0, warm = 0, calls = 0;
	uint32_t *lat = b->workers[0].driver.lat;

	for (unsigned i = 0; i < b->queues; i++) {
		const struct worker *w = &b->workers[i];

		done += w->driver.done;
		read += w->driver.read;
		kicks += w->driver.kicks;
		irqs += w->driver.irqs;
		errors += w->driver.errors;
		warm += w->warm;
		calls += w->warm_calls;
		cpu -= w->cpu;
		for (unsigned k = 0; i && k < DRIVER_BUCKETS; k++)
			lat[k] += w->driver.lat[k];
	}
	printf("iops=%.0f cpu_us_per_req=%.3f kicks=%.4f irqs=%.4f requests=%lu errors=%lu "
	       "total=%lu driver_calls=%lu",
	       (double)done * 1e9 / (double)wall, (double)cpu / 1e3 / (double)done,
	       (double)kicks / (double)done, (double)irqs / (double)done, done, errors, done + warm,
	       calls + kicks + irqs);
	if (b->load.readers)
		printf(" reads=%.0f", (double)read * 1e9 / (double)wall);
	if (b->load.histogram)
		printf(" p50_us=%.1f p99_us=%.1f",
		       driver_percentile(lat, b->load.readers ? read : done, 0.5),
		       driver_percentile(lat, b->load.readers ? read : done, 0.99));
	printf("\n");
}

static void run(struct bench *b)
{
	uint64_t wall, cpu, mine;

	pthread_barrier_init(&b->barrier, NULL, b->queues + 1);
	for (unsigned i = 0; i < b->queues; i++)
		pthread_create(&b->workers[i].thread, NULL, worker_main, &b->workers[i]);
	pthread_barrier_wait(&b->barrier);
	wall = driver_now_ns();
	cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	mine = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	pthread_barrier_wait(&b->barrier);
	pthread_barrier_wait(&b->barrier);
	mine = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - mine;
	cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - mine;
	wall = driver_now_ns() - wall;
	for (unsigned i = 0; i < b->queues; i++)
		pthread_join(b->workers[i].thread, NULL);
	report(b, wall, cpu);
}

static void make_drivers(struct bench *b)
{
	struct driver_config c = b->load;

	b->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	if (b->mem_fd < 0 || ftruncate(b->mem_fd, (off_t)(b->queues * DRIVER_MEM))) {
		perror("memfd");
		exit(1);
	}
	b->mem = mmap(NULL, b->queues * DRIVER_MEM, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, b->mem_fd, 0);
	if (b->mem == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	for (unsigned i = 0; i < b->queues; i++) {
		uint64_t at = i * DRIVER_MEM;

		b->workers[i].bench = b;
		c.first_block = c.blocks / b->queues * i;
		if (driver_init(&b->workers[i].driver, &c, b->mem + at, at)) {
			perror("driver");
			exit(1);
		}
	}
}

static void irq(void *arg)
{
	const uint64_t one = 1;

	if (write(((struct driver *)arg)->call_fd, &one, 8) != 8)
		abort();
}

static void broken(void *arg)
{
	(void)arg;
	fprintf(stderr, "the device calls the ring broken\n");
	exit(1);
}

static struct blk_queue *queue_new(struct bench *b, struct blk_file *f, struct guest_mem *mem,
				   unsigned i, struct virtq *vq, struct error *err)
{
	struct driver *d = &b->workers[i].driver;
	struct virtq_setup s = { DRIVER_QUEUE,
				 GPA(d->gpa + DRIVER_DESC),
				 GPA(d->gpa + DRIVER_AVAIL),
				 GPA(d->gpa + DRIVER_USED),
				 true,
				 true };
	struct blk_queue_config c = { .run.name = "blk0",
				      .run.aio = b->native ? BLK_AIO_LIBAIO : BLK_AIO_URING,
				      .run.poll_usec = b->poll_usec,
				      .run.timed = b->timed,
				      .run.engine = { .file = f,
						      .mem = mem,
						      .ram_pinned = b->pin,
						      .kick_fd = d->kick_fd,
						      .depth = DRIVER_QUEUE } };

	return virtq_init(vq, mem, &s) ? NULL : blk_queue_new(&c, err);
}

static void run_ours(struct bench *b, struct blk_file *f)
{
	static const struct blk_queue_ops ops = { .notify = irq, .broken = broken };
	struct guest_mem *mem = guest_mem_new();
	struct mem_range range = { 0, b->queues * DRIVER_MEM, b->mem, MEM_RAM, true };
	struct blk_queue *q[QUEUES_MAX];
	struct virtq vq[QUEUES_MAX];
	struct error err = { 0 };

	if (guest_mem_add(mem, &range))
		exit(1);
	for (unsigned i = 0; i < b->queues; i++) {
		q[i] = queue_new(b, f, mem, i, &vq[i], &err);
		if (!q[i]) {
			fprintf(stderr, "%s\n", err.text);
			exit(1);
		}
		blk_queue_start(q[i], &vq[i], false, &ops, &b->workers[i].driver);
	}
	run(b);
	for (unsigned i = 0; i < b->queues; i++) {
		blk_queue_stop(q[i]);
		blk_queue_free(q[i]);
	}
	guest_mem_free(mem);
}

static void run_vhost_user(struct bench *b)
{
	struct vu_queue queues[QUEUES_MAX];
	struct vu_setup s = { b->vhost_user,
			      b->mem_fd,
			      b->queues * DRIVER_MEM,
			      b->mem,
			      DRIVER_QUEUE,
			      b->queues,
			      queues,
			      1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
				      1ull << VIRTIO_RING_F_INDIRECT_DESC };
	int sock;

	for (unsigned i = 0; i < b->queues; i++) {
		struct driver *d = &b->workers[i].driver;

		queues[i] = (struct vu_queue){ d->gpa + DRIVER_DESC, d->gpa + DRIVER_AVAIL,
					       d->gpa + DRIVER_USED, d->kick_fd, d->call_fd };
	}
	sock = vu_connect(&s);
	if (sock < 0)
		exit(1);
	run(b);
	close(sock);
}

static const struct option options[] = {
	{ "file", 1, 0, 'f' },
	{ "depth", 1, 0, 'd' },
	{ "secs", 1, 0, 's' },
	{ "bs", 1, 0, 'b' },
	{ "queues", 1, 0, 'q' },
	{ "readers", 1, 0, 'r' },
	{ "work", 1, 0, 'W' },
	{ "single", 0, 0, '1' },
	{ "write", 0, 0, 'w' },
	{ "seq", 0, 0, 'S' },
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

static void flag(struct bench *b, int c)
{
	b->load.write |= c == 'w';
	b->load.seq |= c == 'S';
	b->load.spin |= c == 'P';
	b->load.histogram |= c == 'l';
	b->load.single |= c == '1';
	b->direct |= c == 'D';
	b->native |= c == 'n';
	b->pin |= c == 'p';
	b->timed |= c == 't';
	if (c == '?')
		exit(2);
}

static void parse(struct bench *b, int argc, char **argv)
{
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 'f':
			b->file = optarg;
			break;
		case 'v':
			b->vhost_user = optarg;
			break;
		case 'd':
			b->load.depth = n;
			break;
		case 's':
			b->secs = n;
			break;
		case 'b':
			b->load.bs = n;
			break;
		case 'q':
			b->queues = n;
			break;
		case 'r':
			b->load.readers = n;
			break;
		case 'W':
			b->load.work = n;
			break;
		case 'u':
			b->poll_usec = n;
			break;
		default:
			flag(b, c);
		}
	}
}

static bool sensible(const struct bench *b)
{
	const struct driver_config *c = &b->load;

	return b->file && c->depth >= 1 && c->depth + c->readers <= DRIVER_QUEUE &&
	       c->bs % 4096 == 0 && c->bs && c->bs <= DRIVER_BS_MAX && b->queues >= 1 &&
	       b->queues <= QUEUES_MAX && (uint64_t)(c->depth + c->readers) * c->bs <= 32 * MiB;
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct error err = { 0 };
	struct blk_file f;

	if (!b)
		return 1;
	*b = (struct bench){ .secs = 2,
			     .poll_usec = BLK_POLL_USEC,
			     .queues = 1,
			     .load = { .depth = 32, .bs = 4096 } };
	parse(b, argc, argv);
	if (!sensible(b)) {
		fprintf(stderr,
			"usage: blk_bench --file F [--depth 1..256] [--secs N] [--bs BYTES] "
			"[--queues 1..8] [--readers N] [--single] [--work NS] [--write] [--seq] "
			"[--direct] "
			"[--native] [--pin] [--poll-usec N] [--poll-driver] [--latency] "
			"[--timed] [--vhost-user SOCKET]\n");
		return 2;
	}
	if (blk_file_open(&f, b->file, !b->load.write,
			  b->direct ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK, BLK_FORMAT_RAW, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	b->load.blocks = f.size / b->load.bs;
	make_drivers(b);
	if (b->vhost_user)
		run_vhost_user(b);
	else
		run_ours(b, &f);
	blk_file_close(&f);
	free(b);
	return 0;
}
