/* SPDX-License-Identifier: BSD-2-Clause */
/* Output to a file, with a given width and colour. Also that a file is not a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/cli/output.h"

static char *text;
static size_t size;

static struct output to_memory(unsigned width, bool colour)
{
	free(text);
	return (struct output){ .f = open_memstream(&text, &size),
				.colour = colour,
				.width = width };
}

static void prints(struct output *o, const char *want)
{
	fclose(o->f);
	assert_string_equal(text, want);
}

static void test_no_terminal(void **state)
{
	struct output o;
	FILE *f = tmpfile();

	(void)state;
	o = output_to(f);
	assert_false(o.colour);
	assert_int_equal(o.width, 0);
	fclose(f);
}

static void test_colour(void **state)
{
	struct output o = to_memory(0, true);

	(void)state;
	output_print(&o, OUTPUT_GREEN, "%s", "ok");
	output_print(&o, OUTPUT_PLAIN, " %d", 5);
	prints(&o, "\033[32mok\033[0m 5");
}

static void test_wrapped(void **state)
{
	struct output o = to_memory(44, false);

	(void)state;
	fputs("name ", o.f);
	output_wrapped(&o, OUTPUT_PLAIN, 5, "one two three four five six seven eight nine");
	prints(&o, "name one two three four five six seven eight\n     nine\n");
	o = to_memory(0, false);
	output_wrapped(&o, OUTPUT_PLAIN, 5, "one two three four five six seven eight nine");
	prints(&o, "one two three four five six seven eight nine\n");
	/* A word that is too long is not cut, and nothing is lost. */
	o = to_memory(40, false);
	output_wrapped(&o, OUTPUT_PLAIN, 10,
		       "a /sys/bus/pci/devices/0000:01:00.0/driver_override b");
	prints(&o, "a\n          /sys/bus/pci/devices/0000:01:00.0/driver_override\n          b\n");
	o = to_memory(40, false);
	output_wrapped(&o, OUTPUT_PLAIN, 10, "");
	prints(&o, "\n");
}

static void test_table(void **state)
{
	static const char *const rows[][3] = { { "A", "NAME", "REST" },
					       { "1000", "\xc3\xa4", "one" },
					       { "2", "long", "two and more" } };
	struct output_table t = { 0 };
	struct output o = to_memory(20, false);
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		output_row(&t, 3, rows[i]);
	assert_int_equal(output_table(&o, &t), 0);
	prints(&o, "A     NAME  REST\n1000  \xc3\xa4     one\n2     long  two and \n");
	/* An empty table prints nothing. */
	o = to_memory(20, false);
	assert_int_equal(output_table(&o, &t), 0);
	prints(&o, "");
}

static int tidy(void **state)
{
	(void)state;
	free(text);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_terminal),
		cmocka_unit_test(test_colour),
		cmocka_unit_test(test_wrapped),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, tidy);
}
