/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's NUMA nodes: what they have, which cores are theirs, and binding memory to one. Nodes,
 * distances and CPUs come from libnuma, which asks the running host. The functions with a `root`
 * read files that libnuma does not read: "" on a real host, a recorded tree in tests.
 *
 * Threads: any. libnuma keeps what it found at the first call.
 */
#ifndef VMM_PLACEMENT_NUMA_H
#define VMM_PLACEMENT_NUMA_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define NUMA_MAX_NODES 64 /* a mask is one word: bit n is node n */
#define NUMA_ANY       -1 /* no node in particular: the whole host */

/* "0-3,8" into a mask. -EINVAL: no such list, or an empty one; -ERANGE: node 64 or above. */
int node_list_parse(const char *, uint64_t *mask);

struct node_masks {
	uint64_t online, memory; /* all nodes; those with memory that we may use */
};
/* Both masks are 0 if the kernel has no NUMA. */
struct node_masks node_masks(void);

/* Huge pages of `page` bytes (2 MiB, 1 GiB): the size of the pool, and the pages that are neither
 * used nor reserved by a mapping. */
struct node_huge {
	uint64_t total, free;
};
struct node_huge node_huge(const char *root, int node, uint64_t page);
/* The sysfs file that sets the number of huge pages. */
void node_huge_file(char *buf, unsigned len, int node, uint64_t page);
/* Bytes that the node can give to a process in small pages without swapping: free memory and file
 * cache. 0: the node has no memory, or is not known. */
uint64_t node_available(const char *root, int node);
/* The distance in the units of ACPI's SLIT: 10 is the node itself; 20 if the host does not say. */
uint8_t node_distance(unsigned from, unsigned to);

/* One CPU of each core of the node that this process may run on. If the node has no such CPU (a
 * node with memory only), one CPU of each core of the host. Returns the number of CPUs. */
unsigned node_cores(const char *root, int node, cpu_set_t *);

/* Pages of [at, at + size) that are allocated from now on come from the node. With `preferred`,
 * other nodes are used when it is full. 0 or -errno. */
int node_bind(void *at, uint64_t size, unsigned node, bool preferred);

#endif
