/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NUMA facts come from sysfs, read when somebody asks: nothing is initialised, so a machine without
 * nodes in its options pays nothing. Of libnuma only the header is used: its library, shared or
 * static, reads /sys and /proc in every process that links it (0.25 ms, a tenth of a start).
 */
#include "vmm/placement/numa.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

#define NODES "/sys/devices/system/node"

static int parse_index(const char **s, unsigned max, unsigned *out)
{
	unsigned long v;
	char *end;

	if (**s < '0' || **s > '9')
		return -EINVAL;
	v = strtoul(*s, &end, 10);
	*s = end;
	*out = (unsigned)v;
	return v < max ? 0 : -ERANGE;
}

int numa_parse_list(const char *s, unsigned max, uint64_t *bits)
{
	unsigned first, last;
	int rc;

	memset(bits, 0, (max + 63) / 64 * sizeof(*bits));
	do {
		rc = parse_index(&s, max, &first);
		last = first;
		if (rc == 0 && *s == '-') {
			s++;
			rc = parse_index(&s, max, &last);
		}
		if (rc < 0)
			return rc;
		if (last < first)
			return -EINVAL;
		for (; first <= last; first++)
			bits[first / 64] |= 1ull << first % 64;
	} while (*s++ == ',');
	return s[-1] ? -EINVAL : 0;
}

/* The file's text without its last newline; "" when it cannot be read. */
static void read_text(const char *path, char *buf, size_t size)
{
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[n < 0 ? 0 : n] = '\0';
	if (n > 0 && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
}

static uint64_t read_list(const char *root, const char *name)
{
	char path[PATH_MAX], text[256];
	uint64_t mask;

	snprintf(path, sizeof(path), "%s" NODES "/%s", root, name);
	read_text(path, text, sizeof(text));
	return numa_parse_list(text, NUMA_MAX_NODES, &mask) == 0 ? mask : 0;
}

/* A cpuset may keep us off some. */
static uint64_t allowed_nodes(const char *root)
{
	char path[PATH_MAX], line[256], list[192];
	uint64_t mask = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/status", root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Mems_allowed_list: %191s", list) == 1 &&
		    numa_parse_list(list, NUMA_MAX_NODES, &mask) < 0)
			mask = UINT64_MAX;
	if (f)
		fclose(f);
	return mask;
}

struct numa_nodes numa_nodes(const char *root)
{
	return (struct numa_nodes){ read_list(root, "online"),
				    read_list(root, "has_memory") & allowed_nodes(root) };
}

static uint64_t read_number(const char *root, const char *dir, const char *name)
{
	char path[PATH_MAX], text[32];

	snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	read_text(path, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

static void huge_dir(char *buf, unsigned len, int node, uint64_t page)
{
	unsigned long long kib = page / KiB;

	if (node < 0)
		snprintf(buf, len, "/sys/kernel/mm/hugepages/hugepages-%llukB", kib);
	else
		snprintf(buf, len, NODES "/node%d/hugepages/hugepages-%llukB", node, kib);
}

void numa_huge_file(char *buf, unsigned len, int node, uint64_t page)
{
	char dir[96];

	huge_dir(dir, sizeof(dir), node, page);
	snprintf(buf, len, "%s/nr_hugepages", dir);
}

struct numa_huge numa_huge(const char *root, int node, uint64_t page)
{
	struct numa_huge h;
	uint64_t promised;
	char dir[96];

	huge_dir(dir, sizeof(dir), node, page);
	h.total = read_number(root, dir, "nr_hugepages");
	h.free = read_number(root, dir, "free_hugepages");
	/* Promised to mappings that have not touched them yet; the kernel does not say which
	 * node's they will be. */
	promised = node < 0 ? read_number(root, dir, "resv_hugepages") : 0;
	h.free = h.free > promised ? h.free - promised : 0;
	return h;
}

/* Sums the rows of a meminfo file whose names are given, in bytes. */
static uint64_t meminfo(const char *path, const char *const *names)
{
	char line[128], name[64];
	unsigned long long kib;
	uint64_t sum = 0;
	FILE *f = fopen(path, "re");
	unsigned i;

	while (f && fgets(line, sizeof(line), f)) {
		const char *row = strncmp(line, "Node ", 5) ? line
							    : line + 5 + strcspn(line + 5, " ");

		if (sscanf(row, " %63[^:]: %llu kB", name, &kib) != 2)
			continue;
		for (i = 0; names[i]; i++)
			if (strcmp(name, names[i]) == 0)
				sum += kib * KiB;
	}
	if (f)
		fclose(f);
	return sum;
}

uint64_t numa_available(const char *root, int node)
{
	static const char *const host[] = { "MemAvailable", NULL };
	static const char *const one[] = { "MemFree", "Active(file)", "Inactive(file)",
					   "SReclaimable", NULL };
	char path[PATH_MAX];

	if (node < 0)
		snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	else
		snprintf(path, sizeof(path), "%s" NODES "/node%d/meminfo", root, node);
	return meminfo(path, node < 0 ? host : one);
}

/* Row `from` of the table; its columns are the online nodes, in order. */
uint8_t numa_distance(const char *root, unsigned from, unsigned to)
{
	uint64_t online = read_list(root, "online");
	char path[PATH_MAX], text[512], *s = text, *end;
	unsigned i;
	long d;

	snprintf(path, sizeof(path), "%s" NODES "/node%u/distance", root, from);
	read_text(path, text, sizeof(text));
	for (i = 0; i < NUMA_MAX_NODES; i++) {
		if (!(online >> i & 1))
			continue;
		d = strtol(s, &end, 10);
		if (end == s)
			break;
		if (i == to && d >= 10 && d < 255)
			return (uint8_t)d;
		s = end;
	}
	return from == to ? 10 : 20;
}

/* A list of CPUs in a file; false when there is none. */
static bool read_cpus(const char *path, cpu_set_t *set)
{
	uint64_t bits[CPU_SETSIZE / 64];
	char text[4096];
	unsigned i;

	CPU_ZERO(set);
	read_text(path, text, sizeof(text));
	if (numa_parse_list(text, CPU_SETSIZE, bits) < 0)
		return false;
	for (i = 0; i < CPU_SETSIZE; i++)
		if (bits[i / 64] >> i % 64 & 1)
			CPU_SET(i, set);
	return true;
}

/* Of each core's threads the first one stays. */
static void one_a_core(const char *root, cpu_set_t *set)
{
	char path[PATH_MAX];
	cpu_set_t core;
	unsigned i, k;

	for (i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, set))
			continue;
		snprintf(path, sizeof(path),
			 "%s/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", root, i);
		if (!read_cpus(path, &core))
			continue;
		for (k = i + 1; k < CPU_SETSIZE; k++)
			if (CPU_ISSET(k, &core))
				CPU_CLR(k, set);
	}
}

unsigned numa_cores(const char *root, int node, cpu_set_t *set)
{
	char path[PATH_MAX];
	cpu_set_t allowed, here;

	CPU_ZERO(set);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return 0;
	*set = allowed;
	snprintf(path, sizeof(path), "%s" NODES "/node%d/cpulist", root, node);
	if (node >= 0 && read_cpus(path, &here)) {
		CPU_AND(&here, &here, &allowed);
		if (CPU_COUNT(&here))
			*set = here;
	}
	one_a_core(root, set);
	return (unsigned)CPU_COUNT(set);
}

int numa_bind(void *at, uint64_t size, unsigned node, bool preferred)
{
	unsigned long mask = 1ul << node;
	int mode = preferred ? MPOL_PREFERRED : MPOL_BIND;

	/* The kernel looks at one bit less than it is told of. */
	return syscall(SYS_mbind, at, size, mode, &mask, NUMA_MAX_NODES + 1ul, 0) < 0 ? -errno : 0;
}
