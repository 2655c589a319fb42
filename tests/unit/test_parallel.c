/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs at the same time: each is done once, one takes no thread, and those that get no thread are
 * done, too. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "vmm/core/parallel.h"

#define MOST 8

static unsigned threads, threads_left; /* that were made; that can be had */

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	if (threads == threads_left)
		return EAGAIN;
	threads++;
	return __real_pthread_create(t, attr, fn, arg);
}

struct meeting {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned n, expected;
	unsigned done[MOST];
	bool missed;
};

/* Returns when as many as are expected have come. */
static void meet(void *arg, unsigned i)
{
	struct meeting *m = arg;
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 60;
	pthread_mutex_lock(&m->lock);
	m->done[i]++;
	m->n++;
	pthread_cond_broadcast(&m->came);
	while (m->n < m->expected && !m->missed)
		m->missed = pthread_cond_timedwait(&m->came, &m->lock, &end) != 0;
	pthread_mutex_unlock(&m->lock);
}

static struct meeting of(unsigned expected)
{
	threads = 0;
	threads_left = MOST;
	return (struct meeting){ .lock = PTHREAD_MUTEX_INITIALIZER,
				 .came = PTHREAD_COND_INITIALIZER,
				 .expected = expected };
}

static void each_once(const struct meeting *m, unsigned n)
{
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(m->done[i], i < n);
	assert_false(m->missed);
}

static void test_at_once(void **state)
{
	struct meeting m = of(MOST);

	(void)state;
	parallel_each(MOST, meet, &m);
	each_once(&m, MOST);
	assert_int_equal(threads, MOST - 1);
}

static void test_few(void **state)
{
	struct meeting m = of(0);

	(void)state;
	parallel_each(0, meet, &m);
	each_once(&m, 0);
	parallel_each(1, meet, &m);
	each_once(&m, 1);
	assert_int_equal(threads, 0);
}

static void test_no_threads(void **state)
{
	struct meeting m = of(2);

	(void)state;
	threads_left = 1;
	parallel_each(4, meet, &m);
	each_once(&m, 4);
	m = of(1);
	threads_left = 0;
	parallel_each(4, meet, &m);
	each_once(&m, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_no_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
