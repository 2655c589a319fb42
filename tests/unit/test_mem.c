/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/mem.h"

#define PAGE 4096u

static char *pages(unsigned n)
{
	char *p = aligned_alloc(PAGE, (size_t)n * PAGE);

	assert_non_null(p);
	memset(p, 0, (size_t)n * PAGE);
	return p;
}

static int add(struct guest_mem *m, uint64_t gpa, uint64_t size, void *host, enum mem_kind kind)
{
	return guest_mem_add(m, &(struct mem_range){ gpa, size, host, kind, kind == MEM_RAM });
}

static void test_add(void **state)
{
	struct guest_mem *m = guest_mem_new();
	char *p = pages(4);

	(void)state;
	assert_int_equal(add(m, 0, 2 * PAGE, p, MEM_RAM), 0);
	assert_int_equal(add(m, PAGE, PAGE, p, MEM_RAM), -EEXIST);
	assert_int_equal(add(m, 0, 4 * PAGE, p, MEM_RAM), -EEXIST);
	assert_int_equal(add(m, 0x8001, PAGE, p, MEM_RAM), -EINVAL);
	assert_int_equal(add(m, 0x8000, 0, p, MEM_RAM), -EINVAL);
	assert_int_equal(add(m, 0x8000, PAGE, p + 1, MEM_RAM), -EINVAL);
	assert_int_equal(add(m, UINT64_MAX - PAGE + 1, 2 * PAGE, p, MEM_RAM), -EINVAL);
	assert_int_equal(add(m, 2 * PAGE, 2 * PAGE, p + 2 * PAGE, MEM_ROM), 0);
	assert_int_equal(guest_mem_del(m, GPA(PAGE)), -ENOENT);
	assert_int_equal(guest_mem_del(m, GPA(0)), 0);
	assert_int_equal(guest_mem_del(m, GPA(2 * PAGE)), 0);
	guest_mem_free(m);
	free(p);
}

static void test_access(void **state)
{
	struct guest_mem *m = guest_mem_new();
	char *a = pages(1), *b = pages(1), *rom = pages(1), buf[64];
	struct iovec iov[2];

	(void)state;
	assert_int_equal(add(m, 0x1000, PAGE, a, MEM_RAM), 0);
	assert_int_equal(add(m, 0x2000, PAGE, b, MEM_RAM), 0);
	assert_int_equal(add(m, 0x8000, PAGE, rom, MEM_ROM), 0);
	assert_int_equal(guest_mem_write(m, GPA(0x1ffc), "abcdefgh", 8), 0);
	assert_memory_equal(a + PAGE - 4, "abcd", 4);
	assert_memory_equal(b, "efgh", 4);
	assert_int_equal(guest_mem_read(m, GPA(0x1ffc), buf, 8), 0);
	assert_memory_equal(buf, "abcdefgh", 8);
	/* If a part does not exist, the existing part must not change. */
	assert_int_equal(guest_mem_write(m, GPA(0x2ffc), "12345678", 8), -EFAULT);
	assert_memory_equal(b + PAGE - 4, "\0\0\0\0", 4);
	assert_int_equal(guest_mem_write(m, GPA(0x8000), "1", 1), -EFAULT);
	assert_int_equal(guest_mem_read(m, GPA(0x8000), buf, 1), 0);
	assert_int_equal(guest_mem_read(m, GPA(UINT64_MAX - 1), buf, 4), -EFAULT);
	assert_int_equal(guest_mem_read(m, GPA(0), buf, 1), -EFAULT);

	assert_int_equal(guest_mem_iov(m, GPA(0x1ff0), 0x20, MEM_ACCESS_WRITE, iov, 1),
			 b == a + PAGE ? 1 : -E2BIG);
	assert_in_range(guest_mem_iov(m, GPA(0x1ff0), 0x20, MEM_ACCESS_WRITE, iov, 2), 1, 2);
	assert_ptr_equal(iov[0].iov_base, a + 0xff0);
	assert_int_equal(guest_mem_iov(m, GPA(0x8000), 8, MEM_ACCESS_WRITE, iov, 2), -EFAULT);
	assert_int_equal(guest_mem_iov(m, GPA(0x8000), 0, MEM_ACCESS_READ, iov, 2), -EFAULT);
	assert_int_equal(guest_mem_iov(m, GPA(0x1000), SIZE_MAX, MEM_ACCESS_READ, iov, 2), -EFAULT);

	assert_ptr_equal(guest_mem_ptr(m, GPA(0x1010), 16, 16), a + 16);
	assert_null(guest_mem_ptr(m, GPA(0x1011), 16, 16));
	assert_null(guest_mem_ptr(m, GPA(0x1ff0), 32, 16));
	assert_null(guest_mem_ptr(m, GPA(0x8000), 16, 16));
	guest_mem_free(m);
	free(a);
	free(b);
	free(rom);
}

/* Who has found a range before sees what has become of it. */
static void test_near(void **state)
{
	struct guest_mem *m = guest_mem_new();
	char *a = pages(1), *b = pages(1), *rom = pages(1);
	struct mem_last last = { 0 };

	(void)state;
	assert_null(guest_mem_near(m, &last, GPA(0), 1));
	assert_int_equal(add(m, 0, PAGE, a, MEM_RAM), 0);
	assert_int_equal(add(m, 0x8000, PAGE, rom, MEM_ROM), 0);
	assert_ptr_equal(guest_mem_near(m, &last, GPA(0), PAGE), a);
	assert_ptr_equal(guest_mem_near(m, &last, GPA(5), 1), a + 5);
	assert_null(guest_mem_near(m, &last, GPA(5), PAGE));
	assert_null(guest_mem_near(m, &last, GPA(PAGE), 1));
	assert_null(guest_mem_near(m, &last, GPA(UINT64_MAX), 2));
	assert_null(guest_mem_near(m, &last, GPA(0x8001), 8));
	assert_ptr_equal(guest_mem_near(m, &last, GPA(7), 8), a + 7);
	/* The range goes, and another one takes its place. */
	assert_int_equal(guest_mem_del(m, GPA(0)), 0);
	assert_null(guest_mem_near(m, &last, GPA(7), 8));
	assert_int_equal(add(m, 0, PAGE, b, MEM_RAM), 0);
	assert_ptr_equal(guest_mem_near(m, &last, GPA(7), 8), b + 7);
	assert_int_equal(guest_mem_del(m, GPA(0)), 0);
	assert_int_equal(add(m, 0, PAGE, b, MEM_DEVICE), 0);
	assert_null(guest_mem_near(m, &last, GPA(7), 8));
	guest_mem_free(m);
	free(a);
	free(b);
	free(rom);
}

struct counting {
	struct mem_listener l;
	int live, fail_at;
};

static int count_add(struct mem_listener *l, const struct mem_range *r)
{
	struct counting *c = container_of(l, struct counting, l);

	(void)r;
	if (c->fail_at && c->live + 1 == c->fail_at)
		return -EIO;
	c->live++;
	return 0;
}

static void count_del(struct mem_listener *l, const struct mem_range *r)
{
	(void)r;
	container_of(l, struct counting, l)->live--;
}

static void test_listeners(void **state)
{
	struct counting a = { .l = { count_add, count_del, NULL } };
	struct counting b = { .l = { count_add, count_del, NULL }, .fail_at = 3 };
	struct guest_mem *m = guest_mem_new();
	char *p = pages(1);
	unsigned i;

	(void)state;
	assert_int_equal(guest_mem_listen(m, &a.l), 0);
	assert_int_equal(add(m, 0, PAGE, p, MEM_RAM), 0);
	assert_int_equal(guest_mem_listen(m, &b.l), 0);
	assert_int_equal(b.live, 1);
	assert_int_equal(add(m, PAGE, PAGE, p, MEM_RAM), 0);
	assert_int_equal(add(m, 2 * PAGE, PAGE, p, MEM_RAM), -EIO);
	assert_int_equal(a.live, 2);
	assert_int_equal(b.live, 2);
	guest_mem_unlisten(m, &b.l);
	assert_int_equal(b.live, 0);
	for (i = 2; i < 40; i++)
		assert_int_equal(add(m, i * PAGE, PAGE, p, MEM_RAM), 0);
	assert_int_equal(a.live, 40);
	assert_int_equal(guest_mem_listen(m, &b.l), -EIO);
	assert_int_equal(b.live, 0);
	guest_mem_free(m);
	free(p);
}

static void *flip(void *arg)
{
	struct guest_mem *m = arg;
	char *p = pages(1);
	unsigned i;

	for (i = 0; i < 20000; i++) {
		assert_int_equal(add(m, 0x1000, PAGE, p, MEM_RAM), 0);
		assert_int_equal(guest_mem_del(m, GPA(0x1000)), 0);
	}
	free(p);
	return NULL;
}

/* A range that stays must be found at any time, while others are added and removed before it. */
static void test_concurrent(void **state)
{
	struct guest_mem *m = guest_mem_new();
	struct mem_last last = { 0 };
	char *p = pages(1);
	pthread_t t;
	unsigned i;

	(void)state;
	assert_int_equal(add(m, 0x5000, PAGE, p, MEM_RAM), 0);
	assert_int_equal(pthread_create(&t, NULL, flip, m), 0);
	for (i = 0; i < 200000; i++) {
		assert_ptr_equal(guest_mem_ptr(m, GPA(0x5010), 8, 8), p + 16);
		assert_ptr_equal(guest_mem_near(m, &last, GPA(0x5010), 8), p + 16);
	}
	pthread_join(t, NULL);
	guest_mem_free(m);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_concurrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
