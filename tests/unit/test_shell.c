/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/import/shell.h"

/* The words of the first command, marks shown as < [ and >, with | between them. */
static const char *split(const char *text)
{
	static char out[512];
	struct words w = { 0 };
	size_t pos = 0, start;
	unsigned i;
	char *c;
	int ret = shell_command(text, &pos, &start, &w);

	out[0] = '\0';
	for (i = 0; i < w.n; i++) {
		strcat(out, i ? "|" : "");
		strcat(out, w.word[i]);
	}
	for (c = out; *c; c++)
		*c = *c == SHELL_BARE ? '<' : *c == SHELL_QUOTED ? '[' : *c == SHELL_END ? '>' : *c;
	words_free(&w);
	return ret == -EINVAL ? "no command" : out;
}

static void test_words(void **state)
{
	static const char *const cases[][2] = {
		{ "a b\tc", "a|b|c" },
		{ "  a \\\n  b\\\nc \\\r\n d", "a|bc|d" },
		{ "a 'b c' \"d e\" f\\ g ''", "a|b c|d e|f g|" },
		{ "a # b c", "a" },
		{ "a#b", "a#b" },
		{ "a `# note` \\\n \\\n  `#` b", "a|b" },
		{ "'a\\b' \"c\\\"d\\e\\$f\" 'g\"'", "a\\b|c\"d\\e$f|g\"" },
		{ "a; b", "a" },
		{ "a && b", "a" },
		{ "a\nb", "a" },
		{ "(a)", "" },
		{ "$A ${B:-c d} \"$C\" '$D' \\$E $", "<$A>|<${B:-c d}>|[$C>|$D|$E|$" },
		{ "x=$(ls -l '(' $(pwd))y `date +%s`", "x=<$(ls -l '(' $(pwd))>y|<`date +%s`>" },
		{ "$1x $@ ${A[@]} $'a\\'b'", "<$1>x|<$@>|<${A[@]}>|<$'a\\'b'>" },
		{ "~/a file=~/b b~ '~' ~x,y", "<~>/a|file=<~>/b|b~|~|~x,y" },
		{ "a >b 2>&1 < 'c d'", "a|<>b>|<2>&1>|<< 'c d'>" },
		{ "${A", "${A" },
		{ "`a", "`a" },
		{ "a 'b", "no command" },
		{ "a \"b", "no command" },
		{ "a\\", "a\\" },
		{ "a\001b\003 \002", "ab" },
		{ "a >\001", "no command" },
		{ "", "" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(split(cases[i][0]), cases[i][1]);
}

static void test_commands(void **state)
{
	static const char text[] = "one 1\n\n# no\n  two; three & four | five";
	static const char *const first[] = { "one", "two", "three", "four", "five" };
	size_t pos = 0, start;
	unsigned n = 0;

	(void)state;
	while (text[pos]) {
		struct words w = { 0 };

		assert_int_equal(shell_command(text, &pos, &start, &w), 0);
		if (w.n) {
			assert_true(n < ARRAY_SIZE(first));
			assert_string_equal(w.word[0], first[n]);
			assert_memory_equal(text + start, first[n], strlen(first[n]));
			n++;
		}
		words_free(&w);
	}
	assert_int_equal(n, ARRAY_SIZE(first));
}

static void check_quote(const char *text, const char *want)
{
	struct words w = { 0 }, again = { 0 };
	size_t pos = 0, start;
	char *q;

	assert_int_equal(shell_command(text, &pos, &start, &w), 0);
	assert_int_equal(w.n, 1);
	q = shell_quote(w.word[0]);
	assert_string_equal(q, want);
	pos = 0;
	assert_int_equal(shell_command(q, &pos, &start, &again), 0);
	assert_int_equal(again.n, 1);
	shell_strip(w.word[0]);
	shell_strip(again.word[0]);
	assert_string_equal(w.word[0], again.word[0]);
	free(q);
	words_free(&w);
	words_free(&again);
}

static void test_quote(void **state)
{
	(void)state;
	check_quote("/a/b,c=d", "/a/b,c=d");
	check_quote("''", "''");
	check_quote("\"a b\"", "'a b'");
	check_quote("\"it's\"", "'it'\\''s'");
	check_quote("'$5'", "'$5'");
	check_quote("$A", "$A");
	check_quote("\"$A\"", "\"$A\"");
	check_quote("$A/x,y", "$A/x,y");
	check_quote("$A\"b c\"", "$A\"b c\"");
	check_quote("$A'b'", "$A\"b\"");
	check_quote("\"$A\"b", "\"$A\"\"b\"");
	check_quote("\"$A b\"!\\$", "\"$A b\"\\!\"\\$\"");
	check_quote("~/x", "~/x");
	check_quote("'~/x'", "'~/x'");
	check_quote("\"$(a \"b\")\"", "\"$(a \"b\")\"");
	check_quote("2>&1", "2>&1");
}

/* Escape sequences of a script must not reach the terminal of the user. */
static void test_quote_controls(void **state)
{
	static const char *const cases[][2] = {
		{ "$A\033x", "$A\"$(printf '\\033')x\"" },
		{ "$A'\xc2\x9b'", "$A\"$(printf '\\302')$(printf '\\233')\"" },
		{ "${A:-\033[2J}", "${A:-?[2J}" },
		{ "a\033", "'a'\"$(printf '\\033')\"''" },
		{ "$A\xd2\x9b", "$A\"\xd2\x9b\"" }, /* a letter whose second byte would be one */
		{ "$A'\n'", "$A\"\n\"" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct words w = { 0 };
		size_t pos = 0, start;
		char *q;

		assert_int_equal(shell_command(cases[i][0], &pos, &start, &w), 0);
		q = shell_quote(w.word[0]);
		assert_string_equal(q, cases[i][1]);
		free(q);
		words_free(&w);
	}
}

static void test_find(void **state)
{
	struct words w = { 0 };
	size_t pos = 0, start;

	(void)state;
	assert_int_equal(shell_command("${A:-b,c},d e", &pos, &start, &w), 0);
	assert_string_equal(shell_find(w.word[0], ','), ",d");
	assert_null(shell_find(w.word[1], ','));
	assert_true(shell_is_live(w.word[0]));
	assert_false(shell_is_live(w.word[1]));
	words_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words), cmocka_unit_test(test_commands),
		cmocka_unit_test(test_quote), cmocka_unit_test(test_quote_controls),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
