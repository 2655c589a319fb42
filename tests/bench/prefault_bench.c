/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prefault_bench PAGES GIB [ROUNDS]: how fast guest memory gets in place, beside a bare loop.
 *
 * PAGES is 4K, 2M or thp. Ours is vmm/placement/ram.c and vmm/placement/prefault.c as the machine
 * uses them, from prefault_start() to prefault_finish(). Bare is the same mapping and a thread a
 * processor, each with its share in one madvise() a 16 MiB, threads made within the time as well.
 * They take turns; the first round is discarded: it measures the machine underneath finding the
 * memory. What disturbs later rounds (that machine taking memory back, other work) only ever slows
 * them, and by a factor, so rates are compared by their upper quartiles. The processors' time tells
 * work from waiting. Ends with 1 when ours is below 0.95 of the bare loop by both.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "vmm/core/addr.h"
#include "vmm/placement/prefault.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define STEP	    (16 * MiB)
#define MAX_ROUNDS  100
#define MAX_THREADS 64

struct share {
	char *at;
	uint64_t size;
	pthread_t thread;
};

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *bare_loop(void *arg)
{
	struct share *s = arg;
	uint64_t at;

	for (at = 0; at < s->size; at += STEP)
		if (madvise(s->at + at, s->size - at < STEP ? s->size - at : STEP,
			    MADV_POPULATE_WRITE) < 0)
			exit(2);
	return NULL;
}

static void run_bare(const struct ram_plan *p, void *ram)
{
	unsigned i, n = (unsigned)get_nprocs() < MAX_THREADS ? (unsigned)get_nprocs() : MAX_THREADS;
	struct share s[MAX_THREADS];
	uint64_t each = align_up(p->size / n, STEP);

	for (i = 0; i < n; i++) {
		uint64_t at = each * i < p->size ? each * i : p->size;

		s[i].at = (char *)ram + at;
		s[i].size = p->size - at < each ? p->size - at : each;
		pthread_create(&s[i].thread, NULL, bare_loop, &s[i]);
	}
	for (i = 0; i < n; i++)
		pthread_join(s[i].thread, NULL);
}

static void run_ours(const struct ram_plan *p, void *ram)
{
	struct error err = { 0 };
	struct prefault *f = prefault_start(p, ram, false, &err);

	if (!f || prefault_finish(f, &err) < 0) {
		fprintf(stderr, "prefault_bench: %s\n", err.text);
		exit(2);
	}
	prefault_free(f);
}

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* GiB a second; adds the processors' seconds to *cpu. */
static double rate(const struct ram_plan *p, void (*run)(const struct ram_plan *, void *),
		   double *cpu)
{
	struct error err = { 0 };
	double begin, end;
	void *ram;
	int file;

	if (ram_map(p, &ram, &file, &err) < 0) {
		fprintf(stderr, "prefault_bench: %s\n", err.text);
		exit(2);
	}
	*cpu -= cpu_seconds();
	begin = seconds();
	run(p, ram);
	end = seconds();
	*cpu += cpu_seconds();
	munmap(ram, p->size);
	return (double)p->size / GiB / (end - begin);
}

static int compare(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

int main(int argc, char **argv)
{
	double ours[MAX_ROUNDS], bare[MAX_ROUNDS], cpu_ours = 0, cpu_bare = 0;
	struct ram_want w = { .prefault = true };
	struct error err = { 0 };
	struct ram_host host;
	struct ram_plan p;
	int i, n = argc > 3 ? atoi(argv[3]) : 10, q = n * 3 / 4;

	if (argc < 3 || n < 1 || n > MAX_ROUNDS) {
		fprintf(stderr, "usage: prefault_bench 4K|2M|thp GIB [ROUNDS]\n");
		return 2;
	}
	w.size = strtoull(argv[2], NULL, 10) * GiB;
	w.pages = !strcmp(argv[1], "2M") ? RAM_2M : !strcmp(argv[1], "4K") ? RAM_4K : RAM_PLAIN;
	ram_look("", &w, &host);
	if (ram_decide(&w, &host, &p, &err) < 0) {
		fprintf(stderr, "prefault_bench: %s\n", err.text);
		return 77;
	}
	for (i = -1; i < n; i++) {
		/* Who goes first alternates. */
		if (i & 1)
			bare[i < 0 ? 0 : i] = rate(&p, run_bare, &cpu_bare);
		ours[i < 0 ? 0 : i] = rate(&p, run_ours, &cpu_ours);
		if (!(i & 1))
			bare[i] = rate(&p, run_bare, &cpu_bare);
		if (i < 0)
			cpu_ours = cpu_bare = 0;
	}
	qsort(ours, (size_t)n, sizeof(ours[0]), compare);
	qsort(bare, (size_t)n, sizeof(bare[0]), compare);
	printf("prefault %3s %2s GiB, %d rounds: ours %.2f GiB/s (%.2f to %.2f), bare %.2f (%.2f "
	       "to "
	       "%.2f), ratio %.3f; CPU seconds a GiB: %.3f and %.3f, ratio %.3f\n",
	       argv[1], argv[2], n, ours[q], ours[0], ours[n - 1], bare[q], bare[0], bare[n - 1],
	       ours[q] / bare[q], cpu_ours / n / (double)(p.size / GiB),
	       cpu_bare / n / (double)(p.size / GiB), cpu_bare / cpu_ours);
	return ours[q] < 0.95 * bare[q] && cpu_bare < 0.95 * cpu_ours;
}
