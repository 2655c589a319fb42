/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prefaulting, and giving the memory back.
 *
 * The memory is touched in pieces of 16 MiB, or of one page if a page is larger. An atomic counter
 * in each part hands the pieces out, so a slow worker takes fewer pieces, and a stop takes effect
 * soon. The kernel holds mmap_lock for reading during a piece; small pieces keep the main thread's
 * own mmap() calls short. Creating a thread takes mmap_lock for writing, so the workers wait at a
 * gate until all of them exist. A worker may run on any core of its node: workers that were tied to
 * one core each took a fifth longer on a busy host.
 *
 * If there is no page left, madvise() returns an error; there is no SIGBUS. On kernels without
 * MADV_POPULATE_WRITE we read a byte of /dev/zero into each page instead: read fails with EFAULT
 * where a store would raise SIGBUS.
 *
 * Giving back is the same work with another call. munmap() does it in one thread, which takes 90 ms
 * for each GiB of 4 KiB pages, and 3 ms where pages have 2 MiB.
 */
#include "vmm/placement/prefault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define PIECE	  (16 * MiB)
#define STACK	  (64 * KiB)
#define IOV_BATCH 256u

struct part {
	char *at;
	uint64_t size, piece, next; /* next: offset of the next piece to hand out; atomic */
	int node;
};

struct worker {
	struct prefault *p;
	struct part *part;
	pthread_t thread;
};

struct prefault {
	const struct ram_plan *plan;
	uint64_t page; /* bytes; touch_pages() touches one byte in each */
	int done_fd, zero_fd;
	pthread_mutex_t gate;
	bool release;	     /* the work is to give the memory back */
	bool touch;	     /* atomic */
	bool stop;	     /* atomic */
	uint64_t done;	     /* bytes; atomic */
	uint64_t begin, end; /* ns; end atomic */
	unsigned running;    /* atomic */
	struct part *failed; /* the first part that failed; atomic */
	int ret;	     /* its error; valid after the join */
	struct part part[NUMA_MAX_NODES];
	unsigned n_parts, n_workers, n_joined;
	struct worker *worker;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- workers ---- */

static int touch_pages(const struct prefault *p, char *at, uint64_t size)
{
	struct iovec iov[IOV_BATCH];
	unsigned n;
	ssize_t got;

	while (size) {
		for (n = 0; n < IOV_BATCH && size; n++, at += p->page, size -= p->page)
			iov[n] = (struct iovec){ at, 1 };
		got = readv(p->zero_fd, iov, (int)n);
		if (got != (ssize_t)n)
			return got < 0 ? -errno : -EFAULT;
	}
	return 0;
}

static int populate(struct prefault *p, char *at, uint64_t size)
{
	int ret;

	if (__atomic_load_n(&p->touch, __ATOMIC_RELAXED))
		return touch_pages(p, at, size);
	do {
		ret = madvise(at, size, MADV_POPULATE_WRITE);
	} while (ret < 0 && (errno == EAGAIN || errno == EINTR));
	if (ret == 0 || errno != EINVAL)
		return ret < 0 ? -errno : 0;
	__atomic_store_n(&p->touch, true, __ATOMIC_RELAXED);
	return touch_pages(p, at, size);
}

/* Kernels before 5.18 do not have the call that takes locked memory, too. */
static int give_back(char *at, uint64_t size)
{
	if (madvise(at, size, MADV_DONTNEED_LOCKED) == 0 || madvise(at, size, MADV_DONTNEED) == 0)
		return 0;
	return -errno;
}

static void fail(struct prefault *p, struct part *part, int ret)
{
	struct part *none = NULL;

	if (__atomic_compare_exchange_n(&p->failed, &none, part, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		p->ret = ret;
	__atomic_store_n(&p->stop, true, __ATOMIC_RELAXED);
}

static void work(struct prefault *p, struct part *part)
{
	uint64_t at, size;
	int ret;

	while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
		at = __atomic_fetch_add(&part->next, part->piece, __ATOMIC_RELAXED);
		if (at >= part->size)
			return;
		size = part->size - at < part->piece ? part->size - at : part->piece;
		ret = p->release ? give_back(part->at + at, size)
				 : populate(p, part->at + at, size);
		if (ret < 0) {
			fail(p, part, ret);
			return;
		}
		__atomic_add_fetch(&p->done, size, __ATOMIC_RELAXED);
	}
}

static void *worker(void *arg)
{
	const struct worker *w = arg;
	struct prefault *p = w->p;

	prctl(PR_SET_NAME, "prefault");
	pthread_mutex_lock(&p->gate);
	pthread_mutex_unlock(&p->gate);
	work(p, w->part);
	/* Relaxed order is enough: the results are read only after the join. */
	if (__atomic_sub_fetch(&p->running, 1, __ATOMIC_RELAXED) == 0) {
		__atomic_store_n(&p->end, now_ns(), __ATOMIC_RELAXED);
		eventfd_signal(p->done_fd);
	}
	return NULL;
}

/* ---- the caller's side ---- */

static int start_worker(struct prefault *p, struct part *part, const cpu_set_t *cores)
{
	struct worker *w = &p->worker[p->n_workers];
	pthread_attr_t attr;
	int ret;

	*w = (struct worker){ .p = p, .part = part };
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setaffinity_np(&attr, sizeof(*cores), cores);
	ret = pthread_create(&w->thread, &attr, worker, w);
	pthread_attr_destroy(&attr);
	if (ret == 0)
		p->n_workers++;
	return -ret;
}

/* Starts one worker for each core, but not more than there are pieces. If a thread cannot be
 * created, the others do its work. */
static int start_part(struct prefault *p, struct part *part)
{
	uint64_t want = (part->size + part->piece - 1) / part->piece, n;
	cpu_set_t cores;
	int ret = -EINVAL;

	if (node_cores("", part->node, &cores) < want)
		want = (uint64_t)CPU_COUNT(&cores);
	for (n = 0; n < want; n++) {
		ret = start_worker(p, part, &cores);
		if (ret < 0)
			break;
	}
	return n ? 0 : ret;
}

static int start_all(struct prefault *p)
{
	unsigned i;
	int ret = 0;

	pthread_mutex_lock(&p->gate);
	for (i = 0; i < p->n_parts && ret == 0; i++)
		ret = start_part(p, &p->part[i]);
	if (ret < 0)
		p->stop = true;
	p->running = p->n_workers;
	p->begin = now_ns();
	pthread_mutex_unlock(&p->gate);
	return ret;
}

static void set_parts(struct prefault *p, char *ram)
{
	const struct ram_plan *plan = p->plan;
	unsigned i;

	p->n_parts = plan->n;
	for (i = 0; i < plan->n; i++)
		p->part[i] = (struct part){ .at = ram + plan->part[i].offset,
					    .size = plan->part[i].size,
					    .piece = plan->page > PIECE ? plan->page : PIECE,
					    .node = plan->part[i].node };
}

static struct prefault *prefault_new(const struct ram_plan *plan, void *ram)
{
	struct prefault *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->plan = plan;
	p->page = plan->hugetlb ? plan->page : 4 * KiB;
	p->done_fd = p->zero_fd = -1;
	p->worker = calloc((size_t)plan->n * CPU_SETSIZE, sizeof(*p->worker));
	if (!p->worker) {
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->gate, NULL);
	set_parts(p, ram);
	return p;
}

struct prefault *prefault_start(const struct ram_plan *plan, void *ram, bool touch,
				struct error *err)
{
	struct prefault *p = prefault_new(plan, ram);
	int ret = -ENOMEM;

	if (!p) {
		error_set(err, -ENOMEM, "out of memory for prefaulting");
		return NULL;
	}
	p->touch = touch;
	p->done_fd = eventfd_new();
	p->zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (p->done_fd >= 0 && p->zero_fd >= 0)
		ret = start_all(p);
	if (ret == 0)
		return p;
	error_set(err, ret, "--memory prefault=on: %s", strerror(-ret));
	prefault_free(p);
	return NULL;
}

int prefault_fd(const struct prefault *p)
{
	return p->done_fd;
}

uint64_t prefault_done(const struct prefault *p)
{
	return __atomic_load_n(&p->done, __ATOMIC_RELAXED);
}

uint64_t prefault_ns(const struct prefault *p)
{
	uint64_t end = __atomic_load_n(&p->end, __ATOMIC_RELAXED);

	return end ? end - p->begin : 0;
}

static void join(struct prefault *p)
{
	while (p->n_joined < p->n_workers)
		pthread_join(p->worker[p->n_joined++].thread, NULL);
}

void prefault_release(const struct ram_plan *plan, void *ram)
{
	struct prefault *p = prefault_new(plan, ram);

	if (!p)
		return;
	p->release = true;
	start_all(p);
	join(p);
	prefault_free(p);
}

/* How much memory the node has left, for the error message. */
static unsigned long long room_mib(const struct prefault *p, int node)
{
	return (p->plan->hugetlb ? node_huge("", node, p->plan->page).free * p->plan->page
				 : node_available("", node)) /
	       MiB;
}

int prefault_finish(struct prefault *p, struct error *err)
{
	unsigned long long got;
	char place[24];

	join(p);
	if (!p->failed)
		return 0;
	got = (p->failed->next < p->failed->size ? p->failed->next : p->failed->size) / MiB;
	snprintf(place, sizeof(place), p->failed->node < 0 ? "this host" : "node %d",
		 p->failed->node);
	return error_set(
		err, p->ret,
		"--memory: %s has run out (%s) at about %llu of %llu MiB; it still has "
		"%llu MiB of such pages (a cgroup may allow less): give the guest less, or more "
		"nodes",
		place, strerror(-p->ret), got, (unsigned long long)(p->failed->size / MiB),
		room_mib(p, p->failed->node));
}

void prefault_free(struct prefault *p)
{
	if (!p)
		return;
	__atomic_store_n(&p->stop, true, __ATOMIC_RELAXED);
	join(p);
	cleanup_close(&p->done_fd);
	cleanup_close(&p->zero_fd);
	pthread_mutex_destroy(&p->gate);
	free(p->worker);
	free(p);
}
