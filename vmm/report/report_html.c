/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics as a page. The program contains page.html and puts the statistics into it twice: as
 * text, for browsers without JavaScript, and as JSON. The page's script makes tables and plots of
 * the JSON.
 *
 * The JSON is not trusted. In the text, each character that is special in HTML is written as an
 * entity. In the JSON, such characters occur only in strings and are written as \uXXXX, and so are
 * all characters beyond ASCII. So the data cannot contain an end tag, a comment or a line
 * separator.
 */
#include "vmm/report/report.h"

#include <stdlib.h>
#include <string.h>

/* The page lies in its own section, behind the constants; vmm/bench/image.c says why. */
__asm__(".section assets,\"a\"\n"
	"report_page: .incbin \"vmm/report/page.html\"\n"
	".byte 0\n"
	".previous\n");
extern const char report_page[];

static void put_text(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr("&<>", *s))
			fprintf(f, "&#%d;", *s);
		else
			fputc((unsigned char)*s < ' ' && *s != '\n' ? ' ' : *s, f);
	}
}

static int put_json(const char *s, size_t n, void *f)
{
	for (; n; s++, n--) {
		if (strchr("&<>", *s))
			fprintf(f, "\\u%04x", *s);
		else
			fputc(*s, f);
	}
	return ferror(f) ? -1 : 0;
}

/* Writes the page up to a mark. Returns the rest of the page after the mark. */
static const char *page_until(FILE *f, const char *page, const char *mark)
{
	const char *end = strstr(page, mark);

	fwrite(page, 1, (size_t)(end - page), f);
	return end + strlen(mark);
}

static int put_snapshot_text(FILE *f, const json_t *snapshot)
{
	char *text = NULL;
	size_t len;
	FILE *memory = open_memstream(&text, &len);

	if (!memory)
		return -1;
	report_text(memory, snapshot);
	if (fclose(memory) < 0) {
		free(text);
		return -1;
	}
	put_text(f, text);
	free(text);
	return 0;
}

int report_html(FILE *f, const json_t *snapshot)
{
	const char *page = page_until(f, report_page, "@TEXT@");

	if (put_snapshot_text(f, snapshot) < 0)
		return -1;
	page = page_until(f, page, "@DATA@");
	if (json_dump_callback(snapshot, put_json, f, JSON_ENSURE_ASCII | JSON_COMPACT) < 0)
		return -1;
	fputs(page, f);
	return ferror(f) ? -1 : 0;
}
