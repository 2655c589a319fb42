/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NUMA nodes are read only when they are needed, so a machine without nodes in its options pays
 * nothing. libnuma reads them in a constructor, which costs each process that links it 0.25 ms, a
 * tenth of a start. So the Makefile removes the constructor's entry from the archive that it links,
 * and numa_start() calls the function. libnuma does not tell the huge pages and the file cache of a
 * node; these are read from sysfs.
 */
#include "vmm/placement/numa.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/text.h"

#define NODES "/sys/devices/system/node"

/* libnuma's constructor. A shared libnuma does not export it and has called it already. */
extern void numa_init(void) __attribute__((weak));

/* Must be called before any function of libnuma except mbind(). False: the kernel has no NUMA. */
static bool numa_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (numa_init)
		pthread_once(&once, numa_init);
	return numa_available() >= 0;
}

int node_list_parse(const char *s, uint64_t *mask)
{
	unsigned first, last;
	int ret;

	*mask = 0;
	while ((ret = text_range(&s, NUMA_MAX_NODES, &first, &last)) > 0)
		for (; first <= last; first++)
			*mask |= 1ull << first;
	return ret < 0 ? ret : *mask ? 0 : -EINVAL;
}

struct node_masks node_masks(void)
{
	struct node_masks m = { 0 };
	struct bitmask *allowed = numa_start() ? numa_get_mems_allowed() : NULL;

	for (unsigned i = 0; allowed && i < NUMA_MAX_NODES; i++) {
		if (!numa_bitmask_isbitset(numa_nodes_ptr, i))
			continue;
		m.online |= 1ull << i;
		/* A cpuset may exclude us from some nodes. */
		if (numa_bitmask_isbitset(allowed, i) && numa_node_size64((int)i, NULL) > 0)
			m.memory |= 1ull << i;
	}
	numa_bitmask_free(allowed);
	return m;
}

static void huge_dir(char *buf, unsigned len, int node, uint64_t page)
{
	unsigned long long kib = page / KiB;

	if (node < 0)
		snprintf(buf, len, "/sys/kernel/mm/hugepages/hugepages-%llukB", kib);
	else
		snprintf(buf, len, NODES "/node%d/hugepages/hugepages-%llukB", node, kib);
}

void node_huge_file(char *buf, unsigned len, int node, uint64_t page)
{
	char dir[96];

	huge_dir(dir, sizeof(dir), node, page);
	snprintf(buf, len, "%s/nr_hugepages", dir);
}

static uint64_t huge_number(const char *root, const char *dir, const char *name)
{
	long long n = hostfs_number(root, 0, "%s/%s", dir, name);

	return n > 0 ? (uint64_t)n : 0;
}

struct node_huge node_huge(const char *root, int node, uint64_t page)
{
	struct node_huge h;
	uint64_t promised;
	char dir[96];

	huge_dir(dir, sizeof(dir), node, page);
	h.total = huge_number(root, dir, "nr_hugepages");
	h.free = huge_number(root, dir, "free_hugepages");
	/* These pages are reserved by mappings that have not touched them yet. The kernel does not
	 * say from which node they will come, so they are only subtracted for the whole host. */
	promised = node < 0 ? huge_number(root, dir, "resv_hugepages") : 0;
	h.free = h.free > promised ? h.free - promised : 0;
	return h;
}

struct meminfo {
	const char *const *names; /* the rows to add up, ended by NULL */
	uint64_t sum;		  /* bytes */
};

/* A line is "MemFree: 12 kB", or in the file of a node "Node 0 MemFree: 12 kB". */
static int meminfo_line(void *arg, const char *line)
{
	struct meminfo *m = arg;
	unsigned long long kib;
	char name[64];

	if (sscanf(line, "Node %*u %63[^:]: %llu kB", name, &kib) != 2 &&
	    sscanf(line, "%63[^:]: %llu kB", name, &kib) != 2)
		return 0;
	for (unsigned i = 0; m->names[i]; i++)
		if (strcmp(name, m->names[i]) == 0)
			m->sum += kib * KiB;
	return 0;
}

uint64_t node_available(const char *root, int node)
{
	static const char *const host[] = { "MemAvailable", NULL };
	static const char *const one[] = { "MemFree", "Active(file)", "Inactive(file)",
					   "SReclaimable", NULL };
	struct meminfo m = { .names = node < 0 ? host : one };

	if (node < 0)
		hostfs_each_line(root, meminfo_line, &m, "/proc/meminfo");
	else
		hostfs_each_line(root, meminfo_line, &m, NODES "/node%d/meminfo", node);
	return m.sum;
}

uint8_t node_distance(unsigned from, unsigned to)
{
	int d = numa_start() ? numa_distance((int)from, (int)to) : 0;

	if (d >= 10 && d < 255)
		return (uint8_t)d;
	return from == to ? 10 : 20;
}

/* The node's CPUs that are in `allowed`. False: there is no such CPU. */
static bool node_cpus(int node, const cpu_set_t *allowed, cpu_set_t *set)
{
	struct bitmask *all = numa_start() ? numa_allocate_cpumask() : NULL;

	CPU_ZERO(set);
	if (all && numa_node_to_cpus(node, all) == 0)
		for (unsigned i = 0; i < CPU_SETSIZE; i++)
			if (numa_bitmask_isbitset(all, i) && CPU_ISSET(i, allowed))
				CPU_SET(i, set);
	numa_bitmask_free(all);
	return CPU_COUNT(set) > 0;
}

/* Keeps the first thread of each core and removes the others. */
static void one_a_core(const char *root, cpu_set_t *set)
{
	char list[4096];

	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		const char *s = list;
		unsigned first, last;

		if (!CPU_ISSET(i, set))
			continue;
		hostfs_line(root, list, sizeof(list),
			    "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
		while (text_range(&s, CPU_SETSIZE, &first, &last) > 0)
			for (; first <= last; first++)
				if (first > i)
					CPU_CLR(first, set);
	}
}

unsigned node_cores(const char *root, int node, cpu_set_t *set)
{
	cpu_set_t allowed, here;

	CPU_ZERO(set);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 0;
	*set = node >= 0 && node_cpus(node, &allowed, &here) ? here : allowed;
	one_a_core(root, set);
	return (unsigned)CPU_COUNT(set);
}

int node_bind(void *at, uint64_t size, unsigned node, bool preferred)
{
	unsigned long mask = 1ul << node;
	int mode = preferred ? MPOL_PREFERRED : MPOL_BIND;

	/* The kernel uses one bit less than this argument says. */
	return mbind(at, size, mode, &mask, NUMA_MAX_NODES + 1ul, 0) < 0 ? -errno : 0;
}
