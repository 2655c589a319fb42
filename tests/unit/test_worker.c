/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that is there only while it has something to do. */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/worker.h"
#include "vmm/core/evloop.h"

#define PATIENCE_MS 60000u /* for a machine that is busy */

static struct worker w;
static _Atomic unsigned begun, done;
static _Atomic bool hold;

static void work(void *arg)
{
	assert_ptr_equal(arg, &w);
	begun++;
	while (hold)
		usleep(1000);
	done++;
}

static bool eventually(const _Atomic unsigned *what, unsigned is)
{
	for (unsigned i = 0; i < PATIENCE_MS && *what != is; i++)
		usleep(1000);
	return *what == is;
}

/* Those of the worker's name; sanitizers have some of their own. */
static unsigned threads(void)
{
	DIR *d = opendir("/proc/self/task");
	char path[300], name[16];
	struct dirent *e;
	unsigned n = 0;
	FILE *f;

	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		n += fgets(name, sizeof(name), f) && strcmp(name, "test\n") == 0;
		fclose(f);
	}
	closedir(d);
	return n;
}

static bool threads_are(unsigned n)
{
	for (unsigned i = 0; i < PATIENCE_MS && threads() != n; i++)
		usleep(1000);
	return threads() == n;
}

static void test_worker(void **state)
{
	(void)state;
	worker_init(&w, "test", work, &w);
	assert_int_equal(threads(), 0);
	for (unsigned i = 1; i <= 3; i++) {
		assert_true(worker_wake(&w));
		assert_true(eventually(&done, i));
		assert_true(threads_are(0));
	}
	/* Asked for twice while it works: once more, on the same thread. */
	hold = true;
	assert_true(worker_wake(&w));
	assert_true(eventually(&begun, 4));
	assert_true(worker_wake(&w));
	assert_true(worker_wake(&w));
	assert_int_equal(threads(), 1);
	hold = false;
	worker_end(&w);
	assert_int_equal(done, 5);
	assert_int_equal(threads(), 0);
	/* Never woken. */
	worker_init(&w, "test", work, &w);
	worker_end(&w);
	assert_int_equal(done, 5);
}

static cpu_set_t worker_cpus;
static _Atomic int worker_policy = -1;

static void see_place(void *arg)
{
	(void)arg;
	sched_getaffinity(0, sizeof(worker_cpus), &worker_cpus);
	worker_policy = sched_getscheduler(0);
}

/* A vCPU's thread: pinned, and of another scheduling policy. */
static void *pinned(void *arg)
{
	const struct sched_param none = { 0 };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(sched_setscheduler(0, SCHED_BATCH, &none), 0);
	assert_true(worker_wake(&w));
	return arg;
}

static void test_place(void **state)
{
	cpu_set_t ours;
	pthread_t t;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(ours), &ours), 0);
	worker_init(&w, "test", see_place, NULL);
	assert_int_equal(pthread_create(&t, NULL, pinned, NULL), 0);
	pthread_join(t, NULL);
	worker_end(&w);
	assert_true(CPU_EQUAL(&worker_cpus, &ours));
	assert_int_equal(worker_policy, sched_getscheduler(0));
}

/* Whoever ends it need not wait for ever. */
static void test_end_by(void **state)
{
	(void)state;
	begun = done = 0;
	hold = true;
	worker_init(&w, "toy", work, &w);
	assert_true(worker_wake(&w));
	assert_true(eventually(&begun, 1));
	assert_false(worker_end_by(&w, evloop_now_ns() + 20000000));
	hold = false;
	assert_true(worker_end_by(&w, UINT64_MAX));
	assert_int_equal(done, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_worker),
					    cmocka_unit_test(test_place),
					    cmocka_unit_test(test_end_by) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
