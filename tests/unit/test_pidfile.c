/* SPDX-License-Identifier: BSD-2-Clause */
/* The pid file: which files it replaces, and which it does not touch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/files_fixture.h"
#include "vmm/core/outfile.h"
#include "vmm/machine/pidfile.h"

static struct error err;

static void own_pid(char text[16])
{
	snprintf(text, 16, "%d\n", getpid());
}

static void test_pidfile(void **state)
{
	struct pidfile p = { .fd = -1 }, q;
	char pid[16];

	(void)state;
	own_pid(pid);
	pidfile_remove(&p);
	file_put("other", "text");
	assert_int_equal(pidfile_check("other", &err), -EEXIST);
	assert_int_equal(pidfile_create(&p, "other", &err), -EEXIST);
	pidfile_remove(&p);
	file_holds("other", "text");
	assert_int_equal(pidfile_check("pid", &err), 0);
	assert_int_equal(access("pid", F_OK), -1);
	file_put("pid", "1234567\n");
	assert_int_equal(pidfile_check("pid", &err), 0);
	assert_int_equal(pidfile_create(&p, "pid", &err), 0);
	file_holds("pid", pid);
	assert_int_equal(pidfile_check("pid", &err), -EBUSY);
	assert_non_null(strstr(err.text, "still running"));
	assert_int_equal(pidfile_create(&q, "pid", &err), -EBUSY);
	pidfile_remove(&q);
	/* The lock is of the kind that other outputs check. */
	assert_int_equal(outfile_check("pid", &err), -EBUSY);
	assert_int_equal(outfile_open("pid", true, &err), -EBUSY);
	file_put("log", "1");
	assert_int_equal(rename("log", "pid.0"), 0);
	pidfile_remove(&p);
	assert_int_equal(access("pid", F_OK), -1);
	assert_int_equal(pidfile_check("no/where", &err), -ENOENT);
	assert_int_equal(pidfile_check("/dev/full", &err), -EEXIST);
}

/* Only a file that is still ours is removed. */
static void test_pidfile_of_others(void **state)
{
	struct pidfile p;

	(void)state;
	/* Another file has the name. */
	assert_int_equal(pidfile_create(&p, "pid", &err), 0);
	file_put("others", "77\n");
	assert_int_equal(rename("others", "pid"), 0);
	pidfile_remove(&p);
	file_holds("pid", "77\n");
	unlink("pid");
	/* Another process has written its id to it. */
	assert_int_equal(pidfile_create(&p, "pid", &err), 0);
	file_put("pid", "77\n");
	pidfile_remove(&p);
	file_holds("pid", "77\n");
	unlink("pid");
	/* The name is a symbolic link, which stays. */
	assert_int_equal(symlink("target", "link"), 0);
	assert_int_equal(pidfile_create(&p, "link", &err), 0);
	assert_int_equal(access("target", F_OK), 0);
	pidfile_remove(&p);
	assert_int_equal(access("target", F_OK), -1);
	assert_int_equal(unlink("link"), 0);
	/* Nobody else has removed it. */
	assert_int_equal(pidfile_create(&p, "pid", &err), 0);
	unlink("pid");
	pidfile_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pidfile),
		cmocka_unit_test(test_pidfile_of_others),
	};

	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
