/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread of a disk's queue without a virtqueue: the front end is a list of requests, as an NVMe
 * submission queue might be. Kept: no more in flight than the limit, each request given back once,
 * completions shown before the runner sleeps, kicks asked for before it does, nothing of the front
 * end used after a stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/block/blk_file.h"
#include "devices/block/runner.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/stats.h"

#define REQUESTS 256u
#define BLOCK	 512u
#define LIMIT	 8u

struct item {
	struct blk_req req;
	struct iovec iov;
	enum blk_op op;
	char data[BLOCK];
	_Atomic unsigned done;
	int res;
};

struct list {
	struct blk_runner *runner;
	struct blk_file file;
	int kick;
	struct item item[REQUESTS];
	_Atomic unsigned offered; /* written by the test, like a doorbell */
	_Atomic unsigned shown;	  /* completions that the guest can see */
	_Atomic bool want_kick;
	_Atomic unsigned left;
	/* the runner's thread's, the test's while it is stopped */
	unsigned taken, completed, in_flight, most, takes;
	_Atomic unsigned waits, interrupts;
	_Atomic unsigned more; /* the driver adds them, one each time that it gets the CPU */
	unsigned kicks;	       /* the test's */
	bool odd;	       /* something happened that must not happen */
	_Atomic bool stopped;
};

static void must(struct list *l, bool ok)
{
	l->odd |= !ok || l->stopped;
}

static _Atomic bool hold, held; /* the runner is held where it has taken requests */

static unsigned list_take(void *front, unsigned max)
{
	struct list *l = front;
	unsigned n;

	must(l, max >= 1 && l->in_flight + max <= LIMIT);
	l->takes++;
	for (n = 0; n < max && l->taken < l->offered; n++) {
		struct item *t = &l->item[l->taken++];

		if (t->op > BLK_WRITE_ZEROES) { /* an unknown operation */
			blk_runner_refused(l->runner);
			t->res = -EINVAL;
			t->done++;
			l->completed++;
			continue;
		}
		t->iov = (struct iovec){ t->data, BLOCK };
		t->req = (struct blk_req){ .op = t->op,
					   .iov = &t->iov,
					   .niov = t->op <= BLK_WRITE,
					   .off = (uint64_t)(t - l->item) % 64 * BLOCK,
					   .len = t->op <= BLK_WRITE ? BLOCK : 1 };
		l->in_flight++;
		blk_runner_submit(l->runner, &t->req);
	}
	l->most = l->in_flight > l->most ? l->in_flight : l->most;
	held = n && hold;
	while (hold && n)
		usleep(100);
	return n;
}

static void list_complete(void *front, struct blk_req *req)
{
	struct list *l = front;

	must(l, req);
	for (; req; req = req->next) {
		struct item *t = container_of(req, struct item, req);

		must(l, t->done == 0);
		t->res = req->res;
		t->done++;
		l->in_flight--;
		l->completed++;
	}
}

static bool list_publish(void *front)
{
	struct list *l = front;
	bool news = l->shown != l->completed;

	must(l, true);
	l->shown = l->completed;
	l->interrupts += news;
	return news;
}

static bool list_pending(void *front)
{
	struct list *l = front;

	must(l, true);
	return l->taken < l->offered;
}

static bool list_kicks_on(void *front)
{
	struct list *l = front;

	must(l, true);
	l->want_kick = true;
	return l->taken == l->offered;
}

static bool one_more(struct list *l)
{
	unsigned n = l->more;

	while (n && !atomic_compare_exchange_weak(&l->more, &n, n - 1))
		;
	return n;
}

static unsigned list_kick_at(void *front, unsigned n)
{
	struct list *l = front;
	unsigned now = l->offered - l->taken;

	must(l, n >= 2 && l->in_flight + n <= LIMIT);
	l->want_kick = false;
	l->waits++;
	if (one_more(l)) /* comes while the runner waits */
		l->offered++;
	return now;
}

static void list_kicks_off(void *front)
{
	struct list *l = front;

	must(l, true);
	l->want_kick = false;
}

static void list_left(void *front)
{
	((struct list *)front)->left++;
}

static const struct blk_front_ops list_ops = {
	.take = list_take,
	.complete = list_complete,
	.publish = list_publish,
	.pending = list_pending,
	.kicks_on = list_kicks_on,
	.kick_at = list_kick_at,
	.kicks_off = list_kicks_off,
	.left = list_left,
};

static struct list list;

static void list_start(enum blk_aio aio, unsigned poll_usec, bool always)
{
	struct blk_runner_config c = {
		.name = "test", .aio = aio, .poll_usec = poll_usec, .poll_always = always
	};
	int fd = memfd_create("disk", 0);
	struct error err = { 0 };
	char path[32];

	memset(&list, 0, sizeof(list));
	assert_int_equal(ftruncate(fd, 64 * BLOCK), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(
		blk_file_open(&list.file, path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_RAW, &err),
		0);
	close(fd);
	list.kick = eventfd_new();
	c.engine = (struct blk_engine_config){ .file = &list.file,
					       .kick_fd = list.kick,
					       .depth = 2 * LIMIT };
	list.runner = blk_runner_new(&c, &list_ops, &list, &err);
	if (!list.runner)
		fail_msg("%s", err.text);
	blk_runner_start(list.runner, LIMIT);
}

static void list_end(void)
{
	blk_runner_free(list.runner);
	blk_file_close(&list.file);
	close(list.kick);
	assert_false(list.odd);
}

/* Does what a driver does: writes the index, then kicks if the device asks for it. */
static void offer(unsigned n)
{
	const uint64_t one = 1;

	list.offered += n;
	if (!list.want_kick)
		return;
	list.kicks++;
	assert_int_equal(write(list.kick, &one, 8), 8);
}

/* Waits at most a minute, because the machine may be slow. Normally it takes less than a
 * millisecond. */
static void wait_shown(unsigned n)
{
	for (unsigned i = 0; list.shown != n && i < 60000; i++)
		usleep(1000);
	assert_int_equal(list.shown, n);
}

static void stop(void)
{
	blk_runner_stop(list.runner);
	list.stopped = true;
}

static void carry(enum blk_aio aio, unsigned poll_usec)
{
	unsigned i;

	list_start(aio, poll_usec, false);
	for (i = 0; i < REQUESTS; i++) {
		list.item[i].op = i < 64 ? BLK_WRITE : BLK_READ;
		memset(list.item[i].data, (int)(i < 64 ? i + 1 : 0), BLOCK);
	}
	/* One request, a few requests, all of the rest; only kicks that were asked for wake the
	 * runner. */
	for (i = 1; i <= 4; i++) {
		offer(1);
		wait_shown(i);
	}
	offer(60);
	wait_shown(64);
	offer(REQUESTS - 64);
	wait_shown(REQUESTS);
	stop();
	assert_int_equal(list.in_flight, 0);
	assert_in_range(list.most, 2, LIMIT);
	for (i = 0; i < REQUESTS; i++) {
		assert_int_equal(list.item[i].done, 1);
		assert_int_equal(list.item[i].res, 0);
		assert_int_equal((uint8_t)list.item[i].data[BLOCK - 1], i % 64 + 1);
	}
	list_end();
}

static void test_carry(void **state)
{
	(void)state;
	carry(BLK_AIO_AUTO, 0);
	carry(BLK_AIO_AUTO, BLK_POLL_USEC);
	carry(BLK_AIO_LIBAIO, BLK_POLL_USEC);
}

/* Requests that were taken are given back before a stop returns, and the next start goes on with
 * the rest. */
static void test_stop(void **state)
{
	unsigned taken;

	(void)state;
	list_start(BLK_AIO_AUTO, BLK_POLL_USEC, false);
	offer(REQUESTS);
	stop();
	taken = list.taken;
	assert_int_equal(list.completed, taken);
	assert_int_equal(list.shown, taken);
	assert_int_equal(list.in_flight, 0);
	usleep(2000);
	assert_int_equal(list.taken, taken);
	list.stopped = false;
	blk_runner_start(list.runner, LIMIT);
	wait_shown(REQUESTS);
	/* A stop without a wait, however long it takes. */
	list.left = 0;
	assert_true(blk_runner_leave(list.runner));
	for (unsigned i = 0; !list.left && i < 60000; i++)
		usleep(1000);
	assert_int_equal(list.left, 1);
	list.stopped = true;
	assert_false(blk_runner_leave(list.runner));
	list_end();
}

/* A pause is asked for while the runner takes a request that the disk completes at once. When the
 * runner looks for that, it also takes the kick that says that it must pause. */
static void test_stop_at_once(void **state)
{
	unsigned i;

	(void)state;
	list_start(BLK_AIO_AUTO, 0, false);
	usleep(20000); /* it sleeps */
	hold = true;
	offer(1);
	for (i = 0; !held && i < 10000; i++)
		usleep(1000);
	list.left = 0;
	blk_runner_leave(list.runner);
	hold = false;
	for (i = 0; !list.left && i < 10000; i++)
		usleep(1000);
	assert_int_equal(list.left, 1);
	list.stopped = true;
	list_end();
}

static uint64_t count_of(struct stats *s, const char *name)
{
	const struct stats_set *set = stats_sets(s);

	for (unsigned i = 0; i < set->n; i++)
		if (strcmp(set->counter[i].name, name) == 0)
			return *set->counter[i].value;
	fail_msg("no counter %s", name);
	return 0;
}

/* A request that the front end itself fails counts as a request of a batch, and as an error. */
static void test_counts(void **state)
{
	struct stats *s = stats_new(false);

	(void)state;
	list_start(BLK_AIO_AUTO, 0, false);
	blk_runner_add_stats(list.runner, s, "nvme0.1");
	list.item[0].op = BLK_WRITE;
	list.item[1].op = 99;
	list.item[2].op = BLK_READ;
	list.item[3].op = BLK_FLUSH;
	offer(4);
	wait_shown(4);
	stop();
	assert_int_equal(list.item[1].res, -EINVAL);
	assert_int_equal(count_of(s, "reads"), 1);
	assert_int_equal(count_of(s, "writes"), 1);
	assert_int_equal(count_of(s, "flushes"), 1);
	assert_int_equal(count_of(s, "bytes_written"), BLOCK);
	assert_int_equal(count_of(s, "errors"), 1);
	assert_true(count_of(s, "system_calls") >= 1);
	assert_in_range(count_of(s, "interrupts"), 1, 4);
	stats_free(s);
	list_end();
}

/* The driver adds n requests, one each time that it gets the CPU: while the runner waits for it,
 * and when all that came before is complete. */
static void add_burst(unsigned n)
{
	list.more = n;
	while (one_more(&list)) {
		offer(1);
		for (unsigned i = 0; list.shown != list.offered && i < 60000; i++)
			usleep(1000);
		assert_int_equal(list.shown, list.offered);
	}
}

/* The runner shares its CPU with the driver, and each kick takes the CPU away in the middle of a
 * burst. Then the runner waits for the rest of the burst, and shows all of it together. */
static void test_burst(void **state)
{
	unsigned i, before;

	(void)state;
	list_start(BLK_AIO_AUTO, 0, false);
	for (i = 0; i < REQUESTS; i++)
		list.item[i].op = BLK_READ;
	for (i = 0; i < 20; i++)
		add_burst(4);
	before = list.interrupts;
	for (i = 0; i < 10; i++)
		add_burst(4);
	assert_in_range(list.interrupts - before, 10, 14);
	before = list.waits;
	for (i = 0; i < 100; i++) /* one at a time: it hardly ever waits */
		add_burst(1);
	assert_in_range(list.waits - before, 1, 20);
	stop();
	for (i = 0; i < list.offered; i++)
		assert_int_equal(list.item[i].done, 1);
	list_end();
}

static unsigned kicks_of(unsigned usec, bool always, unsigned think_usec)
{
	list_start(BLK_AIO_AUTO, usec, always);
	for (unsigned i = 0; i < 50; i++) {
		list.item[i].op = BLK_READ;
		offer(1);
		while (list.shown != list.offered)
			sched_yield();
		usleep(think_usec);
	}
	stop();
	list_end();
	return list.kicks;
}

/* One request at a time. A thread that looks for the next one needs no kick for it; one that must
 * not look needs a kick for each. By default it looks while that helps: hardly ever, if the driver
 * takes longer than the thread looks. */
static void test_poll(void **state)
{
	(void)state;
	assert_in_range(kicks_of(0, false, 3000), 48, 50);
	assert_in_range(kicks_of(BLK_POLL_USEC, false, 3000), 40, 50);
	assert_in_range(kicks_of(2000000, true, 0), 0, 5);
	assert_in_range(kicks_of(2000000, false, 0), 0, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_carry),	     cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_at_once), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_burst),	     cmocka_unit_test(test_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
