/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics as people get them: text, and a page of HTML, made of the JSON that a machine's
 * snapshot is (its schema is in the man page), at once or later from a file.
 *
 * Threads: any, with a file of their own. The printers take any JSON, also a file's that somebody
 * else wrote.
 */
#ifndef VMM_REPORT_REPORT_H
#define VMM_REPORT_REPORT_H

#include <jansson.h>
#include <stdio.h>

#define STATS_FORMAT "minivmm-statistics"

struct error;

/* Text for people, the worst first. */
void report_text(FILE *, const json_t *snapshot);

/* A page with plots: one file, with its own style and script, which loads nothing. -1: it could not
 * be written, or there is no memory. */
int report_html(FILE *, const json_t *snapshot);
/* From a file's text; NULL with *err: it is no statistics. */
json_t *stats_load(const char *text, size_t len, struct error *err);

/* For the printers: the member when it has the right type, else 0 and "". Not below 0. */
double stats_number(const json_t *object, const char *key);
unsigned long long stats_offset(const json_t *object, const char *key); /* an integer */
const char *stats_string(const json_t *object, const char *key);
/* The value that `part` (0..1) of a histogram's entries are below, as a bucket's upper end; 0: it
 * is empty. */
double stats_quantile(const json_t *histogram, double part);

#endif
