/* SPDX-License-Identifier: BSD-2-Clause */
/* Output files: they are created, truncated or kept. Also pipes with and without a reader, and
 * images in use. */
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

#include "vmm/core/infile.h"
#include "vmm/core/outfile.h"

static char dir[] = "/tmp/outfile.XXXXXX";
static struct error err;

static void writes(const char *path, bool empty, const char *text)
{
	int fd = outfile_open(path, empty, &err);

	assert_true(fd >= 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void holds(const char *path, const char *want)
{
	char text[16] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, want);
}

static void refuses(const char *path, int code, const char *why)
{
	assert_int_equal(outfile_open(path, true, &err), code);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, why));
}

static void test_file(void **state)
{
	(void)state;
	writes("file", false, "1234");
	writes("file", false, "56");
	holds("file", "5634");
	writes("file", true, "78");
	holds("file", "78");
	writes("/dev/null", true, "1");
	refuses("no/where", -ENOENT, "No such file");
	refuses(".", -EISDIR, "Is a directory");
}

static void test_pipe(void **state)
{
	int reader;

	(void)state;
	assert_int_equal(mkfifo("pipe", 0600), 0);
	refuses("pipe", -ENXIO, "nobody reads it");
	reader = open("pipe", O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	writes("pipe", true, "1");
	close(reader);
}

/* The lock of a disk may belong to this process, or cover only a part of the file. */
static void test_image(void **state)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };
	int image;

	(void)state;
	writes("image", true, "12");
	image = open("image", O_RDONLY);
	assert_true(image >= 0);
	assert_int_equal(fcntl(image, F_OFD_SETLK, &l), 0);
	refuses("image", -EBUSY, "is in use");
	holds("image", "12");
	close(image);
	writes("image", true, "3");
	holds("image", "3");
}

/* A file that is open for reading is not opened for writing, by any name. */
static void test_input(void **state)
{
	int in;

	(void)state;
	writes("file", true, "12");
	assert_int_equal(link("file", "hard"), 0);
	assert_int_equal(symlink("file", "soft"), 0);
	in = infile_open("soft");
	assert_true(in >= 0);
	refuses("file", -EBUSY, "is in use");
	refuses("hard", -EBUSY, "is in use");
	refuses("soft", -EBUSY, "is in use");
	assert_int_equal(outfile_check("hard", &err), -EBUSY);
	holds("file", "12");
	close(in);
	writes("hard", true, "3");
	unlink("hard");
	unlink("soft");
	assert_int_equal(infile_open("nowhere"), -ENOENT);
}

/* A pipe is read to its end; a pipe without a writer is empty at once. */
static void test_stream(void **state)
{
	char text[16];
	int pipe_fds[2];
	FILE *f;

	(void)state;
	unlink("pipe");
	assert_int_equal(mkfifo("pipe", 0600), 0);
	f = infile_stream("pipe");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text), f), 0);
	assert_false(ferror(f));
	assert_non_null(strstr(infile_no_writer(f), "nobody writes"));
	fclose(f);
	assert_int_equal(pipe(pipe_fds), 0);
	snprintf(text, sizeof(text), "/dev/fd/%d", pipe_fds[0]);
	f = infile_stream(text);
	assert_non_null(f);
	assert_false(fcntl(fileno(f), F_GETFL) & O_NONBLOCK);
	assert_int_equal(write(pipe_fds[1], "12", 2), 2);
	close(pipe_fds[1]);
	assert_int_equal(fread(text, 1, sizeof(text), f), 2);
	fclose(f);
	close(pipe_fds[0]);
	assert_null(infile_stream("nowhere"));
	assert_int_equal(errno, ENOENT);
}

/* Two cannot write to the same file. But another may read what the first one writes. */
static void test_two_outputs(void **state)
{
	int one, in;

	(void)state;
	one = outfile_open("file", true, &err);
	assert_true(one >= 0);
	assert_int_equal(write(one, "12", 2), 2);
	refuses("file", -EBUSY, "is in use");
	holds("file", "12");
	in = infile_open("file");
	assert_true(in >= 0);
	close(in);
	refuses("file", -EBUSY, "is in use");
	close(one);
	writes("file", true, "3");
	one = outfile_open("/dev/null", true, &err);
	writes("/dev/null", true, "3");
	close(one);
}

static void check_refuses(const char *path, int code, const char *why)
{
	assert_int_equal(outfile_check(path, &err), code);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, why));
}

/* The check finds the same errors as opening, and changes nothing. */
static void test_check(void **state)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	char there[300];
	int image;

	(void)state;
	unlink("file");
	assert_int_equal(outfile_check("file", &err), 0);
	assert_int_equal(access("file", F_OK), -1);
	assert_true(snprintf(there, sizeof(there), "%s/file", dir) > 0);
	assert_int_equal(outfile_check(there, &err), 0);
	assert_int_equal(access("file", F_OK), -1);
	assert_int_equal(outfile_check("/file", &err), 0);
	check_refuses("no/where", -ENOENT, "No such file");
	check_refuses(".", -EISDIR, "Is a directory");
	assert_int_equal(outfile_check("/dev/null", &err), 0);
	/* A mistake in a name makes no file there. */
	assert_int_equal(outfile_check("/dev/minivmm-no-disk", &err), -ENOENT);
	assert_non_null(strstr(err.text, "there is no such device"));
	writes("image", true, "12");
	assert_int_equal(outfile_check("image", &err), 0);
	image = open("image", O_RDONLY);
	assert_int_equal(fcntl(image, F_OFD_SETLK, &l), 0);
	check_refuses("image", -EBUSY, "in use");
	holds("image", "12");
	close(image);
}

/* The reader of a pipe must not see that a writer opens and closes it. */
static void test_check_pipe(void **state)
{
	char c;
	int reader;

	(void)state;
	unlink("pipe");
	assert_int_equal(mkfifo("pipe", 0600), 0);
	reader = open("pipe", O_RDONLY | O_NONBLOCK);
	writes("pipe", true, "1");
	assert_int_equal(outfile_check("pipe", &err), 0);
	assert_int_equal(read(reader, &c, 1), 1);
	close(reader);
}

static int enter(void **state)
{
	(void)state;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	unlink("file");
	unlink("pipe");
	unlink("image");
	return chdir("/") || rmdir(dir);
}

/* What could not be filled is removed, but not what another process has put in its place. */
static void test_remove(void **state)
{
	int fd = outfile_open("new", true, &err);

	(void)state;
	assert_true(fd >= 0);
	outfile_remove("new", fd);
	assert_int_equal(access("new", F_OK), -1);
	writes("new", true, "other");
	outfile_remove("new", fd);
	holds("new", "other");
	close(fd);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	outfile_remove("/dev/null", fd);
	assert_int_equal(access("/dev/null", F_OK), 0);
	close(fd);
	unlink("new");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),   cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_image),  cmocka_unit_test(test_input),
		cmocka_unit_test(test_stream), cmocka_unit_test(test_two_outputs),
		cmocka_unit_test(test_check),  cmocka_unit_test(test_check_pipe),
		cmocka_unit_test(test_remove),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
