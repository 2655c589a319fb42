/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: what was added is taken once, and no side waits. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/eventfd.h"

static bool readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

static void taken_once(void **state)
{
	int fd = eventfd_new();

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_false(readable(fd));
	assert_false(eventfd_drain(fd));
	assert_true(eventfd_signal(fd));
	assert_true(eventfd_signal(fd));
	assert_true(readable(fd));
	assert_true(eventfd_is_set(fd));
	assert_true(eventfd_is_set(fd)); /* this takes nothing */
	assert_true(eventfd_drain(fd));
	assert_false(readable(fd));
	assert_false(eventfd_is_set(fd));
	assert_false(eventfd_drain(fd));
	close(fd);
}

/* The largest count; a further write would wait. */
static void full(void **state)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd = eventfd_new();

	(void)state;
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	assert_false(eventfd_signal(fd));
	assert_true(readable(fd));
	assert_true(eventfd_drain(fd));
	close(fd);
}

static void none(void **state)
{
	(void)state;
	assert_false(eventfd_signal(-1));
	assert_false(eventfd_drain(-1));
	assert_false(eventfd_is_set(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(taken_once), cmocka_unit_test(full),
					    cmocka_unit_test(none) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
