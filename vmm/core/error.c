/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/text.h"

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

void error_visible(char *text)
{
	bool control;
	unsigned n;

	for (; *text; text += n) {
		n = text_char(text, &control);
		if (control)
			memset(text, '?', n);
	}
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char old[sizeof(err->text) + 2] = ": ";
	size_t used, keep;
	va_list ap;

	memcpy(old + 2, err->text, sizeof(err->text));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	keep = strnlen(old, sizeof(err->text) - 1 - used);
	memcpy(err->text + used, old, keep);
	err->text[used + keep] = '\0';
	return err->code;
}
