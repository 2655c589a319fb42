/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of statistics: whatever is accepted makes a page of bounded size, with no tag but ours. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/error.h"
#include "vmm/report/report.h"

#define PAGE_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const json_t *s, void (*how)(FILE *, const json_t *), int delta)
{
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);
	long balance = 0;

	how(f, s);
	fclose(f);
	for (i = 0; i < len; i++)
		balance += text[i] == '<' ? delta : text[i] == '>' ? -delta : 0;
	if (balance || len > PAGE_MAX || (delta && strstr(text, "<script")))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { 0 };
	json_t *s = stats_load((const char *)data, size, &err);

	if (!s) {
		if (!err.text[0])
			abort();
		return 0;
	}
	render(s, report_html, 1);
	render(s, report_text, 0);
	json_decref(s);
	return 0;
}
