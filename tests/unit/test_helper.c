/* SPDX-License-Identifier: BSD-2-Clause */
/* The helper runs jobs in their order, on another thread, and all of them before it ends. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/helper.h"

struct log {
	char text[16];
	unsigned n;
	pthread_t thread;
};

static void slow(void *arg)
{
	struct log *l = arg;

	usleep(20000);
	l->thread = pthread_self();
	l->text[l->n++] = 's';
}

static void quick(void *arg)
{
	struct log *l = arg;

	l->text[l->n++] = 'q';
}

static void test_order(void **state)
{
	struct helper *h = helper_new();
	struct log l = { .n = 0 };

	(void)state;
	assert_non_null(h);
	helper_wait(h); /* for nothing */
	helper_run(h, slow, &l);
	helper_wait(h);
	assert_string_equal(l.text, "s");
	assert_false(pthread_equal(l.thread, pthread_self()));
	helper_run(h, quick, &l);
	helper_run(h, slow, &l);
	helper_run(h, quick, &l);
	helper_run(h, slow, &l);
	helper_free(h);
	assert_string_equal(l.text, "sqsqs");
}

static void test_none(void **state)
{
	struct log l = { .n = 0 };

	(void)state;
	helper_run(NULL, slow, &l);
	assert_string_equal(l.text, "s");
	assert_true(pthread_equal(l.thread, pthread_self()));
	helper_wait(NULL);
	helper_free(NULL);
	helper_free(helper_new());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order),
					    cmocka_unit_test(test_none) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
