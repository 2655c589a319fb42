/* SPDX-License-Identifier: BSD-2-Clause */
/* vmm/placement/ram.c: what is decided for hosts that are described here, and plain mappings;
 * vmm/placement/prefault.c and vmm/core/phase.c on real memory. Huge pages themselves are
 * tests/host/memory.sh's. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/phase.h"
#include "vmm/placement/prefault.h"

#define HUGE (2 * MiB)

static struct error err;
static struct ram_plan p;
static int ram_file; /* of shared memory */

/* Two nodes of 8 GiB. Both have 512 huge pages of 2 MiB; node 1 also has 4 of 1 GiB. */
static struct ram_host two_nodes(void)
{
	struct ram_host h = { .nodes = { 7, 3 }, .thp = true };

	h.node[0] = (struct ram_node){ { 600, 512 }, { 0, 0 }, 8 * GiB };
	h.node[1] = (struct ram_node){ { 512, 512 }, { 5, 4 }, 8 * GiB };
	h.any = (struct ram_node){ { 1112, 1024 }, { 5, 4 }, 16 * GiB };
	return h;
}

static int decide(struct ram_want w, const struct ram_host *h)
{
	err = (struct error){ 0 };
	return ram_decide(&w, h, &p, &err);
}

#define DECIDE(h, ...) decide((struct ram_want){ __VA_ARGS__ }, h)

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
	assert_null(strchr(err.text, '\n'));
	assert_true(strlen(err.text) < sizeof(err.text) - 1);
}

static void described(const struct ram_host *h, const char *text)
{
	char line[480];

	ram_describe(&p, h, line, sizeof(line));
	if (!strstr(line, text))
		fail_msg("'%s' does not say '%s'", line, text);
}

static void test_auto_steps_down(void **state)
{
	struct ram_host h = two_nodes();

	(void)state;
	assert_int_equal(DECIDE(&h, .size = 4 * GiB, .pages = RAM_AUTO, .nodes = 2), 0);
	assert_true(p.hugetlb && p.page == GiB);
	assert_int_equal(p.part[0].node, 1);
	described(&h, "4096 MiB in 1 GiB pages on node 1");
	/* The size is not a multiple of 1 GiB; then there are not enough pages. */
	assert_int_equal(DECIDE(&h, .size = 512 * MiB, .pages = RAM_AUTO, .nodes = 2), 0);
	assert_true(p.hugetlb && p.page == HUGE);
	assert_int_equal(DECIDE(&h, .size = GiB, .pages = RAM_AUTO, .nodes = 1), 0);
	assert_true(p.hugetlb && p.page == HUGE);
	described(&h, "; for pages of 1 GiB: echo 1 "
		      ">/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages");
	assert_int_equal(DECIDE(&h, .size = 2 * GiB, .pages = RAM_AUTO, .nodes = 1), 0);
	assert_true(!p.hugetlb && p.thp);
	/* 512 more than exist, not 1024, because others use some. */
	described(&h, "echo 1112 >/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr");
	h.thp = false;
	assert_int_equal(DECIDE(&h, .size = 2 * GiB, .pages = RAM_AUTO, .nodes = 1), 0);
	assert_true(!p.hugetlb && !p.thp && p.page == 4096);
	/* Without a node, the pages of the whole host count. */
	assert_int_equal(DECIDE(&h, .size = 2 * GiB, .pages = RAM_AUTO), 0);
	assert_true(p.page == GiB && p.part[0].node == NUMA_ANY);
}

static void test_auto_spills(void **state)
{
	struct ram_host h = two_nodes();

	(void)state;
	assert_int_equal(DECIDE(&h, .size = 10 * GiB, .pages = RAM_AUTO, .nodes = 2,
				.nodes_auto = true, .prefault = true),
			 0);
	assert_true(p.part[0].preferred);
	described(&h, "node 1 as far as it goes");
	assert_int_equal(DECIDE(&h, .size = 8 * GiB, .pages = RAM_AUTO, .nodes = 2,
				.nodes_auto = true, .prefault = true),
			 0);
	assert_false(p.part[0].preferred);
	assert_int_equal(DECIDE(&h, .size = 17 * GiB, .pages = RAM_AUTO, .nodes = 2,
				.nodes_auto = true, .prefault = true),
			 -ENOMEM);
	says("16384 MiB");
}

static void test_asked_for(void **state)
{
	struct ram_host h = two_nodes();

	(void)state;
	assert_int_equal(DECIDE(&h, .size = 8 * GiB, .pages = RAM_1G, .nodes = 2), -ENOMEM);
	says("8 huge pages of 1 GiB are needed on node 1, but only 4 are free");
	says("echo 9 >/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages");
	assert_int_equal(DECIDE(&h, .size = 4 * GiB, .pages = RAM_2M), -ENOMEM);
	says("on this host, but only 1024 are free: echo 2136 >/sys/kernel/mm/hugepages/");
	/* The commands for both nodes. */
	assert_int_equal(DECIDE(&h, .size = 4 * GiB, .pages = RAM_2M, .nodes = 3), -ENOMEM);
	says("echo 1112 >/sys/devices/system/node/node0/");
	says("; echo 1024 >/sys/devices/system/node/node1/");
	assert_int_equal(DECIDE(&h, .size = GiB + MiB, .pages = RAM_2M), -EINVAL);
	assert_int_equal(DECIDE(&h, .size = GiB, .pages = RAM_1G, .nodes = 3), -EINVAL);
	says("a page on each node");
	assert_int_equal(DECIDE(&h, .size = GiB, .pages = RAM_4K, .nodes = 2), 0);
	assert_true(!p.thp && p.page == 4096);
	/* A mount may have its own reservation. */
	assert_int_equal(
		DECIDE(&h, .size = 4 * GiB, .pages = RAM_PATH, .path = "/x", .path_page = HUGE), 0);
	assert_true(p.hugetlb && p.page == HUGE);
	assert_string_equal(p.path, "/x");
}

static void test_room(void **state)
{
	struct ram_host h = two_nodes();

	(void)state;
	/* Without prefault, memory need not be available. */
	assert_int_equal(DECIDE(&h, .size = 9 * GiB, .nodes = 1), 0);
	assert_int_equal(DECIDE(&h, .size = 9 * GiB, .nodes = 1, .prefault = true), -ENOMEM);
	says("9216 MiB are needed on node 0, which has only 8192 MiB");
	assert_int_equal(DECIDE(&h, .size = 17 * GiB, .prefault = true), -ENOMEM);
	says("on this host, which has only 16384 MiB");
}

static void test_nodes_that_are_none(void **state)
{
	struct ram_host h = two_nodes();

	(void)state;
	assert_int_equal(DECIDE(&h, .size = GiB, .nodes = 4), -ENODEV);
	says("node 2 has no memory");
	assert_int_equal(DECIDE(&h, .size = GiB, .nodes = 1ull << 63), -ENODEV);
	says("no node 63");
	/* Nodes that we chose ourselves are only preferred. */
	assert_int_equal(DECIDE(&h, .size = GiB, .pages = RAM_AUTO, .nodes = 4, .nodes_auto = true),
			 0);
	assert_int_equal(p.part[0].node, NUMA_ANY);
}

static void test_shares(void **state)
{
	struct ram_host h = two_nodes();
	unsigned i;

	(void)state;
	h.nodes.online = h.nodes.memory = 0xb;
	h.node[0].huge_1g.free = h.node[3].huge_1g.free = 9;
	assert_int_equal(DECIDE(&h, .size = 7 * GiB, .pages = RAM_1G, .nodes = 0xb), 0);
	assert_int_equal(p.n, 3);
	assert_true(p.part[0].size == 2 * GiB && p.part[1].size == 2 * GiB &&
		    p.part[2].size == 3 * GiB);
	assert_int_equal(p.part[2].node, 3);
	assert_true(p.part[1].offset == 2 * GiB && p.part[2].offset == 4 * GiB);
	/* With an odd size, the parts must cover all of it without a gap. */
	h.nodes.online = h.nodes.memory = UINT64_MAX;
	assert_int_equal(DECIDE(&h, .size = 1023 * MiB, .nodes = UINT64_MAX), 0);
	for (i = 0; i < 63; i++)
		assert_true(p.part[i].size &&
			    p.part[i].offset + p.part[i].size == p.part[i + 1].offset);
	assert_true(p.part[63].offset + p.part[63].size == 1023 * MiB);
	assert_int_equal(DECIDE(&h, .size = 16 * MiB, .nodes = UINT64_MAX), -EINVAL);
}

/* ---- real memory ---- */

static uint64_t resident(void *at, size_t size)
{
	size_t i, n = 0, pages = size / 4096;
	unsigned char *vec = malloc(pages);

	assert_int_equal(mincore(at, size, vec), 0);
	for (i = 0; i < pages; i++)
		n += vec[i] & 1;
	free(vec);
	return n * 4096;
}

/* True if the mapping at `at` has this flag in its VmFlags (proc_pid_smaps(5)). */
static bool has_flag(const void *at, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	char line[512];
	bool here = false, has = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)at >= from && (uintptr_t)at < to;
		if (here && strncmp(line, "VmFlags:", 8) == 0)
			has = strstr(line, flag) != NULL;
	}
	fclose(f);
	return has;
}

/* True if the kernel leaves the mapping at `at` out of core dumps. */
static bool hidden(const void *at)
{
	return has_flag(at, " dd");
}

static void check_huge(const char *at, bool huge)
{
	assert_int_equal(has_flag(at, " hg"), huge);
	assert_int_equal(has_flag(at, " nh"), !huge);
}

/* A start touches a few bytes of the first and of the last 2 MiB below 4 GiB. They have small pages
 * even where the host uses huge pages for all programs, unless all memory is filled anyway. */
static void check_ends(uint64_t low, bool prefault)
{
	struct ram_host h = { .thp = true, .any.available = GiB };
	char *ram;

	assert_int_equal(DECIDE(&h, .size = 64 * MiB, .prefault = prefault), 0);
	assert_true(p.low == 64 * MiB);
	p.low = low;
	assert_int_equal(ram_map(&p, (void **)&ram, &ram_file, &err), 0);
	check_huge(ram, prefault);
	check_huge(ram + 2 * MiB, true);
	check_huge(ram + low - 2 * MiB - 1, true);
	check_huge(ram + low - 2 * MiB, prefault);
	check_huge(ram + low - 1, prefault);
	if (low < 64 * MiB) {
		check_huge(ram + low, true);
		check_huge(ram + 64 * MiB - 1, true);
	}
	munmap(ram, 64 * MiB);
}

static void test_small_ends(void **state)
{
	struct ram_host h = { .thp = true, .any.available = GiB };
	char *ram;

	(void)state;
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) < 0)
		skip();
	check_ends(64 * MiB, false);
	check_ends(64 * MiB, true);
	check_ends(32 * MiB, false);
	check_ends(32 * MiB, true);
	assert_int_equal(DECIDE(&h, .size = 64 * MiB, .pages = RAM_4K), 0);
	assert_int_equal(ram_map(&p, (void **)&ram, &ram_file, &err), 0);
	check_huge(ram + 32 * MiB, false);
	munmap(ram, 64 * MiB);
}

/* Guest memory is not in a core dump of minivmm, unless this was asked for; then all of it is. */
static void test_core(void **state)
{
	struct ram_host h = { .thp = true, .any.available = GiB };
	char *ram;

	(void)state;
	for (unsigned dump = 0; dump < 2; dump++) {
		assert_int_equal(DECIDE(&h, .size = 65 * MiB), 0);
		p.dump = dump;
		assert_int_equal(ram_map(&p, (void **)&ram, &ram_file, &err), 0);
		assert_int_equal(hidden(ram), !dump);
		assert_int_equal(hidden(ram + 32 * MiB), !dump);
		assert_int_equal(hidden(ram + 65 * MiB - 1), !dump);
		munmap(ram, 65 * MiB);
	}
}

static void check_prefault(bool touch, enum ram_pages pages)
{
	struct ram_host h = { .thp = true, .any.available = GiB };
	struct prefault *f;
	struct pollfd fd;
	void *ram;

	assert_int_equal(DECIDE(&h, .size = 65 * MiB, .pages = pages, .prefault = true), 0);
	assert_int_equal(ram_map(&p, &ram, &ram_file, &err), 0);
	assert_int_equal((uintptr_t)ram % HUGE, 0);
	f = prefault_start(&p, ram, touch, &err);
	assert_non_null(f);
	fd = (struct pollfd){ .fd = prefault_fd(f), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 60000), 1);
	assert_int_equal(prefault_finish(f, &err), 0);
	assert_true(prefault_done(f) == 65 * MiB);
	assert_true(prefault_ns(f) > 0);
	assert_true(resident(ram, 65 * MiB) == 65 * MiB);
	prefault_free(f);
	prefault_release(&p, ram);
	assert_true(resident(ram, 65 * MiB) == 0);
	munmap(ram, 65 * MiB);
}

/* Locked memory goes, too, and only the plan's: not what lies behind it. */
static void test_release_locked(void **state)
{
	struct ram_host h = { .any.available = GiB };
	char *ram;

	(void)state;
	assert_int_equal(DECIDE(&h, .size = 32 * MiB, .pages = RAM_4K), 0);
	ram = mmap(NULL, 33 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(ram != MAP_FAILED);
	ram[32 * MiB] = 'x';
	if (mlock(ram, 2 * MiB) < 0)
		print_message("mlock: %s\n", strerror(errno));
	ram[31 * MiB] = 'x';
	prefault_release(&p, ram);
	assert_true(resident(ram, 32 * MiB) == 0);
	assert_int_equal(ram[32 * MiB], 'x');
	munmap(ram, 33 * MiB);
}

static void test_prefault(void **state)
{
	(void)state;
	check_prefault(false, RAM_4K);
	check_prefault(false, RAM_PLAIN);
	check_prefault(true, RAM_4K);
}

/* A part that has too little memory, here a file that is too short. The error names it, and there
 * is no SIGBUS. */
static void check_runs_out(bool touch)
{
	struct ram_host h = { .any.available = GiB };
	struct prefault *f;
	FILE *file = tmpfile();
	void *ram;

	assert_int_equal(DECIDE(&h, .size = 64 * MiB, .pages = RAM_4K, .prefault = true), 0);
	assert_int_equal(ftruncate(fileno(file), 33 * MiB), 0);
	ram = mmap(NULL, 64 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
	assert_true(ram != MAP_FAILED);
	f = prefault_start(&p, ram, touch, &err);
	assert_non_null(f);
	assert_true(prefault_finish(f, &err) < 0);
	says("this host has run out");
	says("of 64 MiB");
	assert_true(prefault_done(f) < 64 * MiB);
	prefault_free(f);
	munmap(ram, 64 * MiB);
	fclose(file);
}

static void test_runs_out(void **state)
{
	(void)state;
	check_runs_out(false);
	check_runs_out(true);
}

/* Freeing at once: the workers end, and nothing hangs. */
static void test_stop(void **state)
{
	struct ram_host h = { .any.available = 16 * GiB };
	struct prefault *f;
	void *ram;

	(void)state;
	assert_int_equal(DECIDE(&h, .size = GiB, .pages = RAM_4K, .prefault = true), 0);
	assert_int_equal(ram_map(&p, &ram, &ram_file, &err), 0);
	f = prefault_start(&p, ram, false, &err);
	assert_non_null(f);
	prefault_free(f);
	assert_true(resident(ram, GiB) < GiB);
	munmap(ram, GiB);
}

static void test_plain_is_not_touched(void **state)
{
	struct ram_host h = { .thp = true };
	void *ram;

	(void)state;
	assert_int_equal(DECIDE(&h, .size = 64 * MiB), 0);
	assert_int_equal(ram_map(&p, &ram, &ram_file, &err), 0);
	assert_int_equal((uintptr_t)ram % HUGE, 0);
	assert_int_equal(resident(ram, 64 * MiB), 0);
	munmap(ram, 64 * MiB);
}

/* Shared memory is a file that others can map, and that they cannot make smaller. Private memory
 * has none. */
static void test_shared(void **state)
{
	struct ram_host h = { .any.available = GiB };
	char *ram, *other;

	(void)state;
	assert_int_equal(DECIDE(&h, .size = 32 * MiB), 0);
	assert_int_equal(ram_map(&p, (void **)&ram, &ram_file, &err), 0);
	assert_int_equal(ram_file, -1);
	munmap(ram, 32 * MiB);
	assert_int_equal(DECIDE(&h, .size = 32 * MiB, .shared = true), 0);
	described(&h, "in 4 KiB pages, shared with other processes, which is slower: use "
		      "hugepages=2M");
	h.thp = true;
	assert_int_equal(DECIDE(&h, .size = 32 * MiB, .shared = true, .prefault = true), 0);
	described(&h, "in transparent huge pages or 4 KiB pages, shared with other processes");
	assert_int_equal(ram_map(&p, (void **)&ram, &ram_file, &err), 0);
	assert_true(ram_file >= 0);
	assert_int_equal((uintptr_t)ram % HUGE, 0);
	assert_int_equal(resident(ram, 32 * MiB), 0);
	other = mmap(NULL, 32 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, ram_file, 0);
	assert_true(other != MAP_FAILED);
	ram[31 * MiB] = 'x';
	assert_int_equal(other[31 * MiB], 'x');
	assert_int_equal(ftruncate(ram_file, MiB), -1);
	assert_true(hidden(ram));
	munmap(other, 32 * MiB);
	munmap(ram, 32 * MiB);
	close(ram_file);
}

static void check_shared_prefault(bool touch)
{
	struct ram_host h = { .any.available = GiB };
	struct prefault *f;
	char *ram;

	assert_int_equal(DECIDE(&h, .size = 33 * MiB, .shared = true, .prefault = true), 0);
	assert_int_equal(ram_map(&p, (void **)&ram, &ram_file, &err), 0);
	f = prefault_start(&p, ram, touch, &err);
	assert_non_null(f);
	assert_int_equal(prefault_finish(f, &err), 0);
	assert_true(resident(ram, 33 * MiB) == 33 * MiB);
	prefault_free(f);
	munmap(ram, 33 * MiB);
	close(ram_file);
}

static void test_shared_prefault(void **state)
{
	(void)state;
	check_shared_prefault(false);
	check_shared_prefault(true);
}

static void test_paths(void **state)
{
	uint64_t page;

	(void)state;
	assert_int_equal(ram_path_page("/nonexistent", &page, &err), -ENOENT);
	says("/nonexistent");
	assert_int_equal(ram_path_page("/proc", &page, &err), -EINVAL);
	says("mount -t hugetlbfs");
}

static void test_phases(void **state)
{
	struct phase_clock c;
	char line[480];
	unsigned i;

	(void)state;
	phase_begin(&c);
	usleep(2000);
	phase_mark(&c, "one");
	phase_mark(&c, "two");
	phase_mark(&c, "one");
	phase_span(&c, "beside", 5000000);
	assert_int_equal(c.n, 3);
	assert_true(c.phase[0].ns >= 2000000);
	assert_true(phase_total_ns(&c) == c.phase[0].ns + c.phase[1].ns);
	phase_text(&c, line, sizeof(line));
	assert_true(strncmp(line, "start: one ", 11) == 0);
	assert_non_null(strstr(line, ", beside 5.0 ms, total "));
	for (i = 0; i < 30; i++)
		phase_span(&c, line + i, 1);
	assert_int_equal(c.n, PHASE_MAX);
	phase_text(&c, line, 20);
	assert_int_equal(strlen(line), 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto_steps_down),
		cmocka_unit_test(test_auto_spills),
		cmocka_unit_test(test_asked_for),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_nodes_that_are_none),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_core),
		cmocka_unit_test(test_small_ends),
		cmocka_unit_test(test_prefault),
		cmocka_unit_test(test_release_locked),
		cmocka_unit_test(test_runs_out),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_plain_is_not_touched),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_shared_prefault),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_phases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
