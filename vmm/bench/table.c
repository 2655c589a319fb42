/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the results for people and for programs, together with a description of the host: a figure
 * from a virtual machine must not be taken for a figure of real hardware.
 *
 * Threads: main.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bench/bench.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/version.h"

#define HYPERVISOR_BIT	   (1u << 31) /* CPUID 1, ECX */
#define HYPERVISOR_LEAF	   0x40000000u
#define INVARIANT_TSC_LEAF 0x80000007u
#define INVARIANT_TSC	   (1u << 8) /* EDX */

/* ---- the environment ---- */

/* The first line of a file, up to the first character that is not printable; "" if the file cannot
 * be read. */
static void first_line(const char *root, const char *path, char *out, size_t size)
{
	hostfs_line(root, out, size, "%s", path);
	while (*out >= ' ' && *out <= '~')
		out++;
	*out = '\0';
}

static void look_at_cpu(struct bench_about *a)
{
	uint32_t r[4] = { 0 };

	__cpuid(1, r[0], r[1], r[2], r[3]);
	a->virtual = r[2] & HYPERVISOR_BIT;
	if (a->virtual) {
		__cpuid(HYPERVISOR_LEAF, r[0], r[1], r[2], r[3]);
		memcpy(a->hypervisor, &r[1], 12);
	}
	if (__get_cpuid(INVARIANT_TSC_LEAF, &r[0], &r[1], &r[2], &r[3]))
		a->constant = r[3] & INVARIANT_TSC;
}

static void look_at_kvm(const char *root, struct bench_about *a)
{
	static const char *const option[] = { "avic", "enable_apicv" };
	static const char *const path[] = { "/sys/module/kvm_amd/parameters/avic",
					    "/sys/module/kvm_intel/parameters/enable_apicv" };
	char value[8];
	unsigned i;

	for (i = 0; i < 2; i++) {
		first_line(root, path[i], value, sizeof(value));
		if (value[0])
			snprintf(a->interrupts, sizeof(a->interrupts), "%s=%s", option[i], value);
	}
}

void bench_look_around(const char *root, struct bench_about *a)
{
	char vendor[64], product[64], xen[16];

	look_at_cpu(a);
	look_at_kvm(root, a);
	/* A Xen domain is virtual even if CPUID does not have the hypervisor bit. */
	first_line(root, "/sys/hypervisor/type", xen, sizeof(xen));
	if (xen[0] && !a->virtual) {
		a->virtual = true;
		memcpy(a->hypervisor, xen, strnlen(xen, sizeof(a->hypervisor) - 1));
	}
	first_line(root, "/sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor));
	first_line(root, "/sys/class/dmi/id/product_name", product, sizeof(product));
	snprintf(a->machine, sizeof(a->machine), "%s%s%s", vendor, vendor[0] ? " " : "", product);
	first_line(root, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		   a->clocksource, sizeof(a->clocksource));
}

/* ---- statistics ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct bench_summary bench_summarize(uint32_t *samples, uint32_t n)
{
	if (n == 0)
		return (struct bench_summary){ 0 };
	qsort(samples, n, sizeof(*samples), by_value);
	return (struct bench_summary){
		.min = samples[0],
		.median = samples[(n + 1) / 2 - 1],
		.p99 = samples[((uint64_t)n * 99 + 99) / 100 - 1],
		.max = samples[n - 1],
	};
}

/* ---- text ---- */

struct usec {
	double min, median, p99, max;
};

static struct usec in_usec(const struct bench_about *a, struct bench_result *r)
{
	struct bench_summary s = bench_summarize(r->samples, r->n);
	double us = 1e6 / a->hz;

	return (struct usec){ s.min * us, s.median * us, s.p99 * us, s.max * us };
}

static double mib_per_second(const struct bench_row *row, const struct usec *t)
{
	return t->median > 0 ? row->bytes / t->median * 1e6 / (double)MiB : 0;
}

static double per_op(const struct bench_row *row, const struct bench_result *r, uint64_t n)
{
	return (double)n / ((double)r->n * row->ops);
}

static void print_line(FILE *f, const struct bench_row *row, const char *where,
		       const struct bench_result *r, const struct usec *t)
{
	double mib = mib_per_second(row, t);

	fprintf(f, "%-27s %-5s %5u %10.2f %10.2f %10.2f %10.2f", where[0] == 'h' ? row->name : "",
		where, r->n, t->min, t->median, t->p99, t->max);
	if (row->bytes)
		fprintf(f, " %8.*f", mib < 100 ? 2 : 0, mib);
	else if (r->exits.known)
		fprintf(f, " %8s", "");
	if (r->exits.known)
		fprintf(f, " %8.2f %10.2f", per_op(row, r, r->exits.all),
			per_op(row, r, r->exits.user));
	fputc('\n', f);
}

static void print_series(FILE *f, const struct bench_about *a, unsigned i,
			 struct bench_results *host, struct bench_results *guest)
{
	struct usec h, g;

	if (!host->series[i].n || !guest->series[i].n)
		return;
	h = in_usec(a, &host->series[i]);
	g = in_usec(a, &guest->series[i]);
	print_line(f, &bench_rows[i], "host", &host->series[i], &h);
	print_line(f, &bench_rows[i], "guest", &guest->series[i], &g);
	fprintf(f, "%-39s %+10.2f %+10.2f %+10.2f\n", "  passthrough costs", g.min - h.min,
		g.median - h.median, g.p99 - h.p99);
}

static void print_about(FILE *f, const struct bench_about *a)
{
	fprintf(f, "device   %s %04x:%04x, %s\n", a->bdf, a->id & 0xffff, a->id >> 16,
		a->driver ? a->driver : "no driver for it here: configuration space only");
	if (a->virtual)
		fprintf(f, "machine  virtual (%s; %s): these are not the times of hardware\n",
			a->hypervisor[0] ? a->hypervisor : "unnamed hypervisor", a->machine);
	else
		fprintf(f, "machine  bare metal, as far as CPUID says; %s\n", a->machine);
	fprintf(f, "clock    TSC, %.3f MHz over this run%s; the kernel's clock is %s\n",
		a->hz / 1e6, a->constant ? "" : " (CPUID promises no constant rate)",
		a->clocksource);
	if (a->interrupts[0])
		fprintf(f, "KVM      %s: %s\n", a->interrupts,
			strpbrk(a->interrupts, "Y1")
				? "interrupts may reach a running guest without an exit"
				: "each interrupt of a running guest is an exit");
}

void bench_print(FILE *f, const struct bench_about *a, struct bench_results *host,
		 struct bench_results *guest)
{
	unsigned i;

	print_about(f, a);
	fprintf(f, "\n%-27s %-5s %5s %10s %10s %10s %10s %8s %8s %10s\n", "microseconds", "", "n",
		"min", "median", "p99", "max", "MiB/s", "exits/op", "to minivmm");
	for (i = 0; i < BENCH_SERIES; i++)
		print_series(f, a, i, host, guest);
}

/* ---- JSON ---- */

static json_t *json_side(const struct bench_about *a, const struct bench_row *row,
			 struct bench_result *r)
{
	struct usec t = in_usec(a, r);
	json_t *j = json_pack("{s:i, s:f, s:f, s:f, s:f}", "samples", (int)r->n, "min", t.min,
			      "median", t.median, "p99", t.p99, "max", t.max);

	if (r->exits.known) {
		json_object_set_new(j, "exits", json_real(per_op(row, r, r->exits.all)));
		json_object_set_new(j, "exits_to_process",
				    json_real(per_op(row, r, r->exits.user)));
	}
	return j;
}

static json_t *json_series(const struct bench_about *a, struct bench_results *host,
			   struct bench_results *guest)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < BENCH_SERIES; i++) {
		const struct bench_row *row = &bench_rows[i];

		if (host->series[i].n && guest->series[i].n)
			json_array_append_new(all, json_pack("{s:s, s:i, s:i, s:o, s:o}", "name",
							     row->name, "operations", (int)row->ops,
							     "bytes", (int)row->bytes, "host",
							     json_side(a, row, &host->series[i]),
							     "guest",
							     json_side(a, row, &guest->series[i])));
	}
	return all;
}

json_t *bench_json(const struct bench_about *a, struct bench_results *host,
		   struct bench_results *guest)
{
	char vendor[8], device[8], class_code[12];

	snprintf(vendor, sizeof(vendor), "0x%04x", a->id & 0xffff);
	snprintf(device, sizeof(device), "0x%04x", a->id >> 16);
	snprintf(class_code, sizeof(class_code), "0x%06x", a->class_code & 0xffffff);
	return json_pack("{s:s, s:i, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s?},"
			 " s:{s:b, s:s, s:s, s:f, s:b, s:s, s:s}, s:o}",
			 "format", "minivmm-bench-passthrough", "version", 1, "program",
			 MINIVMM_VERSION, "unit", "microseconds", "device", "address", a->bdf,
			 "vendor", vendor, "device", device, "class", class_code, "driver",
			 a->driver, "machine", "virtual", (int)a->virtual, "hypervisor",
			 a->hypervisor, "name", a->machine, "tsc_hz", a->hz, "tsc_constant",
			 (int)a->constant, "clocksource", a->clocksource, "kvm", a->interrupts,
			 "series", json_series(a, host, guest));
}
