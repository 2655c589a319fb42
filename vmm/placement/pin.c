/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU lists, the host's processors, and the choice among them. See the kernel's
 * Documentation/admin-guide/cputopology.rst and sched_setaffinity(2).
 *
 * Threads: any; no state.
 */
#include "vmm/placement/pin.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/text.h"

#define SYS_CPU	  "/sys/devices/system/cpu"
#define LIST_SIZE 4096 /* a file of sysfs has at most one page */

/* ---- lists ---- */

int pin_list_parse(const char *list, unsigned *cpu, unsigned max)
{
	unsigned first, last;
	int n = 0, ret;

	while ((ret = text_range(&list, PIN_CPUS, &first, &last)) > 0) {
		for (; first <= last && n < INT_MAX; first++, n++)
			if ((unsigned)n < max)
				cpu[n] = first;
	}
	return ret < 0 || n == 0 ? -EINVAL : n;
}

void pin_list_print(const struct pin_mask *m, char *buf, size_t size)
{
	unsigned first = 0, end;
	size_t n = 0;

	buf[0] = '\0';
	for (; first < PIN_CPUS && n < size; first = end + 1) {
		for (end = first; pin_has(m, end); end++)
			;
		if (end == first)
			continue;
		n += (size_t)snprintf(buf + n, size - n, end - first > 1 ? "%s%u-%u" : "%s%u",
				      n ? "," : "", first, end - 1);
	}
}

/* ---- the host ---- */

/* Reads a CPU list from sysfs. An absent or empty file gives an empty mask. */
static void read_mask(struct pin_mask *m, const char *root, const char *fmt, unsigned i)
{
	char name[128], buf[LIST_SIZE];
	unsigned first, last;
	const char *s = buf;

	*m = (struct pin_mask){ 0 };
	snprintf(name, sizeof(name), fmt, i);
	hostfs_line(root, buf, sizeof(buf), "%s", name);
	while (text_range(&s, PIN_CPUS, &first, &last) > 0)
		for (; first <= last; first++)
			pin_add(m, first);
}

int pin_read(const char *root, int node, struct pin_host *h, struct error *err)
{
	*h = (struct pin_host){ 0 };
	read_mask(&h->present, root, SYS_CPU "/present", 0);
	read_mask(&h->online, root, SYS_CPU "/online", 0);
	read_mask(&h->isolated, root, SYS_CPU "/isolated", 0);
	if (node >= 0)
		read_mask(&h->node, root, "/sys/devices/system/node/node%u/cpulist",
			  (unsigned)node);
	if (pin_count(&h->online) == 0)
		return error_set(err, -ENOENT,
				 "%s" SYS_CPU "/online cannot be read: mount sysfs on /sys", root);
	return 0;
}

int pin_allowed(struct pin_host *h, struct error *err)
{
	struct pin_mask here = { 0 };
	unsigned i;

	if (sched_getaffinity(0, sizeof(h->affinity), h->affinity.s) < 0)
		return error_set(err, -errno, "sched_getaffinity: %s", strerror(errno));
	h->allowed = h->affinity;
	for (i = 0; i < PIN_CPUS; i++)
		if (pin_has(&h->online, i) && !pin_has(&h->isolated, i) &&
		    !pin_has(&h->affinity, i))
			return 0;
	/* The kernel removes the CPUs that the cgroup's cpuset forbids. If it forbids all of them,
	 * the call fails. */
	if (sched_setaffinity(0, sizeof(h->isolated), h->isolated.s) == 0 &&
	    sched_getaffinity(0, sizeof(here), here.s) == 0)
		CPU_OR_S(sizeof(here), h->allowed.s, h->affinity.s, here.s);
	return 0;
}

static int check_one(const struct pin_host *h, unsigned cpu, struct error *err)
{
	char list[200];

	if (!pin_has(&h->present, cpu)) {
		pin_list_print(&h->present, list, sizeof(list));
		return error_set(err, -ENODEV, "CPU %u does not exist: this host has %s", cpu,
				 list);
	}
	if (!pin_has(&h->online, cpu))
		return error_set(err, -ENODEV,
				 "CPU %u is offline: echo 1 > " SYS_CPU "/cpu%u/online", cpu, cpu);
	if (!pin_has(&h->allowed, cpu)) {
		pin_list_print(&h->allowed, list, sizeof(list));
		return error_set(err, -EPERM,
				 "CPU %u is not allowed for this process, which may use %s: choose "
				 "from those, or see taskset -p and the cpuset of its cgroup",
				 cpu, list);
	}
	return 0;
}

int pin_check(const struct pin_host *h, const unsigned *cpu, unsigned n, struct error *err)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < n && ret == 0; i++)
		ret = check_one(h, cpu[i], err);
	return ret;
}

/* ---- the choice ---- */

struct candidate {
	unsigned rank, core; /* core: its lowest CPU */
	unsigned nth;	     /* how many usable threads of its core have a lower number */
	unsigned cpu;
	bool taken;
};

/* The sort order: by rank, then by number. If threads are not kept together (threads is 1), the
 * first threads of all cores of a rank come before the second ones. */
static uint64_t key(const struct candidate *c, unsigned threads)
{
	return (uint64_t)c->rank << 48 | (uint64_t)(threads > 1 ? 0 : c->nth) << 32 |
	       c->core << 16 | c->cpu;
}

static int compare(const void *va, const void *vb, void *threads)
{
	uint64_t a = key(va, *(unsigned *)threads), b = key(vb, *(unsigned *)threads);

	return a < b ? -1 : a > b;
}

static bool usable(const struct pin_host *h, unsigned cpu)
{
	return pin_has(&h->allowed, cpu) && pin_has(&h->online, cpu);
}

static bool in_node(const struct pin_host *h, unsigned cpu)
{
	return pin_count(&h->node) == 0 || pin_has(&h->node, cpu);
}

/* Sets c->core to the lowest CPU of the core, usable or not, and c->nth to the number of usable
 * threads of the core that come before this one. */
static void find_core(const char *root, const struct pin_host *h, struct candidate *c)
{
	struct pin_mask siblings;
	unsigned i;

	read_mask(&siblings, root, SYS_CPU "/cpu%u/topology/thread_siblings_list", c->cpu);
	c->core = c->cpu;
	for (i = c->cpu; i-- > 0;) {
		if (!pin_has(&siblings, i))
			continue;
		c->core = i;
		c->nth += usable(h, i);
	}
}

static unsigned collect(const char *root, const struct pin_host *h, struct candidate *c)
{
	unsigned cpu, n = 0, i, busiest = PIN_CPUS;

	for (cpu = 0; cpu < PIN_CPUS; cpu++) {
		if (!usable(h, cpu))
			continue;
		c[n] = (struct candidate){ .cpu = cpu };
		find_core(root, h, &c[n]);
		if (busiest == PIN_CPUS && !pin_has(&h->isolated, cpu))
			busiest = c[n].core;
		n++;
	}
	for (i = 0; i < n; i++)
		c[i].rank = !in_node(h, c[i].cpu) << 2 | !pin_has(&h->isolated, c[i].cpu) << 1 |
			    (c[i].core == busiest);
	return n;
}

/* Takes groups of `together` threads of one core, until there are n CPUs. */
static unsigned take(struct candidate *c, unsigned n_c, unsigned together, unsigned *cpu,
		     unsigned got, unsigned n)
{
	unsigned i = 0, j;

	while (i < n_c && got < n) {
		for (j = 0; j < together && i + j < n_c; j++)
			if (c[i + j].taken || c[i + j].core != c[i].core)
				break;
		if (j < together) {
			i++;
			continue;
		}
		for (; j > 0; j--, i++) {
			c[i].taken = true;
			cpu[got++] = c[i].cpu;
		}
	}
	return got;
}

int pin_choose(const char *root, const struct pin_host *h, unsigned n, unsigned threads,
	       unsigned *cpu, struct error *err)
{
	scoped_free struct candidate *c = calloc(PIN_CPUS, sizeof(*c));
	unsigned n_c, got, i;
	int shortfall = 0;

	if (!c)
		return error_set(err, -ENOMEM, "out of memory when choosing CPUs");
	n_c = collect(root, h, c);
	if (n_c < n)
		return error_set(err, -ENOSPC,
				 "%u processors need %u CPUs of their own, but this process has "
				 "only %u: give the guest fewer, or leave pin= out",
				 n, n, n_c);
	qsort_r(c, n_c, sizeof(*c), compare, &threads);
	got = take(c, n_c, threads, cpu, 0, n);
	if (got < n) {
		shortfall |= PIN_SPLIT_CORES;
		take(c, n_c, 1, cpu, got, n);
	}
	for (i = 0; i < n; i++)
		if (!in_node(h, cpu[i]))
			shortfall |= PIN_OTHER_NODE;
	return shortfall;
}

int pin_self(const struct pin_host *h, const unsigned *cpu, unsigned n)
{
	struct pin_mask rest = h->affinity;
	unsigned i;
	int ret;

	for (i = 0; i < n; i++)
		CPU_CLR_S(cpu[i], sizeof(rest), rest.s);
	ret = pin_count(&rest) ? 0 : -ENOSPC;
	if (ret < 0)
		rest = h->affinity;
	return sched_setaffinity(0, sizeof(rest), rest.s) < 0 ? -errno : ret;
}
