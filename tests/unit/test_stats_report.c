/* SPDX-License-Identifier: BSD-2-Clause */
/* Statistics as text and as a page, from JSON that is as it should be and from JSON that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/error.h"
#include "vmm/report/report.h"

static const char sample[] =
	"{'format': 'minivmm-statistics', 'version': 1, 'program': 'minivmm 1', 'name': 'win',"
	" 'seconds': 10.0, 'recent_seconds': 2.0, 'timed': true,"
	" 'start': [{'phase': 'memory', 'ns': 2500000}],"
	" 'vcpus': [{'vcpu': 0, 'exits': {'io': {'count': 40, 'recent': 4, 'ns': 80000}},"
	"            'kernel': {'exits': 900, 'halt_wait_hist': [0, 1]},"
	"            'kernel_recent': {'exits': 90}},"
	"           {'vcpu': 1, 'exits': {'io': {'count': 2, 'recent': 0, 'ns': 4000}},"
	"            'kernel': {'exits': 100}, 'kernel_recent': {'exits': 10}}],"
	" 'traps': [{'device': '0000:01:00.0', 'where': 'BAR 0', 'page': 8192, 'first': 8448,"
	"            'last': 8456, 'cause': 'shares its page with the MSI-X table', 'count': 40,"
	"            'recent': 4, 'reads': 30, 'writes': 10, 'ns': 60000,"
	"            'registers': [{'offset': 8448, 'reads': 30, 'writes': 0},"
	"                          {'offset': 8456, 'reads': 0, 'writes': 10}]},"
	"           {'device': 'exit', 'where': '', 'first': 244, 'last': 244, 'cause': '',"
	"            'count': 2, 'recent': 0, 'reads': 0, 'writes': 2, 'ns': 1000}],"
	" 'interrupts': [{'device': '0000:01:00.0', 'kind': 'MSI-X', 'vector': 3, 'path': 'irqfd',"
	"                 'count': 77},"
	"                {'device': 'net0', 'kind': 'MSI-X', 'vector': 1, 'path': 'irqfd'}],"
	" 'devices': [{'kind': 'disk queue', 'name': 'blk0.0', 'counters': {'reads': 5, 'writes': "
	"0},"
	"              'histograms': {'latency_ns': [0, 0, 0, 4, 1], 'batch': []}}]}";

static const char golden[] =
	"minivmm 1 after 10.0 s; rates of the last 2.0 s\n"
	"\n"
	"start\n"
	"              ms  phase\n"
	"             2.5  memory\n"
	"\n"
	"exits to minivmm, all vCPUs\n"
	"           count          /s     us each  reason\n"
	"              42         2.0        2.00  io\n"
	"\n"
	"in the kernel, all vCPUs\n"
	"           count          /s  KVM's name\n"
	"            1000        50.0  exits\n"
	"\n"
	"trapped accesses\n"
	"           count          /s     us each  where, and why\n"
	"              40         2.0        1.50  0000:01:00.0 BAR 0 0x2100-0x2108 "
	"(75 % at 0x2100): shares its page with the MSI-X table\n"
	"               2         0.0        0.50  exit 0xf4\n"
	"\n"
	"interrupts\n"
	"           count  which, and who injects them\n"
	"              77  0000:01:00.0 MSI-X 3: irqfd\n"
	"               ?  net0 MSI-X 1: irqfd\n"
	"\n"
	"devices\n"
	"  disk queue blk0.0: reads 5\n"
	"      latency_ns: half below 8, 99 % below 16\n";

/* JSON with ' for ". */
static json_t *load(const char *text)
{
	char *copy = strdup(text);
	struct error err = { 0 };
	json_t *s;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	s = stats_load(copy, strlen(copy), &err);
	free(copy);
	if (!s)
		print_message("%s\n", err.text);
	return s;
}

static char *render(const json_t *s, void (*how)(FILE *, const json_t *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	how(f, s);
	fclose(f);
	return text;
}

static void test_text(void **state)
{
	json_t *s = load(sample);
	char *text = render(s, report_text);

	(void)state;
	assert_string_equal(text, golden);
	free(text);
	json_decref(s);
}

static void has(const char *page, const char *what)
{
	if (!strstr(page, what))
		fail_msg("no '%s'", what);
}

static unsigned count(const char *s, const char *what)
{
	unsigned n = 0;

	for (; (s = strstr(s, what)); s++)
		n++;
	return n;
}

static void test_page(void **state)
{
	json_t *s = load(sample);
	char *page = render(s, report_html);

	(void)state;
	has(page, "<h1>win: what it cost</h1>");
	has(page, "2.5 ms</text>");
	has(page, "<td class=\"l\">shares its page with the MSI-X table</td><td>30</td><td>10</td>"
		  "<td>4</td><td>1.5</td>");
	has(page, "<text x=\"726.0\" y=\"15\">40, 60 \xc2\xb5s</text>"); /* the longest bar */
	has(page, "<td>3</td><td>77</td><td>7.7</td>");
	has(page, "<td>1</td><td class=\"l\">?</td>");
	has(page, "below 8 ns: 4</title>");
	has(page, "<td class=\"l\">exits</td><td>1000</td><td>100</td>");
	assert_int_equal(count(page, "<svg"), count(page, "</svg>"));
	assert_int_equal(count(page, "<"), count(page, ">"));
	assert_int_equal(count(page, "script"), 0);
	assert_int_equal(count(page, "http"), 0);
	free(page);
	json_decref(s);
}

#define HEAD "{'format': 'minivmm-statistics', 'version': 1"

static void test_hostile(void **state)
{
	static const char *const odd[] = {
		HEAD "}",
		HEAD ", 'vcpus': 5, 'traps': {}, 'interrupts': 'x', 'devices': [1, [], null]}",
		HEAD ", 'seconds': -1, 'vcpus': [7, {'exits': [], 'kernel': {'x': 'y'}}]}",
		HEAD ", 'seconds': 1e-300, 'timed': true, 'traps': [{'ns': 1e308, 'count': 1e308,"
		     "'first': 1e300, 'registers': [{'reads': 1e308, 'writes': 1e308}]},"
		     "{'ns': 1e308}], 'devices': [{'histograms': {'a_ns': [-1, 1e308, 'x']}}]}",
		HEAD ", 'vcpus': [{'exits': {'a': {'count': 1e308}}, 'kernel': {'b': 1e308}},"
		     "{'exits': {'a': {'count': 1e308}}, 'kernel': {'b': 1e308}}]}",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *s = load(odd[i]);
		char *page = render(s, report_html), *text = render(s, report_text);

		assert_int_equal(count(page, "<"), count(page, ">"));
		assert_int_equal(count(page, "nan") + count(page, "inf"), 0);
		has(page, "</html>");
		free(page);
		free(text);
		json_decref(s);
	}
}

static void test_escaped(void **state)
{
	json_t *s = load(HEAD ", 'name': '<script>&\\u0007\\n', 'traps': [{'device': "
			      "'\\\\\\\\<b onclick=x>'}], 'devices': [{'name': '</p>'}]}");
	char long_name[400], *page;

	(void)state;
	page = render(s, report_html);
	has(page, "&lt;script&gt;&amp;  :");
	assert_int_equal(count(page, "<script"), 0);
	assert_int_equal(count(page, "<b"), count(page, "<body"));
	has(page, "&lt;/p&gt;");
	free(page);
	/* Cut between characters: each is two bytes. */
	for (unsigned i = 0; i + 2 < sizeof(long_name); i += 2)
		memcpy(long_name + i, "\xc3\xa4", 3);
	json_object_set_new(s, "name", json_string(long_name));
	page = render(s, report_html);
	has(page, "<h1>\xc3\xa4");
	has(page, "\xc3\xa4...: what");
	free(page);
	json_decref(s);
}

static void test_bounded(void **state)
{
	json_t *s = load(HEAD "}"), *traps = json_array();
	char *page;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		json_array_append_new(traps, json_pack("{s:s}", "device", "x"));
	json_object_set_new(s, "traps", traps);
	page = render(s, report_html);
	assert_true(strlen(page) < 100000);
	has(page, "9800 more are not shown");
	free(page);
	json_decref(s);
}

static void test_refused(void **state)
{
	static const char *const wrong[][2] = {
		{ "", "no JSON" },
		{ "{\n]", "line 2" },
		{ "[]", "not written by" },
		{ "{\"format\": 1}", "not written by" },
		{ "{\"format\": \"minivmm-statistics\", \"version\": 2}", "version 2" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error err = { 0 };

		assert_null(stats_load(wrong[i][0], strlen(wrong[i][0]), &err));
		has(err.text, wrong[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	cmocka_unit_test(test_page),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_escaped),
		cmocka_unit_test(test_bounded), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
