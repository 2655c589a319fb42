/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/evloop.h"

struct world {
	struct evloop *l;
	struct ev_source *a, *b;
	struct ev_timer *t;
	struct ev_call *call, last;
	int fired, ticks, calls;
};

static void on_fd(void *arg, int fd, uint32_t events)
{
	struct world *w = arg;

	(void)fd;
	(void)events;
	w->fired++;
	/* Both are ready; the callback that runs first removes both. */
	evloop_del_fd(w->a);
	evloop_del_fd(w->b);
	evloop_stop(w->l, 3);
}

static void test_del_in_batch(void **state)
{
	struct world w = { .l = evloop_new() };
	int a = eventfd(1, 0), b = eventfd(1, 0);

	(void)state;
	w.a = evloop_add_fd(w.l, a, EPOLLIN, on_fd, &w);
	w.b = evloop_add_fd(w.l, b, EPOLLIN, on_fd, &w);
	assert_null(evloop_add_fd(w.l, -1, EPOLLIN, on_fd, &w));
	assert_int_equal(evloop_run(w.l), 3);
	assert_int_equal(w.fired, 1);
	evloop_free(w.l);
	close(a);
	close(b);
}

static void on_tick(void *arg)
{
	struct world *w = arg;

	if (++w->ticks == 3)
		evloop_stop(w->l, 0);
	else
		ev_timer_set(w->t, 1);
}

static void never(void *arg)
{
	(void)arg;
	fail();
}

static void test_timers(void **state)
{
	struct world w = { .l = evloop_new() };
	struct ev_timer *late = evloop_add_timer(w.l, never, &w);
	uint64_t start = evloop_now_ns();

	(void)state;
	w.t = evloop_add_timer(w.l, on_tick, &w);
	ev_timer_set(late, start + 3600000000000ull);
	ev_timer_set(w.t, start + 2000000);
	evloop_run(w.l);
	assert_int_equal(w.ticks, 3);
	assert_true(evloop_now_ns() - start >= 2000000);
	ev_timer_set(late, 0);
	evloop_del_timer(late);
	evloop_free(w.l);
}

static void on_call(void *arg)
{
	struct world *w = arg;

	w->calls++;
}

static void on_last(void *arg)
{
	evloop_stop(((struct world *)arg)->l, 9);
}

#define CALLS 1000

static void *caller(void *arg)
{
	struct world *w = arg;
	int i;

	for (i = 0; i < CALLS; i++) {
		w->call[i] = (struct ev_call){ .fn = on_call, .arg = w };
		evloop_call(w->l, &w->call[i]);
	}
	evloop_call(w->l, &w->last);
	return NULL;
}

static void test_calls(void **state)
{
	struct world w = { .l = evloop_new(), .call = calloc(CALLS, sizeof(*w.call)) };
	pthread_t t;

	(void)state;
	w.last = (struct ev_call){ .fn = on_last, .arg = &w };
	assert_int_equal(pthread_create(&t, NULL, caller, &w), 0);
	assert_int_equal(evloop_run(w.l), 9);
	pthread_join(t, NULL);
	assert_int_equal(w.calls, CALLS);
	evloop_free(w.l);
	free(w.call);
}

/* A call runs once, however often it was asked for. A cancelled call does not run. */
static void test_call_once(void **state)
{
	struct world w = { .l = evloop_new() };
	struct ev_call a = { .fn = on_call, .arg = &w }, b = { .fn = never }, c = { .fn = never };

	(void)state;
	w.last = (struct ev_call){ .fn = on_last, .arg = &w };
	evloop_cancel(w.l, &b);
	evloop_call(w.l, &b);
	for (int i = 0; i < CALLS; i++)
		evloop_call(w.l, &a);
	evloop_call(w.l, &c);
	evloop_cancel(w.l, &b);
	evloop_cancel(w.l, &c);
	evloop_call(w.l, &w.last);
	assert_int_equal(evloop_run(w.l), 9);
	assert_int_equal(w.calls, 1);
	evloop_call(w.l, &a);
	evloop_call(w.l, &w.last);
	assert_int_equal(evloop_run(w.l), 9);
	assert_int_equal(w.calls, 2);
	evloop_free(w.l);
}

static void call_again(void *arg)
{
	struct world *w = arg;

	if (++w->calls > CALLS)
		evloop_stop(w->l, 1);
	evloop_call(w->l, &w->last);
}

static void on_ready(void *arg, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	evloop_stop(((struct world *)arg)->l, 7);
}

/* A call that asks for itself again (as if a guest caused it all the time) must not block the
 * descriptors: signals come through one of them. */
static void test_calls_do_not_starve(void **state)
{
	struct world w = { .l = evloop_new() };
	int fd = eventfd(1, 0);

	(void)state;
	w.last = (struct ev_call){ .fn = call_again, .arg = &w };
	w.a = evloop_add_fd(w.l, fd, EPOLLIN, on_ready, &w);
	evloop_call(w.l, &w.last);
	assert_int_equal(evloop_run(w.l), 7);
	evloop_cancel(w.l, &w.last);
	evloop_free(w.l);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_del_in_batch),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_call_once),
		cmocka_unit_test(test_calls_do_not_starve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
