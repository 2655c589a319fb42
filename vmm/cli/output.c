/* SPDX-License-Identifier: BSD-2-Clause */
/* Colour, wrapping and tables. Text is UTF-8; a character counts as one column. */
#include "vmm/cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/log.h"

#define GAP	  2  /* between columns */
#define MIN_WIDTH 40 /* of a terminal: in a narrower one nothing is gained by wrapping */

json_t *output_text_or_null(const char *s)
{
	json_t *j = s[0] ? json_string(s) : NULL;

	return j ? j : json_null();
}

int output_json(json_t *all)
{
	if (!all)
		return -ENOMEM;
	json_dumpf(all, stdout, JSON_INDENT(2));
	json_decref(all);
	putchar('\n');
	return 0;
}

struct output output_to(FILE *f)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	struct output o = { .f = f };
	struct winsize w;

	if (!isatty(fileno(f)))
		return o;
	o.colour = term && strcmp(term, "dumb") != 0 && !(no_color && no_color[0]);
	if (ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col >= MIN_WIDTH)
		o.width = w.ws_col;
	return o;
}

/* What failed while the buffer was written out in between has left no reason. */
int output_end(int status)
{
	bool failed = ferror(stdout);

	errno = 0;
	if (fflush(stdout) == 0 && !failed)
		return status;
	log_error("standard output: %s",
		  errno ? strerror(errno) : "not all of it could be written");
	return status ? status : 1;
}

static void begin(const struct output *o, enum output_style s)
{
	static const char *const codes[] = { "",	 "\033[1m",  "\033[2m",
					     "\033[32m", "\033[33m", "\033[1;31m" };

	if (o->colour)
		fputs(codes[s], o->f);
}

static void end(const struct output *o, enum output_style s)
{
	if (o->colour && s != OUTPUT_PLAIN)
		fputs("\033[0m", o->f);
}

void output_print(const struct output *o, enum output_style s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	begin(o, s);
	vfprintf(o->f, fmt, ap);
	end(o, s);
	va_end(ap);
}

/* Bytes of the first `columns` characters, at most all. */
static size_t bytes_of(const char *s, size_t columns)
{
	size_t i = 0;

	for (; s[i]; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return i;
}

static size_t columns_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Bytes of the text that go on a line of `room` columns: up to a space, or one long word. */
static size_t line_of(const char *text, size_t room)
{
	size_t fits = bytes_of(text, room), n = fits;

	if (!text[fits])
		return fits;
	while (n > 0 && text[n] != ' ')
		n--;
	return n > 0 ? n : fits + strcspn(text + fits, " ");
}

void output_wrapped(const struct output *o, enum output_style s, unsigned at, const char *text)
{
	size_t n;

	begin(o, s);
	for (;;) {
		n = o->width > at + MIN_WIDTH / 2 ? line_of(text, o->width - at) : strlen(text);
		fwrite(text, 1, n, o->f);
		text += n + strspn(text + n, " ");
		if (!*text)
			break;
		fprintf(o->f, "\n%*s", (int)at, "");
	}
	end(o, s);
	fputc('\n', o->f);
}

void output_row(struct output_table *t, unsigned columns, const char *const *cells)
{
	char **grown = realloc(t->cell, (t->n + columns) * sizeof(*grown));
	unsigned i;

	t->failed |= !grown || columns > OUTPUT_MAX_COLUMNS;
	t->cell = grown ? grown : t->cell;
	if (t->failed)
		return;
	t->columns = columns;
	for (i = 0; i < columns; i++) {
		grown[t->n] = strdup(cells[i]);
		t->failed |= !grown[t->n++];
	}
}

static void widths(const struct output_table *t, unsigned *width)
{
	size_t i, len;

	for (i = 0; i < t->n; i++) {
		len = columns_of(t->cell[i]);
		if (len > width[i % t->columns])
			width[i % t->columns] = (unsigned)len;
	}
}

static void print_row(const struct output *o, const struct output_table *t, size_t row,
		      const unsigned *width)
{
	unsigned i, at = 0;

	begin(o, row ? OUTPUT_PLAIN : OUTPUT_BOLD);
	for (i = 0; i + 1 < t->columns; i++) {
		const char *cell = t->cell[row * t->columns + i];

		fprintf(o->f, "%s%*s", cell, (int)(width[i] - columns_of(cell)) + GAP, "");
		at += width[i] + GAP;
	}
	fwrite(t->cell[row * t->columns + i], 1,
	       o->width > at ? bytes_of(t->cell[row * t->columns + i], o->width - at)
			     : strlen(t->cell[row * t->columns + i]),
	       o->f);
	end(o, row ? OUTPUT_PLAIN : OUTPUT_BOLD);
	fputc('\n', o->f);
}

int output_table(const struct output *o, struct output_table *t)
{
	unsigned width[OUTPUT_MAX_COLUMNS] = { 0 };
	int ret = t->failed ? -ENOMEM : 0;
	size_t i;

	if (ret == 0 && t->columns)
		widths(t, width);
	for (i = 0; ret == 0 && t->columns && i < t->n / t->columns; i++)
		print_row(o, t, i, width);
	for (i = 0; i < t->n; i++)
		free(t->cell[i]);
	free(t->cell);
	*t = (struct output_table){ 0 };
	return ret;
}
