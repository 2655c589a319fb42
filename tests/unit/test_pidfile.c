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

#include "vmm/core/outfile.h"
#include "vmm/machine/pidfile.h"

static char dir[] = "/tmp/pidfile.XXXXXX";
static struct error err;

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void holds(const char *path, const char *want)
{
	char text[32] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	(void)!fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	assert_string_equal(text, want);
}

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
	put("other", "text");
	assert_int_equal(pidfile_check("other", &err), -EEXIST);
	assert_int_equal(pidfile_create(&p, "other", &err), -EEXIST);
	pidfile_remove(&p);
	holds("other", "text");
	assert_int_equal(pidfile_check("pid", &err), 0);
	assert_int_equal(access("pid", F_OK), -1);
	put("pid", "1234567\n");
	assert_int_equal(pidfile_check("pid", &err), 0);
	assert_int_equal(pidfile_create(&p, "pid", &err), 0);
	holds("pid", pid);
	assert_int_equal(pidfile_check("pid", &err), -EBUSY);
	assert_non_null(strstr(err.text, "still running"));
	assert_int_equal(pidfile_create(&q, "pid", &err), -EBUSY);
	pidfile_remove(&q);
	/* The lock is of the kind that other outputs check. */
	assert_int_equal(outfile_check("pid", &err), -EBUSY);
	assert_int_equal(outfile_open("pid", true, &err), -EBUSY);
	put("log", "1");
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
	put("others", "77\n");
	assert_int_equal(rename("others", "pid"), 0);
	pidfile_remove(&p);
	holds("pid", "77\n");
	unlink("pid");
	/* Another process has written its id to it. */
	assert_int_equal(pidfile_create(&p, "pid", &err), 0);
	put("pid", "77\n");
	pidfile_remove(&p);
	holds("pid", "77\n");
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

static int enter_dir(void **state)
{
	(void)state;
	return !mkdtemp(dir) || chdir(dir) < 0;
}

static int leave_dir(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return chdir("/") < 0 || system(command) != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pidfile),
		cmocka_unit_test(test_pidfile_of_others),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
