/* SPDX-License-Identifier: BSD-2-Clause */
/* The results of measurements: messages of a guest (which are not trusted), statistics, the table.
 */
#include <errno.h>
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

#include "tests/unit/fake_host.h"
#include "vmm/bench/bench.h"
#include "vmm/core/mem.h"

#define SIZE	0x10000u
#define MESSAGE 0x100u
#define SAMPLES 0x1000u

struct guest {
	struct guest_mem *mem;
	uint8_t *ram;
	struct bench_results r;
};

static int setup(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct mem_range range = { .size = SIZE, .kind = MEM_RAM };

	g->ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.host = g->ram;
	g->mem = guest_mem_new();
	assert_int_equal(guest_mem_add(g->mem, &range), 0);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	bench_results_free(&g->r);
	guest_mem_free(g->mem);
	munmap(g->ram, SIZE);
	free(g);
	return 0;
}

static void say(struct guest *g, struct bench_message m, uint64_t exits, uint64_t user)
{
	const struct bench_exits now = { .all = exits, .user = user, .known = true };

	memcpy(g->ram + MESSAGE, &m, sizeof(m));
	bench_message(&g->r, g->mem, MESSAGE, &now);
}

static void test_series(void **state)
{
	const uint32_t samples[] = { 5, 3, 4 };
	struct guest *g = *state;
	struct bench_result *r = &g->r.series[BENCH_REGISTER_READ];

	memcpy(g->ram + SAMPLES, samples, sizeof(samples));
	say(g, (struct bench_message){ BENCH_BEGIN, BENCH_REGISTER_READ, 0, 0 }, 100, 40);
	say(g, (struct bench_message){ BENCH_END, BENCH_REGISTER_READ, 3, SAMPLES }, 107, 43);
	assert_int_equal(r->n, 3);
	assert_memory_equal(r->samples, samples, sizeof(samples));
	/* Without the exit of the second message. */
	assert_int_equal(r->exits.all, 6);
	assert_int_equal(r->exits.user, 2);
	assert_true(r->exits.known);
	assert_false(g->r.done);
	say(g, (struct bench_message){ BENCH_DONE, 0, 0, 0 }, 0, 0);
	assert_true(g->r.done);
}

static void test_lies(void **state)
{
	static const struct bench_message lie[] = {
		{ BENCH_END, BENCH_SERIES, 3, SAMPLES },
		{ BENCH_END, UINT32_MAX, 3, SAMPLES },
		{ BENCH_END, 0, 0, SAMPLES },
		{ BENCH_END, 0, BENCH_MAX_SAMPLES + 1, SAMPLES },
		{ BENCH_END, 0, UINT32_MAX, SAMPLES },
		{ BENCH_END, 0, 0x40000001, SAMPLES },
		{ BENCH_END, 0, 3, SIZE - 8 },
		{ BENCH_END, 0, 3, UINT32_MAX - 3 },
		{ 99, 0, 3, SAMPLES },
	};
	const struct bench_exits now = { 0 };
	struct guest *g = *state;
	unsigned i;

	for (i = 0; i < sizeof(lie) / sizeof(lie[0]); i++)
		say(g, lie[i], 0, 0);
	bench_message(&g->r, g->mem, SIZE - 8, &now);
	bench_message(&g->r, g->mem, UINT32_MAX, &now);
	for (i = 0; i < BENCH_SERIES; i++)
		assert_int_equal(g->r.series[i].n, 0);
	assert_false(g->r.done);
	assert_string_equal(g->r.failed, "");
	/* Counters that decrease, and a series that comes twice. */
	say(g, (struct bench_message){ BENCH_BEGIN, 0, 0, 0 }, 100, 100);
	say(g, (struct bench_message){ BENCH_END, 0, 4, SAMPLES }, 50, 100);
	say(g, (struct bench_message){ BENCH_END, 0, 2, SAMPLES }, 50, 100);
	assert_int_equal(g->r.series[0].n, 2);
	assert_int_equal(g->r.series[0].exits.all, 0);
	assert_int_equal(g->r.series[0].exits.user, 0);
}

static void test_failure(void **state)
{
	struct guest *g = *state;

	memcpy(g->ram + SAMPLES, "it\n\033[2J broke", 13);
	say(g, (struct bench_message){ BENCH_FAILED, 0, 13, SAMPLES }, 0, 0);
	assert_string_equal(g->r.failed, "it[2J broke");
	memset(g->ram + SAMPLES, 'x', 4096);
	say(g, (struct bench_message){ BENCH_FAILED, 0, 4096, SAMPLES }, 0, 0);
	assert_int_equal(strlen(g->r.failed), sizeof(g->r.failed) - 1);
	/* It has failed, even if the text cannot be read. */
	say(g, (struct bench_message){ BENCH_FAILED, 0, 100, UINT32_MAX }, 0, 0);
	assert_string_equal(g->r.failed, "?");
}

static void test_summary(void **state)
{
	uint32_t s[1000], one[] = { 7 }, two[] = { 9, 4 };
	struct bench_summary r;
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++)
		s[i] = (i * 373) % 1000 + 1; /* 1 to 1000, shuffled */
	r = bench_summarize(s, 1000);
	assert_int_equal(r.min, 1);
	assert_int_equal(r.median, 500);
	assert_int_equal(r.p99, 990);
	assert_int_equal(r.max, 1000);
	r = bench_summarize(one, 1);
	assert_true(r.min == 7 && r.median == 7 && r.p99 == 7 && r.max == 7);
	r = bench_summarize(two, 2);
	assert_true(r.min == 4 && r.median == 4 && r.p99 == 9 && r.max == 9);
	r = bench_summarize(NULL, 0);
	assert_int_equal(r.max, 0);
}

/* At 1 GHz: ticks are nanoseconds. */
static struct bench_about about(void)
{
	struct bench_about a = { .bdf = "0000:01:00.0",
				 .id = 0x00101b36,
				 .class_code = 0x010802,
				 .driver = "NVMe",
				 .hypervisor = "SomeHypervis",
				 .machine = "Maker Thing",
				 .clocksource = "tsc",
				 .interrupts = "avic=N",
				 .virtual = true,
				 .constant = true,
				 .hz = 1e9 };

	return a;
}

static void fill(struct bench_results *host, struct bench_results *guest)
{
	const uint32_t h[] = { 1000, 2000, 3000 }, g[] = { 1500, 2500, 9000 };

	bench_results_add(host, BENCH_DISK_DEEP, h, 3);
	bench_results_add(guest, BENCH_DISK_DEEP, g, 3);
	guest->series[BENCH_DISK_DEEP].exits = (struct bench_exits){ 192, 96, true };
	bench_results_add(host, BENCH_CLOCK, h, 3); /* one side only: no row */
}

static void test_table(void **state)
{
	struct bench_results host = { 0 }, guest = { 0 };
	struct bench_about a = about();
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	fill(&host, &guest);
	bench_print(f, &a, &host, &guest);
	fclose(f);
	assert_non_null(strstr(text, "virtual (SomeHypervis; Maker Thing)"));
	assert_non_null(strstr(text, "1000.000 MHz"));
	assert_non_null(strstr(text, "each interrupt of a running guest is an exit"));
	assert_non_null(strstr(text, "32 such reads at once       host      3       1.00       2.00"
				     "       3.00       3.00    62500\n"));
	assert_non_null(strstr(text, "2.00       1.00\n")); /* 192 and 96 exits, 96 reads */
	assert_non_null(strstr(text, "+0.50      +0.50      +6.00\n"));
	assert_null(strstr(text, "nothing between"));
	free(text);
	a.virtual = false;
	f = open_memstream(&text, &len);
	bench_print(f, &a, &host, &guest);
	fclose(f);
	assert_non_null(strstr(text, "bare metal, as far as CPUID says; Maker Thing"));
	free(text);
	bench_results_free(&host);
	bench_results_free(&guest);
}

static double number(const json_t *row, const char *side, const char *key)
{
	return json_real_value(json_object_get(json_object_get(row, side), key));
}

static void test_json(void **state)
{
	struct bench_results host = { 0 }, guest = { 0 };
	struct bench_about a = about();
	const json_t *row;
	json_t *j;

	(void)state;
	fill(&host, &guest);
	a.driver = NULL;
	j = bench_json(&a, &host, &guest);
	assert_non_null(j);
	assert_true(json_is_null(json_object_get(json_object_get(j, "device"), "driver")));
	assert_true(json_is_true(json_object_get(json_object_get(j, "machine"), "virtual")));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(j, "device"), "class")),
		"0x010802");
	assert_int_equal(json_array_size(json_object_get(j, "series")), 1);
	row = json_array_get(json_object_get(j, "series"), 0);
	assert_int_equal(json_integer_value(json_object_get(row, "bytes")), 32 * 4096);
	assert_true(number(row, "host", "median") == 2.0);
	assert_true(number(row, "guest", "p99") == 9.0);
	assert_true(number(row, "guest", "exits_to_process") == 1.0);
	assert_null(json_object_get(json_object_get(row, "host"), "exits"));
	json_decref(j);
	bench_results_free(&host);
	bench_results_free(&guest);
}

static void test_surroundings(void **state)
{
	struct bench_about a = { 0 }, nothing = { 0 };

	make_root(state);
	bench_look_around(root, &nothing);
	assert_string_equal(nothing.machine, "");
	assert_string_equal(nothing.interrupts, "");
	put("Maker\n", "/sys/class/dmi/id/sys_vendor");
	put("Thing\x1b\n", "/sys/class/dmi/id/product_name");
	put("Y\n", "/sys/module/kvm_amd/parameters/avic");
	put("xen\n", "/sys/hypervisor/type");
	put("hpet\n", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	bench_look_around(root, &a);
	assert_string_equal(a.machine, "Maker Thing");
	assert_string_equal(a.interrupts, "avic=Y");
	assert_string_equal(a.clocksource, "hpet");
	assert_true(a.virtual); /* by CPUID or by Xen's file */
	assert_string_not_equal(a.hypervisor, "");
	remove_root(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_series, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_surroundings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
