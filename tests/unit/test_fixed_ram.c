/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest RAM that is registered with a ring in chunks, with the kernel's io_uring. */
#include <fcntl.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/fixed_ram.h"
#include "vmm/core/mem.h"

#define CHUNK	 0x10000u
#define LOW_SIZE (2 * CHUNK + 0x3000u) /* its last chunk is short */

struct ram {
	struct io_uring ring;
	struct guest_mem *mem;
	char *low, *high;
	struct fixed_ram *fixed;
};

static char *ram_add(struct guest_mem *mem, uint64_t gpa, size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(guest_mem_add(mem, &(struct mem_range){ gpa, size, p, MEM_RAM, true }), 0);
	return p;
}

static void ram_open(struct ram *r)
{
	if (io_uring_queue_init(4, &r->ring, 0))
		skip();
	r->mem = guest_mem_new();
	r->low = ram_add(r->mem, 0, LOW_SIZE);
	r->high = ram_add(r->mem, 4 * GiB, CHUNK);
	r->fixed = fixed_ram_new(&r->ring, r->mem, CHUNK);
	if (!r->fixed) /* before Linux 5.19 */
		skip();
}

static void ram_close(struct ram *r)
{
	fixed_ram_free(r->fixed);
	io_uring_queue_exit(&r->ring);
	guest_mem_free(r->mem);
	munmap(r->low, LOW_SIZE);
	munmap(r->high, CHUNK);
}

/* The answer after p has been used often enough. */
static int find_often(struct ram *r, const void *p, size_t len)
{
	for (unsigned i = 1; i < FIXED_RAM_USES; i++)
		assert_int_equal(fixed_ram_find(r->fixed, p, len), -1);
	return fixed_ram_find(r->fixed, p, len);
}

static void chunks_by_use(void **state)
{
	struct ram r;

	(void)state;
	ram_open(&r);
	assert_int_equal(find_often(&r, r.low + CHUNK, 512), 1);
	assert_int_equal(fixed_ram_find(r.fixed, r.low + 2 * CHUNK - 1, 1), 1);
	assert_int_equal(fixed_ram_find(r.fixed, r.low + 2 * CHUNK - 1, 2), -1); /* two chunks */
	assert_int_equal(fixed_ram_find(r.fixed, r.low, 512), -1);		 /* not used yet */
	assert_int_equal(find_often(&r, r.low + LOW_SIZE - 512, 512), 2);
	assert_int_equal(fixed_ram_find(r.fixed, r.low + LOW_SIZE - 512, 513), -1);
	assert_int_equal(find_often(&r, r.high, CHUNK), 3);
	assert_int_equal(fixed_ram_find(r.fixed, &r, 1), -1); /* no guest RAM: an aligned buffer */
	ram_close(&r);
}

/* What the kernel reads by the index comes from the address. */
static void transfers(void **state)
{
	struct io_uring_cqe *cqe;
	char path[] = "/tmp/minivmm-test-XXXXXX", got[512];
	struct ram r;
	int fd = mkstemp(path), index;

	(void)state;
	unlink(path);
	ram_open(&r);
	index = find_often(&r, r.low + CHUNK + 4096, 512);
	memset(r.low + CHUNK + 4096, 0x5a, 512);
	io_uring_prep_write_fixed(io_uring_get_sqe(&r.ring), fd, r.low + CHUNK + 4096, 512, 0,
				  index);
	assert_int_equal(io_uring_submit(&r.ring), 1);
	assert_int_equal(io_uring_wait_cqe(&r.ring, &cqe), 0);
	assert_int_equal(cqe->res, 512);
	assert_int_equal(pread(fd, got, 512, 0), 512);
	assert_memory_equal(got, r.low + CHUNK + 4096, 512);
	ram_close(&r);
	close(fd);
}

/* Memory that the kernel refuses is tried once; what is registered stays usable. */
static void refused(void **state)
{
	struct ram r;

	(void)state;
	ram_open(&r);
	assert_int_equal(find_often(&r, r.low, 512), 0);
	munmap(r.low + CHUNK, CHUNK);
	assert_int_equal(find_often(&r, r.low + CHUNK, 512), -1);
	assert_int_equal(fixed_ram_find(r.fixed, r.low + CHUNK, 512), -1);
	assert_int_equal(fixed_ram_find(r.fixed, r.low, 512), 0);
	assert_int_equal(find_often(&r, r.high, 512), -1);
	ram_close(&r);
}

/* A ring that has buffers, or a kernel without sparse ones, and a machine without RAM. */
static void not_possible(void **state)
{
	struct guest_mem *none = guest_mem_new();
	struct ram r;

	(void)state;
	ram_open(&r);
	assert_null(fixed_ram_new(&r.ring, r.mem, CHUNK));
	assert_null(fixed_ram_new(&r.ring, none, CHUNK));
	fixed_ram_free(NULL);
	guest_mem_free(none);
	ram_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_by_use),
		cmocka_unit_test(transfers),
		cmocka_unit_test(refused),
		cmocka_unit_test(not_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
