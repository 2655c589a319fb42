/* SPDX-License-Identifier: BSD-2-Clause */
/* A file of statistics: whatever is accepted makes a page with no tag but ours, which carries the
 * same statistics, and not much larger than the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/error.h"
#include "vmm/report/report.h"

#define PAGE_ALONE (32u << 10)
#define GROWTH	   64 /* of a byte: \uXXXX in the JSON, and a line of text for [1,1,1] */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned tags(const char *page)
{
	unsigned n = 0;

	for (; (page = strchr(page, '<')); page++)
		n++;
	return n;
}

static char *render(const json_t *s, size_t *len)
{
	char *page = NULL;
	FILE *f = open_memstream(&page, len);

	if (report_html(f, s) < 0)
		abort();
	fclose(f);
	return page;
}

/* The JSON stands between the last but one <script> and the end tag behind it. */
static void check_data(const json_t *s, const char *page)
{
	const char *data = strstr(page, "id=\"data\">") + strlen("id=\"data\">");
	json_t *back = json_loadb(data, (size_t)(strstr(data, "</script>") - data), 0, NULL);

	if (!back || !json_equal(s, back))
		abort();
	json_decref(back);
}

/* Of the page without statistics, which is always the same. */
static unsigned frame_tags(void)
{
	static unsigned n;
	json_t *empty;
	char *frame;
	size_t len;

	if (n)
		return n;
	empty = json_object();
	frame = render(empty, &len);
	n = tags(frame);
	free(frame);
	json_decref(empty);
	return n;
}

static void check_page(const json_t *s, size_t size)
{
	size_t len;
	char *page = render(s, &len);

	if (tags(page) != frame_tags() || len > PAGE_ALONE + GROWTH * size)
		abort();
	check_data(s, page);
	free(page);
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
	check_page(s, size);
	json_decref(s);
	return 0;
}
