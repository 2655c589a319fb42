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
	RAM_PLAIN, /* the kernel's choice, huge where it has them; nothing was asked for */
	RAM_AUTO,  /* the largest that is free: 1 GiB, 2 MiB, transparent huge pages, 4 KiB */
	RAM_4K,	   /* 4 KiB, no transparent huge pages */
	RAM_2M,
	RAM_1G,
	RAM_PATH, /* of a mounted hugetlbfs */
};

struct ram_want {
	uint64_t size; /* bytes, whole MiB */
	enum ram_pages pages;
	const char *path;
	uint64_t path_page; /* RAM_PATH: its page size, from ram_path_page() */
	uint64_t nodes;	    /* mask; 0: no node in particular */
	bool nodes_auto;    /* the nodes are our choice: with too little there, others help out */
	bool prefault;	    /* all of it now: it must fit */
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
	int node;	       /* NUMA_ANY: none in particular */
	bool preferred;	       /* others may help out */
};
struct ram_plan {
	uint64_t size;
	uint64_t page; /* what a page fault brings, and what parts are multiples of */
	bool hugetlb, thp, prefault;
	bool dump;   /* may be in a core dump of ours */
	bool chosen; /* the page size is our choice */
	const char *path;
	struct ram_part part[NUMA_MAX_NODES];
	unsigned n;
};

/* The page size of the hugetlbfs at path. -errno with *error: path is not a hugetlbfs. */
int ram_path_page(const char *path, uint64_t *page, struct error *);
/* Reads what the nodes in `want` have. */
void ram_look(const char *root, const struct ram_want *, struct ram_host *);
/* -ENODEV: no such node, or no memory there; -ENOMEM: too few pages, with the command for more;
 * -EINVAL: the size cannot be made of such pages on so many nodes. */
int ram_decide(const struct ram_want *, const struct ram_host *, struct ram_plan *, struct error *);
/* Describes the plan, and the command that makes larger pages available, in one line. */
void ram_describe(const struct ram_plan *, const struct ram_host *, char *buf, size_t len);

/* Maps RAM: reserved and bound to its nodes, but not touched. munmap() gives all pages back. */
int ram_map(const struct ram_plan *, void **ram, struct error *);

#endif
