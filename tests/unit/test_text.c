/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/text.h"

static void quoted(void **state)
{
	static const char *const word[][2] = {
		{ "/mnt/a-b_1.img,ro=on", "/mnt/a-b_1.img,ro=on" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "it's", "'it'\\''s'" },
		{ "$(reboot)", "'$(reboot)'" },
		{ "~root", "'~root'" },
		{ "\xc3\xa4", "'\xc3\xa4'" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(word); i++) {
		scoped_free char *s = text_quote(word[i][0]);

		assert_string_equal(s, word[i][1]);
	}
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} size[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 4 * KiB, "4 KiB" },
		{ 1536 * MiB, "1.5 GiB" },
		{ 256 * GiB, "256 GiB" },
		{ UINT64_MAX, "15.9 EiB" },
	};
	char text[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(size); i++) {
		text_size(size[i].bytes, text);
		assert_string_equal(text, size[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(quoted), cmocka_unit_test(sizes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
