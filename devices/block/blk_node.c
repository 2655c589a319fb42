/* SPDX-License-Identifier: BSD-2-Clause */
/* See blk_node.h. libnuma would read all nodes of the host, which costs more than the two or three
 * files here. */
#include "devices/block/blk_node.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "vmm/core/hostfs.h"
#include "vmm/core/text.h"

#define NODES "/sys/devices/system/node"

/* "0" is a host with one node; "0-1" and "0,2" have more. */
static bool one_node(const char *root)
{
	char online[64];

	return hostfs_line(root, online, sizeof(online), NODES "/online") < 0 ||
	       !strpbrk(online, "-,");
}

int blk_node_find(const char *root, dev_t dev)
{
	char target[PATH_MAX], *at, *end;
	long long node = -1;

	if (one_node(root))
		return -1;
	hostfs_target(root, target, sizeof(target), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	/* "../../devices/pci0000:00/0000:00:02.0/nvme/nvme0/nvme0n1": the first folder above the
	 * block device that has a node. */
	at = strstr(target, "devices/");
	while (at && node < 0 && (end = strrchr(at, '/'))) {
		node = hostfs_number(root, -1, "/sys/%s/numa_node", at);
		*end = '\0';
	}
	return node < INT_MAX ? (int)node : -1;
}

bool blk_node_stay(const char *root, int node)
{
	cpu_set_t allowed, set;
	char list[4096];
	const char *s = list;
	unsigned first, last;

	if (node < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) < 0 ||
	    hostfs_line(root, list, sizeof(list), NODES "/node%d/cpulist", node) < 0)
		return false;
	CPU_ZERO(&set);
	while (text_range(&s, CPU_SETSIZE, &first, &last) > 0)
		for (; first <= last; first++)
			if (CPU_ISSET(first, &allowed))
				CPU_SET(first, &set);
	return CPU_COUNT(&set) > 0 && sched_setaffinity(0, sizeof(set), &set) == 0;
}
