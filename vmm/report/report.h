/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints statistics for people: as text and as an HTML page. The input is the JSON of a machine's
 * snapshot (its schema is in the man page), from the running machine or from a file.
 *
 * Threads: any; each call needs its own FILE. The JSON is not trusted: a file may come from anyone.
 */
#ifndef VMM_REPORT_REPORT_H
#define VMM_REPORT_REPORT_H

#include <jansson.h>
#include <stdio.h>

#define STATS_FORMAT "minivmm-statistics"

struct error;

/* Text; in each part the most costly comes first. */
void report_text(FILE *, const json_t *snapshot);

/* A page with plots: one file with its own style and script, which loads nothing else. -1: the file
 * cannot be written, or memory is exhausted. */
int report_html(FILE *, const json_t *snapshot);
/* Parses the text of a file. NULL with *err set: the text is not statistics of minivmm. */
json_t *stats_load(const char *text, size_t len, struct error *err);

/* For the printers: the member if it has the right type, else 0 or "". Never below 0. */
double stats_number(const json_t *object, const char *key);
unsigned long long stats_offset(const json_t *object, const char *key); /* an integer */
const char *stats_string(const json_t *object, const char *key);
/* The quantile `part` (0..1) of a histogram, as the upper end of its bucket. 0: the histogram is
 * empty. */
double stats_quantile(const json_t *histogram, double part);

#endif
