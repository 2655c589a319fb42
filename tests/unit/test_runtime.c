/* SPDX-License-Identifier: BSD-2-Clause */
/* The folders that a machine's socket lies in, on the real file system. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/control/runtime.h"
#include "vmm/core/addr.h"

static char top[] = "/tmp/test-runtime-XXXXXX";
static char all[64], machine[80], sock[96];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	snprintf(all, sizeof(all), "%s/minivmm", top);
	snprintf(machine, sizeof(machine), "%s/a", all);
	snprintf(sock, sizeof(sock), "%s/qmp.sock", machine);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rmdir(machine);
	rmdir(all);
	return rmdir(top);
}

static int make(struct error *err)
{
	*err = (struct error){ 0 };
	return runtime_make(sock, err);
}

static void made(void **state)
{
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(make(&err), 0);
	assert_int_equal(make(&err), 0);
	assert_int_equal(stat(machine, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	runtime_remove(sock);
	assert_int_equal(stat(machine, &st), -1);
}

/* Who can write to a folder above the socket can put his own socket in its place. */
static void in_a_folder_of_others(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(chmod(top, 0777), 0);
	assert_int_equal(make(&err), -EPERM);
	assert_non_null(strstr(err.text, "set XDG_RUNTIME_DIR"));
	assert_int_equal(chmod(top, 01777), 0); /* only an owner can rename */
	assert_int_equal(make(&err), 0);
	assert_int_equal(chmod(all, 0770), 0);
	assert_int_equal(make(&err), -EPERM);
	assert_int_equal(chmod(all, 0700), 0);
	assert_int_equal(rmdir(machine), 0);
	assert_int_equal(symlink("/tmp", machine), 0);
	assert_int_equal(make(&err), -EPERM);
	assert_int_equal(unlink(machine), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(top, 1, 1), 0);
		assert_int_equal(make(&err), -EPERM);
		assert_int_equal(chown(top, 0, 0), 0);
	}
}

static void names(void **state)
{
	static const char *const wrong[] = { "", ".", "..", "a/b", ".hidden" };
	char buf[64];
	struct error err = { 0 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(runtime_socket(wrong[i], buf, sizeof(buf), &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made),
		cmocka_unit_test(in_a_folder_of_others),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
