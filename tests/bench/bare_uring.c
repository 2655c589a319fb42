/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit for blk-bench: a plain io_uring loop. It has the flags of the product's ring and its
 * registered file, and nothing else: no virtqueue, no second thread, no wake-up. It keeps --depth
 * requests in flight; each turn is one io_uring_enter() that submits what is new and waits for
 * --wait completions, all of which are replaced. --threads N: so many of these, each with a ring of
 * its own. --readers N: so many more requests that read; latencies are theirs. The output is that
 * of blk_bench.
 */
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 8u
#define BUCKETS	    1000000u
#define WARM_NS	    200000000u
#define RING_FLAGS \
	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

struct loop {
	const char *file;
	unsigned depth, readers, bs, wait, secs, threads;
	bool write, seq, direct, latency;
	int fd;
	uint64_t blocks;
};

struct one {
	const struct loop *loop;
	struct io_uring ring;
	char *data;
	uint64_t rng, next, start[4096], done, read, warm, cpu, wall;
	uint32_t *lat;
	pthread_t thread;
};

static uint64_t clock_ns(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t block_next(struct one *o)
{
	if (o->loop->seq)
		return o->next++ % o->loop->blocks;
	o->rng ^= o->rng << 13;
	o->rng ^= o->rng >> 7;
	o->rng ^= o->rng << 17;
	return o->rng % o->loop->blocks;
}

static bool timed(const struct loop *l, unsigned i)
{
	return l->latency && (!l->readers || i >= l->depth);
}

static void issue(struct one *o, unsigned i)
{
	const struct loop *l = o->loop;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&o->ring);
	uint64_t off = block_next(o) * l->bs;
	char *p = o->data + (size_t)i * l->bs;

	if (l->write && i < l->depth)
		io_uring_prep_write(sqe, 0, p, l->bs, off);
	else
		io_uring_prep_read(sqe, 0, p, l->bs, off);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = i;
	if (timed(l, i))
		o->start[i] = clock_ns(CLOCK_MONOTONIC);
}

static unsigned reap(struct one *o, bool again)
{
	const struct loop *l = o->loop;
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_for_each_cqe(&o->ring, head, cqe)
	{
		unsigned i = (unsigned)cqe->user_data;

		if (cqe->res != (int)l->bs) {
			fprintf(stderr, "bare_uring: %s\n", strerror(cqe->res < 0 ? -cqe->res : 5));
			exit(1);
		}
		n++;
		o->read += i >= l->depth;
		if (timed(l, i)) {
			uint64_t t = (clock_ns(CLOCK_MONOTONIC) - o->start[i]) / 100;

			o->lat[t < BUCKETS ? t : BUCKETS - 1]++;
		}
		if (again)
			issue(o, i);
	}
	io_uring_cq_advance(&o->ring, n);
	o->done += n;
	return n;
}

static void drive(struct one *o, uint64_t ns)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + ns;
	unsigned left = o->loop->depth + o->loop->readers;

	o->done = o->read = 0;
	memset(o->lat, 0, BUCKETS * sizeof(*o->lat));
	for (unsigned i = 0; i < left; i++)
		issue(o, i);
	while (clock_ns(CLOCK_MONOTONIC) < end) {
		io_uring_submit_and_wait(&o->ring, o->loop->wait);
		reap(o, true);
	}
	while (left) {
		io_uring_submit_and_wait(&o->ring, 1);
		left -= reap(o, false);
	}
}

static void *one_main(void *arg)
{
	struct one *o = arg;
	const struct loop *l = o->loop;
	unsigned n = l->depth + l->readers;
	int ret = io_uring_queue_init(n + 2, &o->ring, RING_FLAGS);

	o->data = mmap(NULL, (size_t)n * l->bs, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	o->lat = calloc(BUCKETS, sizeof(*o->lat));
	if (ret || o->data == MAP_FAILED || !o->lat ||
	    io_uring_register_files(&o->ring, &l->fd, 1)) {
		fprintf(stderr, "bare_uring: no ring: %s\n", strerror(-ret));
		exit(1);
	}
	io_uring_register_ring_fd(&o->ring);
	drive(o, WARM_NS);
	o->warm = o->done;
	o->wall = clock_ns(CLOCK_MONOTONIC);
	o->cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	drive(o, l->secs * 1000000000ull);
	o->cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - o->cpu;
	o->wall = clock_ns(CLOCK_MONOTONIC) - o->wall;
	return NULL;
}

static double percentile(const uint32_t *lat, uint64_t n, double p)
{
	uint64_t sum = 0, want = (uint64_t)((double)n * p);
	unsigned i = 0;

	while (i < BUCKETS - 1 && (sum += lat[i]) < want)
		i++;
	return i / 10.0;
}

static void report(const struct loop *l, struct one *o)
{
	uint64_t done = 0, read = 0, cpu = 0, warm = 0;
	double iops = 0, reads = 0;

	for (unsigned i = 0; i < l->threads; i++) {
		pthread_join(o[i].thread, NULL);
		done += o[i].done;
		read += o[i].read;
		cpu += o[i].cpu;
		warm += o[i].warm;
		iops += (double)o[i].done * 1e9 / (double)o[i].wall;
		reads += (double)o[i].read * 1e9 / (double)o[i].wall;
		for (unsigned k = 0; i && k < BUCKETS; k++)
			o[0].lat[k] += o[i].lat[k];
	}
	printf("iops=%.0f cpu_us_per_req=%.3f requests=%lu errors=0 total=%lu", iops,
	       (double)cpu / 1e3 / (double)done, done, done + warm);
	if (l->readers)
		printf(" reads=%.0f", reads);
	if (l->latency)
		printf(" p50_us=%.1f p99_us=%.1f",
		       percentile(o[0].lat, l->readers ? read : done, 0.5),
		       percentile(o[0].lat, l->readers ? read : done, 0.99));
	printf("\n");
}

/* As the product opens it. tmpfs does not say that its reads never wait; O_NONBLOCK does. */
static void file_open(struct loop *l)
{
	struct statfs fs;
	struct stat st;
	uint64_t size;

	l->fd = open(l->file, (l->write ? O_RDWR : O_RDONLY) | (l->direct ? O_DIRECT : 0));
	if (l->fd < 0 || fstat(l->fd, &st) || fstatfs(l->fd, &fs)) {
		perror(l->file);
		exit(1);
	}
	size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode))
		ioctl(l->fd, BLKGETSIZE64, &size);
	if (fs.f_type == TMPFS_MAGIC)
		fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK);
	l->blocks = size / l->bs;
}

static const struct option options[] = {
	{ "file", 1, 0, 'f' },	 { "depth", 1, 0, 'd' },   { "secs", 1, 0, 's' },
	{ "bs", 1, 0, 'b' },	 { "threads", 1, 0, 't' }, { "readers", 1, 0, 'r' },
	{ "wait", 1, 0, 'W' },	 { "write", 0, 0, 'w' },   { "seq", 0, 0, 'S' },
	{ "direct", 0, 0, 'D' }, { "latency", 0, 0, 'l' }, { 0 },
};

static void parse(struct loop *l, int argc, char **argv)
{
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		l->file = c == 'f' ? optarg : l->file;
		l->depth = c == 'd' ? n : l->depth;
		l->secs = c == 's' ? n : l->secs;
		l->bs = c == 'b' ? n : l->bs;
		l->threads = c == 't' ? n : l->threads;
		l->readers = c == 'r' ? n : l->readers;
		l->wait = c == 'W' ? n : l->wait;
		l->write |= c == 'w';
		l->seq |= c == 'S';
		l->direct |= c == 'D';
		l->latency |= c == 'l';
		if (c == '?')
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct loop l = { .depth = 32, .bs = 4096, .wait = 1, .secs = 2, .threads = 1 };
	struct one *o = calloc(THREADS_MAX, sizeof(*o));

	parse(&l, argc, argv);
	if (!o || !l.file || !l.depth || l.depth + l.readers > 4096 || !l.bs || l.bs % 512 ||
	    l.wait > l.depth || !l.threads || l.threads > THREADS_MAX) {
		fprintf(stderr, "usage: bare_uring --file F [--depth N] [--secs N] [--bs BYTES] "
				"[--threads 1..8] [--readers N] [--wait N] [--write] [--seq] "
				"[--direct] [--latency]\n");
		return 2;
	}
	file_open(&l);
	for (unsigned i = 0; i < l.threads; i++) {
		o[i].loop = &l;
		o[i].rng = 0x9e3779b97f4a7c15ull + i;
		o[i].next = l.blocks / l.threads * i;
		pthread_create(&o[i].thread, NULL, one_main, &o[i]);
	}
	report(&l, o);
	return 0;
}
