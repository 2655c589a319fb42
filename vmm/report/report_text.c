/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics as text. In each line the numbers come first and are aligned, the name comes last. In
 * each part the most costly line is on top. Rates count the time since the last print.
 */
#include "vmm/report/report.h"

#include <stdbool.h>
#include <string.h>

#define MAX_ROWS  16
#define MAX_EXITS 64

double stats_number(const json_t *object, const char *key)
{
	double n = json_number_value(json_object_get(object, key));

	return n > 0 ? n : 0;
}

unsigned long long stats_offset(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (unsigned long long)n : 0;
}

const char *stats_string(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

double stats_quantile(const json_t *histogram, double part)
{
	double all = 0, below = 0, end = 1;
	const json_t *v;
	size_t i;

	json_array_foreach(histogram, i, v) all += json_number_value(v);
	json_array_foreach(histogram, i, v)
	{
		below += json_number_value(v);
		if (all > 0 && below >= part * all)
			return end;
		end *= 2;
	}
	return 0;
}

/* ---- a line ---- */

struct rates {
	double seconds;
	bool timed;
};

static void head(FILE *f, const struct rates *r, const char *title, const char *what)
{
	fprintf(f, "\n%s\n  %14s %11s%s  %s\n", title, "count", "/s",
		r->timed ? "     us each" : "", what);
}

/* Prints the numbers of a line; the caller adds the name. */
static void numbers(FILE *f, const struct rates *r, double count, double recent, double ns)
{
	fprintf(f, "  %14.0f %11.1f", count, r->seconds > 0 ? recent / r->seconds : 0);
	if (r->timed)
		fprintf(f, " %11.2f", count > 0 ? ns / count / 1e3 : 0);
	fputs("  ", f);
}

/* ---- exits ---- */

/* Adds a vCPU's {"io": {"count": ...}} to the sum of all. */
static void add_exits(json_t *sum, const json_t *exits)
{
	static const char *const keys[] = { "count", "recent", "ns" };
	const json_t *e;
	const char *name;

	json_object_foreach((json_t *)exits, name, e)
	{
		json_t *o = json_object_get(sum, name);

		if (!o) {
			o = json_object();
			json_object_set_new(sum, name, o);
		}
		for (unsigned i = 0; i < 3; i++)
			json_object_set_new(
				o, keys[i],
				json_real(stats_number(o, keys[i]) + stats_number(e, keys[i])));
	}
}

/* The exit reason that took the most time; if time was not measured, the most frequent one. */
static const char *costliest(const json_t *sum)
{
	const char *name, *most = NULL;
	const json_t *e;
	double cost = -1;

	json_object_foreach((json_t *)sum, name, e)
	{
		/* There are less than 2^52 exits, so the count decides only if the times are equal.
		 */
		double c = stats_number(e, "ns") + stats_number(e, "count") / 0x1p52;

		if (c > cost) {
			cost = c;
			most = name;
		}
	}
	return most;
}

static void print_start(FILE *f, const json_t *phases)
{
	const json_t *p;
	size_t i;

	if (json_array_size(phases))
		fprintf(f, "\nstart\n  %14s  phase\n", "ms");
	json_array_foreach(phases, i, p)
		fprintf(f, "  %14.1f  %s\n", stats_number(p, "ns") / 1e6, stats_string(p, "phase"));
}

static void print_exits(FILE *f, const struct rates *r, const json_t *vcpus)
{
	json_t *sum = json_object();
	const json_t *v, *e;
	const char *name;
	size_t i;

	json_array_foreach(vcpus, i, v) add_exits(sum, json_object_get(v, "exits"));
	head(f, r, "exits to minivmm, all vCPUs", "reason");
	/* A machine has at most VCPU_EXITS reasons, but a file may have millions. */
	for (i = 0; i < MAX_EXITS && (name = costliest(sum)); i++) {
		e = json_object_get(sum, name);
		numbers(f, r, stats_number(e, "count"), stats_number(e, "recent"),
			stats_number(e, "ns"));
		fprintf(f, "%s\n", name);
		json_object_del(sum, name);
	}
	json_decref(sum);
}

/* Prints those of KVM's counters that tell why a guest is slow. The JSON has all of them. */
static void print_kernel(FILE *f, const struct rates *r, const json_t *vcpus)
{
	static const char *const name[] = {
		"exits",    "halt_exits",     "irq_exits", "irq_window_exits", "mmio_exits",
		"io_exits", "insn_emulation", "pf_taken",  "irq_injections"
	};
	struct rates untimed = { .seconds = r->seconds };
	const json_t *v;
	size_t i;

	head(f, &untimed, "in the kernel, all vCPUs", "KVM's name");
	for (unsigned k = 0; k < sizeof(name) / sizeof(name[0]); k++) {
		double count = 0, recent = 0;

		json_array_foreach(vcpus, i, v)
		{
			count += stats_number(json_object_get(v, "kernel"), name[k]);
			recent += stats_number(json_object_get(v, "kernel_recent"), name[k]);
		}
		if (count > 0) {
			numbers(f, &untimed, count, recent, 0);
			fprintf(f, "%s\n", name[k]);
		}
	}
}

/* ---- trapped accesses ---- */

/* Prints "0x2f00" or "0x2000-0x240c (98 % at 0x2f00)". */
static void print_range(FILE *f, const json_t *t)
{
	unsigned long long first = stats_offset(t, "first"), last = stats_offset(t, "last"), at = 0;
	double most = 0;
	const json_t *reg;
	size_t i;

	fprintf(f, "0x%llx", first);
	if (last <= first)
		return;
	json_array_foreach(json_object_get(t, "registers"), i, reg)
	{
		double n = stats_number(reg, "reads") + stats_number(reg, "writes");

		if (n > most) {
			most = n;
			at = stats_offset(reg, "offset");
		}
	}
	fprintf(f, "-0x%llx", last);
	if (stats_number(t, "count") > 0)
		fprintf(f, " (%.0f %% at 0x%llx)", 100 * most / stats_number(t, "count"), at);
}

static void print_traps(FILE *f, const struct rates *r, const json_t *traps)
{
	double left = 0;
	const json_t *t;
	size_t i;

	head(f, r, "trapped accesses", "where, and why");
	json_array_foreach(traps, i, t)
	{
		const char *where = stats_string(t, "where"), *cause = stats_string(t, "cause");

		if (i >= MAX_ROWS) {
			left += stats_number(t, "count");
			continue;
		}
		numbers(f, r, stats_number(t, "count"), stats_number(t, "recent"),
			stats_number(t, "ns"));
		fprintf(f, "%s%s%s ", stats_string(t, "device"), *where ? " " : "", where);
		print_range(f, t);
		fprintf(f, "%s%s\n", *cause ? ": " : "", cause);
	}
	if (left > 0)
		fprintf(f, "  %14.0f  in %zu places more\n", left, i - MAX_ROWS);
}

/* ---- interrupts, devices ---- */

static void print_irqs(FILE *f, const json_t *irqs)
{
	const json_t *q;
	size_t i;

	if (json_array_size(irqs))
		fprintf(f, "\ninterrupts\n  %14s  which, and who injects them\n", "count");
	json_array_foreach(irqs, i, q)
	{
		if (json_object_get(q, "count"))
			fprintf(f, "  %14.0f", stats_number(q, "count"));
		else
			fprintf(f, "  %14s", "?");
		fprintf(f, "  %s %s %.0f: %s\n", stats_string(q, "device"), stats_string(q, "kind"),
			stats_number(q, "vector"), stats_string(q, "path"));
	}
}

static void print_device(FILE *f, const json_t *d)
{
	const json_t *value;
	const char *name;
	int n = 0;

	fprintf(f, "  %s %s:", stats_string(d, "kind"), stats_string(d, "name"));
	json_object_foreach(json_object_get(d, "counters"), name, value)
	{
		if (json_number_value(value) > 0)
			fprintf(f, "%s %s %.0f", n++ ? "," : "", name, json_number_value(value));
	}
	if (!n)
		fputs(" idle", f);
	json_object_foreach(json_object_get(d, "histograms"), name, value)
	{
		if (json_array_size(value))
			fprintf(f, "\n      %s: half below %.0f, 99 %% below %.0f", name,
				stats_quantile(value, 0.5), stats_quantile(value, 0.99));
	}
	fputc('\n', f);
}

void report_text(FILE *f, const json_t *s)
{
	struct rates r = { .seconds = stats_number(s, "recent_seconds"),
			   .timed = json_is_true(json_object_get(s, "timed")) };
	const json_t *devices = json_object_get(s, "devices"), *d;
	size_t i;

	fprintf(f, "%s after %.1f s%s", stats_string(s, "program"), stats_number(s, "seconds"),
		r.timed ? "" : " (--stats adds times)");
	if (r.seconds < stats_number(s, "seconds"))
		fprintf(f, "; rates of the last %.1f s", r.seconds);
	fputc('\n', f);
	print_start(f, json_object_get(s, "start"));
	print_exits(f, &r, json_object_get(s, "vcpus"));
	print_kernel(f, &r, json_object_get(s, "vcpus"));
	print_traps(f, &r, json_object_get(s, "traps"));
	print_irqs(f, json_object_get(s, "interrupts"));
	if (json_array_size(devices))
		fputs("\ndevices\n", f);
	json_array_foreach(devices, i, d) print_device(f, d);
	fflush(f);
}
