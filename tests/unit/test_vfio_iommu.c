/* SPDX-License-Identifier: BSD-2-Clause */
/* The decisions of vfio/iommu: it reads the answer of the IOMMU, checks memory before it is mapped,
 * maps each range once, and raises memlock. The backend is a fake; there are no ioctls. */
#include <errno.h>
#include <limits.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vfio/iommu/iommu_backend.h"
#include "vmm/placement/memlock.h"

#define MAX_MAPS 8

struct fake {
	struct iommu_limits limits;
	struct {
		uint64_t iova, size;
	} map[MAX_MAPS];
	unsigned n, calls, busy; /* busy: that many maps answer EBUSY */
	int fail_at;		 /* the map with this number fails with -EFAULT; 0: none */
	bool freed;
	struct guest_mem *busy_mem; /* it changes while memory is mapped; NULL: it does not */
};

static void *vcpu(void *arg)
{
	struct fake *f = arg;
	struct mem_range bar = { .gpa = 0xe0000000 + f->calls * 0x1000,
				 .size = 0x1000,
				 .host = (void *)0x20000000,
				 .kind = MEM_DEVICE };

	return guest_mem_add(f->busy_mem, &bar) == 0 ? f : NULL;
}

static void move_bar(struct fake *f)
{
	pthread_t thread;
	void *ok;

	assert_int_equal(pthread_create(&thread, NULL, vcpu, f), 0);
	pthread_join(thread, &ok);
	assert_ptr_equal(ok, f);
}

static int fake_map(void *backend, uint64_t iova, void *host, uint64_t size, bool write)
{
	struct fake *f = backend;

	assert_non_null(host);
	assert_true(write);
	f->calls++;
	if (f->busy_mem)
		move_bar(f);
	if (f->busy) {
		f->busy--;
		return -EBUSY;
	}
	if (f->fail_at == (int)f->n + 1)
		return -EFAULT;
	f->map[f->n].iova = iova;
	f->map[f->n++].size = size;
	return 0;
}

static int fake_unmap(void *backend, uint64_t iova, uint64_t size)
{
	struct fake *f = backend;
	unsigned i;

	f->calls++;
	if (f->busy_mem)
		move_bar(f);
	for (i = 0; i < f->n; i++) {
		if (f->map[i].iova != iova || f->map[i].size != size)
			continue;
		f->map[i] = f->map[--f->n];
		return 0;
	}
	return -ENOENT;
}

static int fake_limits(void *backend, struct iommu_limits *l, struct error *e)
{
	(void)e;
	*l = ((struct fake *)backend)->limits;
	return 0;
}

static void fake_free(void *backend)
{
	((struct fake *)backend)->freed = true;
}

static const struct iommu_ops fake_ops = {
	.map = fake_map, .unmap = fake_unmap, .limits = fake_limits, .free = fake_free
};

static struct fake f;
static struct error err;
static char host[16];

/* An Intel host: the MSI doorbell, and 39 bits. */
static const struct iommu_limits intel = {
	.range = { { 0, 0xfedfffff }, { 0xfef00000, 0x7fffffffff } }, .n = 2, .maps_left = 65535
};

static struct iommu *make(const struct iommu_limits *l)
{
	struct iommu *m;

	f = (struct fake){ .limits = *l };
	err = (struct error){ 0 };
	m = iommu_new_with(&fake_ops, &f);
	assert_non_null(m);
	return m;
}

/* RAM as in a machine; the memory behind it is never touched. */
static struct guest_mem *ram(uint64_t low, uint64_t high)
{
	struct mem_range r = { .size = low, .host = (void *)(uintptr_t)0x10000000, .dma = true };
	struct guest_mem *mem = guest_mem_new();

	assert_int_equal(guest_mem_add(mem, &r), 0);
	r.gpa = 4 * GiB;
	r.size = high;
	if (high)
		assert_int_equal(guest_mem_add(mem, &r), 0);
	r = (struct mem_range){ .gpa = 0xffc00000, .size = 4 * MiB, .host = r.host };
	assert_int_equal(guest_mem_add(mem, &r), 0);
	return mem;
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static void test_one_map_a_range(void **state)
{
	struct iommu *m = make(&intel);
	/* So little that every memlock limit allows it. */
	struct guest_mem *mem = ram(16 * KiB, 32 * KiB);

	(void)state;
	assert_int_equal(iommu_attach_memory(m, mem, &err), 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.map[0].size, 16 * KiB);
	assert_int_equal(f.map[1].iova, 4 * GiB);
	assert_int_equal(f.map[1].size, 32 * KiB);
	assert_int_equal(f.calls, 2);
	/* Removed memory is unmapped; memory that is not for DMA was never mapped. */
	assert_int_equal(guest_mem_del(mem, GPA(4 * GiB)), 0);
	assert_int_equal(f.n, 1);
	assert_int_equal(guest_mem_del(mem, GPA(0xffc00000)), 0);
	assert_int_equal(f.n, 1);
	iommu_detach_memory(m);
	assert_int_equal(f.n, 0);
	iommu_free(m);
	assert_true(f.freed);
	guest_mem_free(mem);
}

/* The guest runs, and moves BARs while its memory is pinned, and unpinned. Nobody waits for
 * anybody. */
static void test_while_it_runs(void **state)
{
	struct iommu *m = make(&intel);
	struct guest_mem *mem = ram(16 * KiB, 32 * KiB);

	(void)state;
	f.busy_mem = mem;
	assert_int_equal(iommu_attach_memory(m, mem, &err), 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(guest_mem_del(mem, GPA(0xe0001000)), 0);
	assert_int_equal(f.n, 2);
	/* A second time it finds everything mapped. */
	assert_int_equal(iommu_attach_memory(m, mem, &err), 0);
	assert_int_equal(f.calls, 2);
	iommu_free(m);
	assert_int_equal(f.n, 0);
	guest_mem_free(mem);
}

static void test_beyond(void **state)
{
	struct iommu *m = make(&intel);
	struct guest_mem *mem = ram(2 * GiB, 600 * GiB);

	(void)state;
	assert_int_equal(iommu_attach_memory(m, mem, &err), -ERANGE);
	says("0x8000000000");
	says("--memory");
	assert_int_equal(f.calls, 0);
	iommu_free(m);
	guest_mem_free(mem);
}

static void test_too_many(void **state)
{
	struct iommu_limits l = intel;
	struct guest_mem *mem = ram(2 * GiB, GiB);
	struct iommu *m;

	(void)state;
	l.maps_left = 1;
	l.more_maps = "echo 65535 >dma_entry_limit";
	m = make(&l);
	assert_int_equal(iommu_attach_memory(m, mem, &err), -ENOSPC);
	says("only 1 DMA mappings");
	says(": echo 65535 >dma_entry_limit");
	assert_int_equal(f.calls, 0);
	iommu_free(m);
	guest_mem_free(mem);
}

static void test_failure_undoes(void **state)
{
	struct iommu *m = make(&intel);
	struct guest_mem *mem = ram(16 * KiB, 16 * KiB);

	(void)state;
	f.fail_at = 2;
	assert_int_equal(iommu_attach_memory(m, mem, &err), -EFAULT);
	says("0x100000000");
	assert_int_equal(f.n, 0);
	iommu_free(m);
	guest_mem_free(mem);
}

static void test_busy(void **state)
{
	struct iommu *m = make(&intel);

	(void)state;
	f.busy = 3;
	assert_int_equal(iommu_map(m, IOVA(0x1000), host, 0x1000, true), 0);
	assert_int_equal(f.calls, 4);
	f.busy = 1000;
	assert_int_equal(iommu_map(m, IOVA(0x4000), host, 0x1000, true), -EBUSY);
	assert_true(f.calls < 100);
	assert_int_equal(iommu_unmap(m, IOVA(0x1000), 0x1000), 0);
	iommu_free(m);
}

static void test_allow(void **state)
{
	/* An AMD host: HyperTransport below 1 TiB; and two adjacent ranges. */
	const struct iommu_limits amd = { .range = { { 0, 0xfedfffff },
						     { 0xfef00000, 0xfcffffffff },
						     { 0x10000000000, 0x1ffffffffff },
						     { 0x20000000000, 0xffffffffffff } },
					  .n = 4 };
	uint64_t bad;

	(void)state;
	assert_true(iommu_limits_allow(&amd, 0, 2 * GiB, &bad));
	assert_true(iommu_limits_allow(&amd, 0, 0xfee00000, &bad));
	assert_false(iommu_limits_allow(&amd, 0, 0xfee00001, &bad));
	assert_int_equal(bad, 0xfee00000);
	assert_true(iommu_limits_allow(&amd, 4 * GiB, 1008 * GiB, &bad));
	assert_false(iommu_limits_allow(&amd, 4 * GiB, 1009 * GiB, &bad));
	assert_int_equal(bad, 0xfd00000000);
	assert_true(iommu_limits_allow(&amd, 0x1fffffff000, 0x2000, &bad));
	assert_false(iommu_limits_allow(&amd, UINT64_MAX - 10, 100, &bad));
	assert_false(iommu_limits_allow(&amd, 0x1000000000000, 0x1000, &bad));
	assert_false(iommu_limits_allow(&amd, 0x1000, 0, &bad));
	assert_int_equal(iommu_limits_bits(&amd), 48);
	assert_int_equal(iommu_limits_bits(&intel), 39);
}

/* The answer of VFIO_IOMMU_GET_INFO. */
struct answer {
	struct vfio_iommu_type1_info head;
	struct vfio_iommu_type1_info_dma_avail avail;
	struct { /* struct vfio_iommu_type1_info_cap_iova_range with a length */
		struct vfio_info_cap_header header;
		uint32_t nr_iovas, reserved;
	} __attribute__((aligned(8))) ranges;
	struct vfio_iova_range range[2];
};

static struct answer answer(void)
{
	struct answer a = { 0 };

	a.head.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	a.head.cap_offset = offsetof(struct answer, avail);
	a.avail.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
	a.avail.header.next = offsetof(struct answer, ranges);
	a.avail.avail = 77;
	a.ranges.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
	a.ranges.nr_iovas = 2;
	a.range[0].end = 0xfedfffff;
	a.range[1].start = 0xfef00000;
	a.range[1].end = 0xffffffffffff;
	return a;
}

static void test_parse(void **state)
{
	struct answer a = answer();
	struct iommu_limits l;

	(void)state;
	assert_int_equal(iommu_limits_parse(&a, sizeof(a), &l), 0);
	assert_int_equal(l.maps_left, 77);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.range[1].first, 0xfef00000);
	assert_int_equal(iommu_limits_bits(&l), 48);
	a.head.flags = 0;
	assert_int_equal(iommu_limits_parse(&a, sizeof(a), &l), 0);
	assert_int_equal(l.maps_left, UINT_MAX);
	assert_int_equal(iommu_limits_bits(&l), 64);
}

static void test_parse_broken(void **state)
{
	struct answer a = answer();
	struct iommu_limits l;

	(void)state;
	a.ranges.nr_iovas = 3;
	assert_int_equal(iommu_limits_parse(&a, sizeof(a), &l), -EINVAL);
	a = answer();
	a.ranges.header.next = a.head.cap_offset;
	assert_int_equal(iommu_limits_parse(&a, sizeof(a), &l), -EINVAL);
	a = answer();
	a.avail.header.next = 4096;
	assert_int_equal(iommu_limits_parse(&a, sizeof(a), &l), -EINVAL);
}

static void test_memlock(void **state)
{
	const struct rlimit small = { 64 * KiB, 64 * KiB }, soft = { 64 * KiB, 8 * GiB };
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	const struct rlimit open_end = { 64 * KiB, RLIM_INFINITY };

	(void)state;
	assert_int_equal(memlock_plan(4 * GiB, &none), MEMLOCK_ENOUGH);
	assert_int_equal(memlock_plan(64 * KiB, &small), MEMLOCK_ENOUGH);
	assert_int_equal(memlock_plan(4 * GiB, &soft), MEMLOCK_RAISE_SOFT);
	assert_int_equal(memlock_plan(4 * GiB, &open_end), MEMLOCK_RAISE_SOFT);
	assert_int_equal(memlock_plan(9 * GiB, &soft), MEMLOCK_RAISE_BOTH);
	assert_int_equal(memlock_plan(4 * GiB, &small), MEMLOCK_RAISE_BOTH);
	assert_true(memlock_error(4 * GiB, &small, &err) < 0);
	says("4096 MiB");
	says("--memlock=4294967296");
	says("memlock 4194304");
	says("64 KiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_map_a_range), cmocka_unit_test(test_while_it_runs),
		cmocka_unit_test(test_beyond),		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_failure_undoes),	cmocka_unit_test(test_busy),
		cmocka_unit_test(test_allow),		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_broken),	cmocka_unit_test(test_memlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
