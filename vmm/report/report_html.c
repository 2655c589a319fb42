/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics as a page: one file of HTML with its plots as inline SVG; no scripts, nothing loaded.
 *
 * The JSON may be anybody's. Members of the wrong type count as absent, text is escaped and cut,
 * tables and plots are bounded, so the page is well-formed and of bounded size whatever comes in.
 */
#include "vmm/report/report.h"

#include <float.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vmm/core/addr.h"

#define MAX_ROWS    200 /* of a table */
#define MAX_BARS    24	/* of a plot */
#define MAX_BUCKETS 64
#define MAX_TEXT    160 /* bytes of a string */
#define WIDTH	    900
#define BAR_X	    420
#define BAR_WIDTH   300
#define ROW	    22
#define COLUMN	    22
#define HEIGHT	    90

static const char style[] =
	"body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
	"color:#222;background:#fff}\n"
	"h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}h3{font-size:1rem}\n"
	"table{border-collapse:collapse;font-size:13px}td,th{padding:.15rem .6rem;text-align:right;"
	"border-bottom:1px solid #8884}\n"
	"th:first-child,td:first-child,.l{text-align:left}svg{max-width:100%;height:auto}\n"
	"svg text{font:12px system-ui,sans-serif;fill:currentColor}rect{fill:#3a7ca5}"
	"rect.hot{fill:#c8553d}\n"
	"p.note{color:#777}details{font-size:13px;margin:.2rem 0}\n"
	"@media(prefers-color-scheme:dark){body{color:#ddd;background:#16181c}}\n";

/* ---- text and numbers ---- */

static void put_text(FILE *f, const char *s)
{
	static const struct {
		char c;
		const char *entity;
	} escape[] = { { '&', "&amp;" },
		       { '<', "&lt;" },
		       { '>', "&gt;" },
		       { '"', "&quot;" },
		       { '\'', "&#39;" } };
	unsigned n = 0, i;

	/* Cut before a character, never within: 10xxxxxx continues one (RFC 3629, 3). */
	for (; *s && (n < MAX_TEXT || (*s & 0xc0) == 0x80); s++, n++) {
		for (i = 0; i < ARRAY_SIZE(escape) && escape[i].c != *s; i++)
			;
		if (i < ARRAY_SIZE(escape))
			fputs(escape[i].entity, f);
		else
			fputc((unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s, f);
	}
	if (*s)
		fputs("...", f);
}

static double finite_or_0(double v)
{
	return v > 0 && v <= DBL_MAX ? v : 0;
}

static double at_most(double v, double max)
{
	return v < max ? v : max;
}

static double at_least(double v, double min)
{
	return v > min ? v : min;
}

static double ratio(double a, double b)
{
	return b > 0 ? finite_or_0(a / b) : 0;
}

static void put_number(FILE *f, double v)
{
	v = finite_or_0(v);
	fprintf(f, v < 1e15 && v == (double)(uint64_t)v ? "%.0f" : "%.3g", v);
}

static void cell(FILE *f, double v)
{
	fputs("<td>", f);
	put_number(f, v);
	fputs("</td>", f);
}

static void text_cell(FILE *f, const char *s)
{
	fputs("<td class=\"l\">", f);
	put_text(f, s);
	fputs("</td>", f);
}

/* Nanoseconds with a unit. */
static void put_time(FILE *f, double ns)
{
	static const char *const unit[] = { "ns", "\xc2\xb5s", "ms", "s" };
	unsigned i;

	for (i = 0; i < 3 && ns >= 1000; i++)
		ns /= 1000;
	fprintf(f, "%.3g %s", finite_or_0(ns), unit[i]);
}

/* ---- plots ---- */

static void svg_open(FILE *f, unsigned width, unsigned height)
{
	fprintf(f, "<svg viewBox=\"0 0 %u %u\" width=\"%u\" height=\"%u\" role=\"img\">\n", width,
		height, width, height);
}

/* One row of a plot: the label's parts, a bar, and the caller's note. */
struct bar {
	const char *label[3];
	double value, max;
	bool hot;
};

static void bar_open(FILE *f, unsigned row, const struct bar *b)
{
	double width = BAR_WIDTH * at_most(ratio(b->value, b->max), 1);
	unsigned y = row * ROW, i;

	fprintf(f, "<text x=\"0\" y=\"%u\">", y + 15);
	for (i = 0; i < 3 && b->label[i]; i++) {
		put_text(f, b->label[i]);
		fputc(' ', f);
	}
	fprintf(f, "</text><rect%s x=\"%u\" y=\"%u\" width=\"%.1f\" height=\"%u\"/>",
		b->hot ? " class=\"hot\"" : "", BAR_X, y + 3, at_least(width, 1), ROW - 6);
	fprintf(f, "<text x=\"%.1f\" y=\"%u\">", BAR_X + width + 6, y + 15);
}

static void bar_close(FILE *f)
{
	fputs("</text>\n", f);
}

static double largest(const json_t *array, const char *key)
{
	const json_t *v;
	double max = 0;
	size_t i;

	json_array_foreach(array, i, v)
		max = at_least(max, finite_or_0(key ? stats_number(v, key) : json_number_value(v)));
	return max;
}

/* A column a bucket; bucket i ends at 2^i. */
static void histogram(FILE *f, const char *name, const json_t *h)
{
	size_t n = json_array_size(h), i;
	double max = largest(h, NULL), end = 1;
	bool ns = strlen(name) > 3 && strcmp(name + strlen(name) - 3, "_ns") == 0;

	if (max <= 0)
		return;
	n = n < MAX_BUCKETS ? n : MAX_BUCKETS;
	fputs("<h3>", f);
	put_text(f, name);
	fputs("</h3>\n", f);
	svg_open(f, (unsigned)n * COLUMN + 60, HEIGHT + 20);
	for (i = 0; i < n; i++, end *= 2) {
		double v = finite_or_0(json_number_value(json_array_get(h, i)));
		double height = HEIGHT * at_most(ratio(v, max), 1);

		fprintf(f, "<rect x=\"%zu\" y=\"%.1f\" width=\"%u\" height=\"%.1f\"><title>below ",
			i * COLUMN, HEIGHT - height, COLUMN - 3, height);
		ns ? put_time(f, end) : put_number(f, end);
		fputs(": ", f);
		put_number(f, v);
		fputs("</title></rect>", f);
		if (i % 4 != 0)
			continue;
		fprintf(f, "<text x=\"%zu\" y=\"%u\">&lt; ", i * COLUMN, HEIGHT + 15);
		ns ? put_time(f, end) : put_number(f, end);
		fputs("</text>\n", f);
	}
	fputs("</svg>\n", f);
}

/* ---- parts of the page ---- */

static void heading(FILE *f, const char *text)
{
	fprintf(f, "<h2>%s</h2>\n", text);
}

static void left_out(FILE *f, size_t all)
{
	if (all > MAX_ROWS)
		fprintf(f, "<p class=\"note\">%zu more are not shown.</p>\n", all - MAX_ROWS);
}

static void start(FILE *f, const json_t *phases)
{
	size_t n = json_array_size(phases), i;
	const json_t *p;

	if (!n)
		return;
	heading(f, "Start");
	svg_open(f, WIDTH, (unsigned)(n < MAX_BARS ? n : MAX_BARS) * ROW);
	json_array_foreach(phases, i, p)
	{
		if (i == MAX_BARS)
			break;
		bar_open(f, (unsigned)i,
			 &(struct bar){ { stats_string(p, "phase") },
					stats_number(p, "ns"),
					largest(phases, "ns"),
					false });
		put_time(f, stats_number(p, "ns"));
		bar_close(f);
	}
	fputs("</svg>\n", f);
}

/* Sums {"io": {"count": ...}} or {"exits": 5} of all vCPUs. */
static json_t *sum_up(const json_t *vcpus, const char *member, const char *key)
{
	json_t *sum = json_object();
	const json_t *v, *e;
	const char *name;
	size_t i;

	json_array_foreach(vcpus, i, v)
	{
		json_object_foreach(json_object_get(v, member), name, e)
		{
			double n = key ? stats_number(e, key) : json_number_value(e);

			if (json_object_size(sum) < MAX_ROWS || json_object_get(sum, name))
				json_object_set_new(
					sum, name,
					json_real(finite_or_0(stats_number(sum, name) + n)));
		}
	}
	return sum;
}

static void exit_bars(FILE *f, const json_t *counts, const json_t *times, double seconds)
{
	const json_t *value;
	const char *name;
	double max = 0;
	unsigned row = 0;

	json_object_foreach((json_t *)counts, name, value)
		max = at_least(max, json_number_value(value));
	svg_open(f, WIDTH, ROW * (unsigned)at_most((double)json_object_size(counts), MAX_BARS));
	json_object_foreach((json_t *)counts, name, value)
	{
		double n = json_number_value(value);

		if (row == MAX_BARS)
			break;
		bar_open(f, row++, &(struct bar){ { name }, n, max, false });
		put_number(f, n);
		fputs(", ", f);
		put_number(f, ratio(n, seconds));
		fputs("/s", f);
		if (stats_number(times, name) > 0) {
			fputs(", ", f);
			put_time(f, ratio(stats_number(times, name), n));
			fputs(" each", f);
		}
		bar_close(f);
	}
	fputs("</svg>\n", f);
}

/* A row a vCPU, a column a reason. */
static void exit_table(FILE *f, const json_t *counts, const json_t *vcpus)
{
	const json_t *v, *value;
	const char *name;
	size_t i;

	fputs("<details><summary>by vCPU</summary><table><tr><th>vCPU</th>", f);
	json_object_foreach((json_t *)counts, name, value)
	{
		fputs("<th>", f);
		put_text(f, name);
		fputs("</th>", f);
	}
	fputs("<th>all, also in the kernel</th></tr>\n", f);
	json_array_foreach(vcpus, i, v)
	{
		if (i == MAX_ROWS)
			break;
		fputs("<tr>", f);
		cell(f, stats_number(v, "vcpu"));
		json_object_foreach((json_t *)counts, name, value)
			cell(f, stats_number(json_object_get(json_object_get(v, "exits"), name),
					     "count"));
		cell(f, stats_number(json_object_get(v, "kernel"), "exits"));
		fputs("</tr>\n", f);
	}
	fputs("</table></details>\n", f);
	left_out(f, json_array_size(vcpus));
}

static void exits(FILE *f, const json_t *vcpus, double seconds)
{
	json_t *counts = sum_up(vcpus, "exits", "count"), *times = sum_up(vcpus, "exits", "ns");

	heading(f, "Exits to minivmm");
	exit_bars(f, counts, times, seconds);
	exit_table(f, counts, vcpus);
	json_decref(counts);
	json_decref(times);
}

static void kernel(FILE *f, const json_t *vcpus, double seconds)
{
	json_t *counts = sum_up(vcpus, "kernel", NULL);
	const json_t *value;
	const char *name;

	heading(f, "In the kernel (KVM's names)");
	fputs("<details open><summary>all vCPUs</summary><table><tr><th>name</th><th>count</th>"
	      "<th>per second</th></tr>\n",
	      f);
	json_object_foreach(counts, name, value)
	{
		double n = json_number_value(value);

		if (n <= 0)
			continue;
		fputs("<tr>", f);
		text_cell(f, name);
		cell(f, n);
		cell(f, ratio(n, seconds));
		fputs("</tr>\n", f);
	}
	fputs("</table></details>\n", f);
	json_decref(counts);
}

static void trap_bars(FILE *f, const json_t *traps, const char *key)
{
	size_t n = json_array_size(traps), i;
	double max = largest(traps, key);
	const json_t *t;

	svg_open(f, WIDTH, ROW * (unsigned)(n < MAX_BARS ? n : MAX_BARS));
	json_array_foreach(traps, i, t)
	{
		char at[32];

		if (i == MAX_BARS)
			break;
		snprintf(at, sizeof(at), "0x%llx", stats_offset(t, "first"));
		bar_open(f, (unsigned)i,
			 &(struct bar){ { stats_string(t, "device"), stats_string(t, "where"), at },
					stats_number(t, key),
					max,
					strstr(stats_string(t, "where"), "BAR") != NULL });
		put_number(f, stats_number(t, "count"));
		if (key[0] == 'n') {
			fputs(", ", f);
			put_time(f, stats_number(t, "ns"));
		}
		bar_close(f);
	}
	fputs("</svg>\n", f);
}

static void registers(FILE *f, const json_t *t)
{
	const json_t *list = json_object_get(t, "registers"), *r;
	size_t i;

	fprintf(f, "<td class=\"l\"><details><summary>%zu</summary>", json_array_size(list));
	json_array_foreach(list, i, r)
	{
		if (i == MAX_BUCKETS)
			break;
		fprintf(f, "0x%llx: ", stats_offset(r, "offset"));
		put_number(f, stats_number(r, "reads"));
		fputs(" r, ", f);
		put_number(f, stats_number(r, "writes"));
		fputs(" w<br>", f);
	}
	fputs("</details></td>", f);
}

static void traps(FILE *f, const json_t *list, double seconds, bool timed)
{
	const json_t *t;
	size_t i;

	heading(f, "Trapped accesses");
	fprintf(f, "<p class=\"note\">By %s; red: BARs.</p>\n",
		timed ? "the time that they took" : "number");
	trap_bars(f, list, timed ? "ns" : "count");
	fputs("<table><tr><th>device</th><th class=\"l\">where</th><th class=\"l\">cause</th>"
	      "<th>reads</th><th>writes</th><th>per second</th><th>\xc2\xb5s each</th>"
	      "<th>registers</th></tr>\n",
	      f);
	json_array_foreach(list, i, t)
	{
		double n = stats_number(t, "count");

		if (i == MAX_ROWS)
			break;
		fputs("<tr>", f);
		text_cell(f, stats_string(t, "device"));
		text_cell(f, stats_string(t, "where"));
		text_cell(f, stats_string(t, "cause"));
		cell(f, stats_number(t, "reads"));
		cell(f, stats_number(t, "writes"));
		cell(f, ratio(n, seconds));
		cell(f, ratio(stats_number(t, "ns"), n * 1e3));
		registers(f, t);
		fputs("</tr>\n", f);
	}
	fputs("</table>\n", f);
	left_out(f, json_array_size(list));
}

static void interrupts(FILE *f, const json_t *list, double seconds)
{
	const json_t *q;
	size_t i;

	if (!json_array_size(list))
		return;
	heading(f, "Interrupts");
	fputs("<table><tr><th>device</th><th>kind</th><th>vector</th><th>count</th>"
	      "<th>per second</th><th class=\"l\">path</th></tr>\n",
	      f);
	json_array_foreach(list, i, q)
	{
		if (i == MAX_ROWS)
			break;
		fputs("<tr>", f);
		text_cell(f, stats_string(q, "device"));
		text_cell(f, stats_string(q, "kind"));
		cell(f, stats_number(q, "vector"));
		if (json_object_get(q, "count"))
			cell(f, stats_number(q, "count"));
		else
			text_cell(f, "?");
		cell(f, ratio(stats_number(q, "count"), seconds));
		text_cell(f, stats_string(q, "path"));
		fputs("</tr>\n", f);
	}
	fputs("</table>\n", f);
	left_out(f, json_array_size(list));
}

static void device(FILE *f, const json_t *d)
{
	const json_t *value;
	const char *name;
	unsigned n = 0;

	fputs("<h3>", f);
	put_text(f, stats_string(d, "kind"));
	fputc(' ', f);
	put_text(f, stats_string(d, "name"));
	fputs("</h3>\n<p>", f);
	json_object_foreach(json_object_get(d, "counters"), name, value)
	{
		if (json_number_value(value) <= 0 || n == MAX_BUCKETS)
			continue;
		fputs(n++ ? ", " : "", f);
		put_text(f, name);
		fputc(' ', f);
		put_number(f, json_number_value(value));
	}
	fprintf(f, "%s</p>\n", n ? "" : "idle");
	n = 0;
	json_object_foreach(json_object_get(d, "histograms"), name, value) if (n++ < MAX_BARS)
		histogram(f, name, value);
}

void report_html(FILE *f, const json_t *s)
{
	double seconds = stats_number(s, "seconds");
	const json_t *devices = json_object_get(s, "devices"), *d;
	const char *name = stats_string(s, "name");
	size_t i;

	fprintf(f,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<title>minivmm: what it cost</title>\n<style>\n%s</style></head><body>\n<h1>",
		style);
	put_text(f, *name ? name : "A machine");
	fputs(": what it cost</h1>\n<p class=\"note\">", f);
	put_text(f, stats_string(s, "program"));
	fprintf(f, ", after %.1f s</p>\n", finite_or_0(seconds));
	start(f, json_object_get(s, "start"));
	exits(f, json_object_get(s, "vcpus"), seconds);
	traps(f, json_object_get(s, "traps"), seconds, json_is_true(json_object_get(s, "timed")));
	interrupts(f, json_object_get(s, "interrupts"), seconds);
	if (json_array_size(devices))
		heading(f, "Devices");
	json_array_foreach(devices, i, d) if (i < MAX_ROWS) device(f, d);
	left_out(f, json_array_size(devices));
	kernel(f, json_object_get(s, "vcpus"), seconds);
	fputs("</body></html>\n", f);
}
