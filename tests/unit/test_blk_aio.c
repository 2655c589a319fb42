/* SPDX-License-Identifier: BSD-2-Clause */
/* The libaio engine with storage that takes its time: what is in flight is not ready, so whoever
 * polls finds nothing and goes to sleep. (It was, and a slow disk cost a whole CPU.) */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block/blk_file.h"
#include "devices/block/engine.h"
#include "vmm/core/addr.h"
#include "vmm/core/error.h"

#define DIRTY (32 * MiB)

struct env {
	char path[64];
	struct blk_file f;
	struct blk_engine *e;
	uint64_t calls;
	int kick_fd;
};

static int setup(void **state)
{
	struct env *v = calloc(1, sizeof(*v));
	struct blk_engine_config c = { .file = &v->f, .depth = 8, .calls = &v->calls };
	struct error err = { 0 };
	int fd;

	strcpy(v->path, "/var/tmp/minivmm-test-XXXXXX");
	fd = mkstemp(v->path);
	assert_int_equal(ftruncate(fd, DIRTY), 0);
	close(fd);
	if (blk_file_open(&v->f, v->path, false, BLK_CACHE_WRITEBACK, BLK_FORMAT_RAW, &err) < 0)
		fail_msg("%s", err.text);
	c.kick_fd = v->kick_fd = eventfd(0, EFD_NONBLOCK);
	if (blk_aio_ops.open(&v->e, &c, &err) < 0)
		fail_msg("%s", err.text);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct env *v = *state;

	blk_aio_ops.close(v->e);
	blk_file_close(&v->f);
	close(v->kick_fd);
	unlink(v->path);
	free(v);
	return 0;
}

/* Much to write, then a flush, which a thread of the kernel's carries out. */
static void flush_slowly(struct env *v, struct blk_req *r)
{
	char *block = malloc(MiB);
	off_t at;

	memset(block, 'x', MiB);
	for (at = 0; at < (off_t)DIRTY; at += (off_t)MiB)
		assert_int_equal(pwrite(v->f.fd, block, MiB, at), MiB);
	free(block);
	*r = (struct blk_req){ .op = BLK_FLUSH };
	blk_aio_ops.submit(v->e, r);
}

static void test_in_flight_is_not_ready(void **state)
{
	struct env *v = *state;
	struct blk_req r, *done;
	unsigned i;

	assert_false(blk_aio_ops.ready(v->e));
	for (i = 0; i < 50; i++) {
		flush_slowly(v, &r);
		done = blk_aio_ops.run(v->e, BLK_NOWAIT);
		if (!done)
			break;
		assert_ptr_equal(done, &r); /* the storage is too fast for this: once more */
	}
	if (i == 50) {
		print_message("a flush of 32 MiB never takes time here\n");
		skip();
	}
	/* If it is ready, it has come back. */
	if (blk_aio_ops.ready(v->e))
		assert_ptr_equal(done = blk_aio_ops.run(v->e, BLK_NOWAIT), &r);
	while (!done)
		done = blk_aio_ops.run(v->e, BLK_WAIT);
	assert_ptr_equal(done, &r);
	assert_int_equal(r.res, 0);
	assert_false(blk_aio_ops.ready(v->e));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_in_flight_is_not_ready) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
