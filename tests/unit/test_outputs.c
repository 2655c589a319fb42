/* SPDX-License-Identifier: BSD-2-Clause */
/* All files that a run writes to: no file twice, and a start that fails does not change them. */
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
#include "vmm/core/outputs.h"

static struct error err;

static void test_claims(void **state)
{
	struct outputs *o = outputs_new();

	(void)state;
	file_put("there", "1");
	assert_int_equal(link("there", "hard"), 0);
	assert_int_equal(symlink("there", "soft"), 0);
	assert_int_equal(symlink("new", "leads-to-new"), 0);
	assert_int_equal(mkfifo("pipe", 0600), 0);
	assert_int_equal(outputs_claim(o, "there", &err), 0);
	assert_int_equal(outputs_claim(o, "there", &err), -EEXIST);
	assert_non_null(strstr(err.text, "there: another option writes to it"));
	assert_int_equal(outputs_claim(o, "hard", &err), -EEXIST);
	assert_int_equal(outputs_claim(o, "soft", &err), -EEXIST);
	assert_int_equal(outputs_claim(o, "./new", &err), 0);
	assert_int_equal(outputs_claim(o, "leads-to-new", &err), -EEXIST);
	assert_int_equal(outputs_claim_rotated(o, "log", &err), 0);
	assert_int_equal(outputs_claim(o, "log.1", &err), -EEXIST);
	assert_non_null(strstr(err.text, "log.1: a file with max= becomes this one"));
	assert_int_equal(outputs_claim(o, "log", &err), 0);
	/* Several outputs may use these. */
	assert_int_equal(outputs_claim(o, "/dev/null", &err), 0);
	assert_int_equal(outputs_claim(o, "/dev/null", &err), 0);
	assert_int_equal(outputs_claim(o, "pipe", &err), 0);
	assert_int_equal(outputs_claim(o, "pipe", &err), 0);
	assert_int_equal(outputs_claim(NULL, "there", &err), 0);
	outputs_free(o);
	file_holds("there", "1");
	assert_int_equal(access("new", F_OK), -1);
}

static void test_fails(void **state)
{
	struct outputs *o = outputs_new();
	int fd[3];

	(void)state;
	file_put("there", "1");
	assert_int_equal(outputs_claim(o, "there", &err), 0);
	assert_int_equal(outputs_claim(o, "made", &err), 0);
	fd[0] = outputs_open(o, "there", true, &err);
	fd[1] = outputs_open(o, "made", true, &err);
	fd[2] = outputs_open(o, "leads-to-new", false, &err); /* was not claimed */
	assert_true(fd[0] >= 0 && fd[1] >= 0 && fd[2] >= 0);
	assert_int_equal(outputs_open(o, "hard", true, &err), -EBUSY);
	assert_int_equal(access("new", F_OK), 0);
	close(fd[0]);
	close(fd[1]);
	close(fd[2]);
	outputs_free(o);
	file_holds("there", "1");
	assert_int_equal(access("made", F_OK), -1);
	assert_int_equal(access("new", F_OK), -1);
}

static void test_begins(void **state)
{
	struct outputs *o = outputs_new();
	int fd[3];

	(void)state;
	file_put("there", "12");
	file_put("kept", "12");
	fd[0] = outputs_open(o, "there", true, &err);
	fd[1] = outputs_open(o, "made", true, &err);
	fd[2] = outputs_open(o, "kept", false, &err);
	file_holds("there", "12");
	outputs_begin(o);
	file_holds("there", "");
	file_holds("kept", "12");
	close(fd[0]);
	assert_int_equal(write(fd[1], "3", 1), 1);
	close(fd[1]);
	close(fd[2]);
	file_put("there", "12");
	close(outputs_open(o, "there", true, &err));
	file_holds("there", "");
	outputs_free(o);
	file_holds("made", "3");
	outputs_begin(NULL);
	outputs_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_begins),
	};

	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
