// SPDX-License-Identifier: BSD-2-Clause
/* A thread that is there only while it has something to do. */
#include <dirent.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_worker) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
