/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of a QMP client, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/control/json_stream.h"

static char seen[4096];

static void note(const char *what)
{
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s;", what);
}

/* The result of the text, which is given in pieces of so many bytes. */
static const char *stream(const char *text, size_t len, size_t piece)
{
	struct json_stream s = { 0 };
	size_t at = 0;

	seen[0] = '\0';
	while (at < len) {
		size_t n = len - at < piece ? len - at : piece, used;
		const char *why = NULL;
		json_t *o;
		char *line;

		switch (json_stream_take(&s, text + at, n, &used, &o, &why)) {
		case JSON_STREAM_OBJECT:
			line = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
			note(line);
			free(line);
			json_decref(o);
			break;
		case JSON_STREAM_BAD:
			assert_non_null(why);
			note("bad");
			break;
		case JSON_STREAM_FULL:
			note("full");
			json_stream_free(&s);
			return seen;
		case JSON_STREAM_MORE:
			assert_int_equal(used, n);
		}
		assert_true(used <= n);
		at += used;
	}
	json_stream_free(&s);
	return seen;
}

static void test_cut(void **state)
{
	static const struct {
		const char *text, *want;
	} row[] = {
		{ "", "" },
		{ " \r\n\t ", "" },
		{ "{}", "{};" },
		{ "{}{}\n{}", "{};{};{};" },
		{ "{\"a\": [1, {\"b\": \"}]{\"}]}", "{\"a\":[1,{\"b\":\"}]{\"}]};" },
		{ "{\"a\": \"\\\"}\"}", "{\"a\":\"\\\"}\"};" },
		{ "{'execute': 'query-status'}", "{\"execute\":\"query-status\"};" },
		{ "{'a': 'say \"x\"', 'b': 'it\\'s'}",
		  "{\"a\":\"say \\\"x\\\"\",\"b\":\"it's\"};" },
		{ "{\"a\": \"it's\"}", "{\"a\":\"it's\"};" },
		{ "[1, 2] {}", "bad;{};" },
		{ "{\"a\": } {}", "bad;{};" },
		{ "{]} {}", "bad;bad;{};" },
		{ "hello\n{}", "bad;{};" },
		{ "hello {}", "bad;{};" },
		{ "1 2 3\n\n{}", "bad;{};" },
		{ "} {}", "bad;{};" },
		{ "{\"a\": 1, \"a\": 2}", "bad;" },
		{ "{bad", "" },
		{ "{\"a\": \"b}\n{}", "bad;{};" }, /* a quote is missing */
		{ "{'a': 'b}\n{\"c\": 1}", "bad;{\"c\":1};" },
		{ "\xff\xfe\n{}", "bad;{};" },
		{ "{\"a\": \"\xff\"}{}", "bad;{};" },
	};
	size_t i, piece;

	(void)state;
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		for (piece = 1; piece < 8; piece++)
			assert_string_equal(stream(row[i].text, strlen(row[i].text), piece),
					    row[i].want);
}

/* A long object, deep brackets and a zero byte must all stay within their limits. */
static void test_bounds(void **state)
{
	size_t n = 3 * JSON_STREAM_MAX;
	char *text = malloc(n);

	(void)state;
	assert_non_null(text);
	memset(text, '[', n);
	text[0] = '{';
	assert_string_equal(stream(text, n, 4096), "");
	memset(text, 'a', n);
	assert_string_equal(stream(text, n, 4096), "");
	memcpy(text, "{\"", 2);
	assert_string_equal(stream(text, n, 4096), "full;");
	memset(text, ' ', n);
	text[0] = '{';
	text[JSON_STREAM_MAX - 1] = '}';
	assert_string_equal(stream(text, JSON_STREAM_MAX, 65536), "{};");
	/* The object ends at the zero, and what is left of it is no other. */
	assert_string_equal(stream("{\"a\": \"x\0y\"}{}", 14, 1), "bad;bad;{};");
	free(text);
}

static void test_deep(void **state)
{
	char text[2 * JSON_STREAM_DEPTH + 16] = "{\"a\":";
	size_t i, n = 5;

	(void)state;
	for (i = 1; i < JSON_STREAM_DEPTH; i++)
		text[n++] = '[';
	for (i = 1; i < JSON_STREAM_DEPTH; i++)
		text[n++] = ']';
	text[n++] = '}';
	assert_non_null(strstr(stream(text, n, 3), "{\"a\":[[["));
	memmove(text + 6, text + 5, n - 5);
	text[5] = '[';
	text[n] = ']';
	text[n + 1] = '}';
	assert_string_equal(stream(text, n + 2, 3), "bad;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
