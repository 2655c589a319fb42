/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What commands print for people: colour, words wrapped at the terminal's edge, aligned tables.
 * Plain, unwrapped text when it goes anywhere but to a terminal.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CLI_OUTPUT_H
#define VMM_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define OUTPUT_MAX_COLUMNS 8

struct output {
	FILE *f;
	bool colour;
	unsigned width; /* of the terminal, in columns; 0: none, nothing is wrapped or cut */
};

enum output_style {
	OUTPUT_PLAIN,
	OUTPUT_BOLD,
	OUTPUT_DIM,
	OUTPUT_GREEN,
	OUTPUT_YELLOW,
	OUTPUT_RED,
};

/* The last thing that a command does: what it printed must have arrived. Returns its exit status,
 * or 1 with a line on stderr when standard output is closed or full. */
int output_end(int status);
/* A string, or null if it is empty. */
json_t *output_text_or_null(const char *);
/* Prints a whole JSON document on standard output, and frees it. -ENOMEM: it is NULL, nothing was
 * printed. */
int output_json(json_t *);
/* Looks at what f is. NO_COLOR (no-color.org) and TERM=dumb keep colour off. */
struct output output_to(FILE *f);

void output_print(const struct output *, enum output_style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Text and a newline. The text begins in column `at`; so do the lines that it is wrapped into. */
void output_wrapped(const struct output *, enum output_style, unsigned at, const char *text);

/* Cells, row by row; the first row is the head. Zeroed before the first row; output_table() frees.
 */
struct output_table {
	char **cell;
	size_t n;
	unsigned columns;
	bool failed; /* out of memory */
};

/* One row; the cells are copied. */
void output_row(struct output_table *, unsigned columns, const char *const *cells);
/* Prints it, each column as wide as its widest cell; the last one is cut at the terminal's edge.
 * -ENOMEM: nothing was printed. */
int output_table(const struct output *, struct output_table *);

#endif
