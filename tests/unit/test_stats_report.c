/* SPDX-License-Identifier: BSD-2-Clause */
/* Statistics as text and as a page, from correct and from wrong JSON. */
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

/* Parses JSON with ' instead of ". */
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

static char *render_text(const json_t *s)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	report_text(f, s);
	fclose(f);
	return text;
}

static char *render_page(const json_t *s)
{
	char *page = NULL;
	size_t len;
	FILE *f = open_memstream(&page, &len);

	assert_int_equal(report_html(f, s), 0);
	fclose(f);
	assert_int_equal(strlen(page), len);
	return page;
}

static void test_text(void **state)
{
	json_t *s = load(sample);
	char *text = render_text(s);

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

/* The JSON that the page's script reads; the caller frees it. */
static char *json_of(const char *page)
{
	static const char begin[] = "<script type=\"application/json\" id=\"data\">";
	const char *data = strstr(page, begin), *end;

	assert_non_null(data);
	data += strlen(begin);
	end = strstr(data, "</script>");
	assert_non_null(end);
	return strndup(data, (size_t)(end - data));
}

/* With any statistics, the page has the tags of an empty page, and the script reads the same JSON.
 */
static void page_is_sound(const char *page, const json_t *s)
{
	static const char empty_stats[] = "{'format': 'minivmm-statistics', 'version': 1}";
	json_t *empty = load(empty_stats), *back;
	char *empty_page = render_page(empty), *json;

	assert_int_equal(count(page, "<"), count(empty_page, "<"));
	assert_int_equal(count(page, ">"), count(empty_page, ">"));
	json = json_of(page);
	for (const char *c = json; *c; c++)
		assert_true(*c >= ' ' && !strchr("<>&", *c));
	back = json_loads(json, 0, NULL);
	assert_non_null(back);
	assert_true(json_equal(back, s));
	json_decref(back);
	json_decref(empty);
	free(empty_page);
	free(json);
}

static void test_page(void **state)
{
	json_t *s = load(sample);
	char *page = render_page(s);

	(void)state;
	page_is_sound(page, s);
	has(page, "(75 % at 0x2100): shares its page with the MSI-X table\n"); /* the text */
	has(page, "default-src 'none'");
	assert_int_equal(count(page, "http:") + count(page, "https:") + count(page, "@DATA@"), 0);
	assert_string_equal(page + strlen(page) - strlen("</html>\n"), "</html>\n");
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
		HEAD ", '__proto__': {'x': 1}, 'name': '</script><!--<script>'}",
		HEAD ", 'name': '\\u2028\\u2029\\ud83d\\ude00\\u007f]]>', '</pre>': '--!>'}",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *s = load(odd[i]);
		char *page = render_page(s), *text = render_text(s);

		page_is_sound(page, s);
		assert_int_equal(count(text, "nan") + count(text, "inf"), 0);
		has(page, "</html>");
		free(page);
		free(text);
		json_decref(s);
	}
}

static void test_escaped(void **state)
{
	json_t *s = load(HEAD
			 ", 'name': '<script>&\\u0007\\n\\u2028', 'traps': [{'device': "
			 "'\\\\\\\\<b onclick=x>\\u0007'}], 'devices': [{'name': '</pre>&'}]}");
	char *page;

	(void)state;
	page = render_page(s);
	page_is_sound(page, s);
	has(page, "\"name\":\"\\u003cscript\\u003e\\u0026\\u0007\\n\\u2028\"");
	has(page, "\\\\&#60;b onclick=x&#62;  0x0\n");
	has(page, "&#60;/pre&#62;&#38;: idle\n");
	assert_int_equal(count(page, "<b"), count(page, "<body"));
	free(page);
	json_decref(s);
}

/* The page and the work grow with the statistics, at most by the factor of the escapes. */
static void test_bounded(void **state)
{
	json_t *s = load(HEAD "}"), *traps = json_array(), *exits = json_object(), *vcpu;
	char *page = render_page(s), *text, name[32];
	size_t alone = strlen(page);

	(void)state;
	free(page);
	for (unsigned i = 0; i < 10000; i++)
		json_array_append_new(traps, json_pack("{s:s}", "device", "<"));
	json_object_set_new(s, "traps", traps);
	page = render_page(s);
	assert_true(strlen(page) < alone + 10000 * sizeof("{\"device\":\"\\u003c\"}") + 4096);
	page_is_sound(page, s);
	free(page);
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(name, sizeof(name), "%u", i);
		json_object_set_new(exits, name, json_pack("{s:i}", "count", i));
	}
	vcpu = json_pack("{s:o}", "exits", exits);
	json_object_set_new(s, "vcpus", json_pack("[o]", vcpu));
	text = render_text(s);
	has(text, " 199999\n");
	assert_true(strlen(text) < 16384);
	free(text);
	json_decref(s);
}

/* A full disk is reported. */
static void test_unwritable(void **state)
{
	json_t *s = load(sample);
	FILE *f = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0);
	assert_int_equal(report_html(f, s), -1);
	fclose(f);
	json_decref(s);
}

static void test_refused(void **state)
{
	static const char *const wrong[][2] = {
		{ "", "not JSON" },
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
		cmocka_unit_test(test_bounded), cmocka_unit_test(test_unwritable),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
