/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What guest RAM is made of: page size, nodes, and the mapping.
 *
 * ram_decide() is a pure function: it makes a plan from what was asked for and what the host has
 * (ram_look()). ram_map() carries the plan out. RAM is one mapping, so what is contiguous for the
 * guest is contiguous for us, too.
 *
 * Threads: main thread, before the machine runs.
 */
#ifndef VMM_PLACEMENT_RAM_H
#define VMM_PLACEMENT_RAM_H

#include <stddef.h>

#include "vmm/core/error.h"
#include "vmm/placement/numa.h"

enum ram_pages {
	RAM_PLAIN, /* the default: transparent huge pages where the kernel has them, else 4 KiB */
	RAM_AUTO,  /* the largest that is free: 1 GiB, 2 MiB, transparent huge pages, 4 KiB */
	RAM_4K,	   /* 4 KiB, no transparent huge pages */
	RAM_2M,
	RAM_1G,
	RAM_PATH, /* pages of a mounted hugetlbfs */
};

struct ram_want {
	uint64_t size; /* bytes, whole MiB */
	enum ram_pages pages;
	const char *path;
	uint64_t path_page; /* RAM_PATH: its page size, from ram_path_page() */
	uint64_t nodes;	    /* mask; 0: no node in particular */
	bool nodes_auto;    /* we chose the nodes: other nodes may be used if these are too small */
	bool prefault;	    /* all memory is touched at the start, so it must be free now */
	bool pinned;	    /* devices pin it: all of it must be free, too */
	bool shared;	    /* other processes map it, too */
};

struct ram_node {
	struct node_huge huge_2m, huge_1g;
	uint64_t available; /* bytes, in small pages */
};
struct ram_host {
	struct node_masks nodes;
	bool thp;
	struct ram_node any; /* the whole host */
	struct ram_node node[NUMA_MAX_NODES];
};

struct ram_part {
	uint64_t offset, size; /* of RAM, bytes */
	int node;	       /* NUMA_ANY: no node in particular */
	bool preferred;	       /* other nodes are used when this one is full */
};
struct ram_plan {
	uint64_t size;
	uint64_t low;  /* how much of it lies below 4 GiB; the tables are at the end of that */
	uint64_t page; /* the page size in bytes; with thp, that of the transparent huge pages */
	bool hugetlb, thp, prefault, shared;
	bool dump;   /* guest memory may be in a core dump of minivmm */
	bool chosen; /* we chose the page size (RAM_AUTO) */
	const char *path;
	struct ram_part part[NUMA_MAX_NODES];
	unsigned n;
};

/* The page size of the hugetlbfs at path. -errno with *error: path is not a hugetlbfs. */
int ram_path_page(const char *path, uint64_t *page, struct error *);
/* True if a guest with `size` bytes, which are not taken at the start, can ask for more than the
 * host has with its swap. text: a sentence about it. */
bool ram_exceeds_host(uint64_t size, char *text, size_t len);
/* Reads what the nodes in `want` have. */
void ram_look(const char *root, const struct ram_want *, struct ram_host *);
/* -ENODEV: the node does not exist or has no memory. -ENOMEM: there are too few pages; *error names
 * the command that makes more. -EINVAL: the size is not a multiple of the page size, or has fewer
 * pages than nodes. */
int ram_decide(const struct ram_want *, const struct ram_host *, struct ram_plan *, struct error *);
/* Describes the plan, and the command that makes larger pages available, in one line. */
void ram_describe(const struct ram_plan *, const struct ram_host *, char *buf, size_t len);

/* Maps RAM: reserved and bound to its nodes, but not touched. munmap() gives all pages back. *file:
 * for a shared plan, the file that RAM is, from its offset 0; the caller closes it. It cannot be
 * made smaller, except one on a hugetlbfs that the user named. Otherwise, -1. */
int ram_map(const struct ram_plan *, void **ram, int *file, struct error *);

#endif
