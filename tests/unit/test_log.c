/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines on a standard error that nobody reads, or that is read late only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/log.h"

static int kept, end[2];
static char got[1 << 18];
static size_t n_got;

static int enter(void **state)
{
	(void)state;
	kept = dup(STDERR_FILENO);
	n_got = 0;
	return pipe(end) < 0 || dup2(end[1], STDERR_FILENO) < 0;
}

static int leave(void **state)
{
	(void)state;
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(end[0]);
	close(end[1]);
	return 0;
}

/* The text that has come so far. */
static const char *read_all(void)
{
	struct pollfd p = { .fd = end[0], .events = POLLIN };

	while (n_got < sizeof(got) - 1 && poll(&p, 1, 0) == 1)
		n_got += (size_t)read(end[0], got + n_got, sizeof(got) - 1 - n_got);
	got[n_got] = '\0';
	return got;
}

static const char *read_new(void)
{
	n_got = 0;
	return read_all();
}

/* Begins late, and reads until all is written: on a busy machine the writer may be slower. */
static void *read_late(void *written)
{
	usleep(200000);
	while (!__atomic_load_n((bool *)written, __ATOMIC_ACQUIRE)) {
		read_all();
		usleep(1000);
	}
	return NULL;
}

static void test_waits_at_first(void **state)
{
	bool written = false;
	pthread_t t;
	int i;

	(void)state;
	pthread_create(&t, NULL, read_late, &written);
	for (i = 0; i < 3000; i++) /* 100 KiB */
		log_error("line %d, which is of the start", i);
	__atomic_store_n(&written, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	read_all();
	assert_non_null(strstr(got, "minivmm: line 2999, which is of the start\n"));
}

static void *ask_late(void *arg)
{
	(void)arg;
	usleep(200000);
	kill(getpid(), SIGTERM);
	return NULL;
}

/* During the start, the signals that end a machine are blocked until its loop reads them. If nobody
 * reads stderr and such a signal comes, the rest is dropped. This once hung for ever. */
static void test_gives_up_when_asked_to_end(void **state)
{
	const struct timespec at_once = { 0 };
	sigset_t set, before;
	const char *said;
	pthread_t t;
	int i;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	alarm(60);
	pthread_create(&t, NULL, ask_late, NULL);
	for (i = 0; i < 2300; i++) /* 90 KiB */
		log_error("line %d, which is of the start", i);
	alarm(0);
	pthread_join(t, NULL);
	assert_int_equal(sigtimedwait(&set, NULL, &at_once), SIGTERM);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	read_all();
	assert_null(strstr(got, "line 2299,"));
	log_error("the next");
	said = read_new();
	assert_non_null(strstr(said, " messages were dropped, nobody read them\n"));
	assert_non_null(strstr(said, "minivmm: the next\n"));
}

/* This once hung for ever. */
static void test_drops_while_running(void **state)
{
	unsigned i, before, missing;
	const char *said;

	(void)state;
	log_run();
	for (i = 0; i < 5000; i++)
		log_error("line %u, which is of a guest", i);
	read_all();
	assert_int_equal(got[strlen(got) - 1], '\n');
	for (before = 0, said = got; (said = strchr(said, '\n')); said++)
		before++;
	assert_true(before < 5000);
	log_error("the next");
	said = read_new();
	assert_int_equal(
		sscanf(said, "minivmm: %u messages were dropped, nobody read them\n", &missing), 1);
	assert_int_equal(before + missing, 5000);
	assert_string_equal(strchr(said, '\n') + 1, "minivmm: the next\n");
	assert_false(fcntl(end[1], F_GETFL) & O_NONBLOCK);
}

static void test_waits_a_little_at_the_end(void **state)
{
	bool written = false;
	pthread_t t;
	int i;

	(void)state;
	log_run();
	for (i = 0; i < 5000; i++)
		log_error("line %d", i);
	log_end();
	pthread_create(&t, NULL, read_late, &written);
	log_error("why it ended");
	__atomic_store_n(&written, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	read_all();
	assert_non_null(strstr(got, "why it ended\n"));
	for (i = 0; i < 5000; i++) /* nobody reads, so this takes a second in all */
		log_error("line %d", i);
	read_new();
	log_run();
	log_text("two\nlines\n", 10);
	assert_non_null(strstr(read_all(), "two\nlines\n"));
}

static void test_limit(void **state)
{
	struct log_limit l = { 0 };
	int i;

	(void)state;
	log_run();
	for (i = 0; i < 20; i++)
		log_guest(&l, "odd %d", i);
	assert_non_null(strstr(read_all(), "odd 7\n"));
	assert_null(strstr(got, "odd 8"));
	assert_false(log_allow(LOG_WARN, &l));
	l.window_ns = 1;		       /* long ago */
	assert_false(log_allow(LOG_INFO, &l)); /* not asked for */
	assert_true(log_allow(LOG_WARN, &l));
	assert_non_null(strstr(read_all(), "13 more messages like the next one were dropped\n"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_waits_at_first),
		T(test_gives_up_when_asked_to_end),
		T(test_drops_while_running),
		T(test_waits_a_little_at_the_end),
		T(test_limit),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
