/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's memory: what it is made of, prefaulting, locking, and the guest's nodes.
 *
 * In this order: machine_memory_look(), _open(), _finish(); _close() in any case.
 *
 * Threads: main.
 */
#ifndef VMM_MACHINE_MEMORY_H
#define VMM_MACHINE_MEMORY_H

#include "firmware/platform.h"
#include "vmm/core/error.h"
#include "vmm/core/memmap.h"
#include "vmm/core/phase.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/machine/options.h"
#include "vmm/placement/prefault.h"
#include "vmm/placement/ram.h"

/* The guest's nodes, when it has several: guest node i is the i-th of the host's that RAM lies on.
 */
struct machine_numa {
	unsigned n, n_memory;
	struct platform_memory
		memory[NUMA_MAX_NODES + 1]; /* one node lies on both sides of the hole */
	uint8_t distance[NUMA_MAX_NODES * NUMA_MAX_NODES]; /* n * n of it */
	uint32_t pci_node;				   /* PLATFORM_NO_NODE: none of them */
};

struct memory_want {
	uint64_t size;		      /* bytes */
	const struct config_ram *ram; /* the keys of --memory */
	bool core_dump;		      /* RAM may be in a core dump */
	bool passthrough;	      /* devices will pin it */
	bool shared;		      /* other processes serve devices, and map it */
	int device_node;	      /* the host's node of these devices; -1: not known */
};

struct machine_memory {
	struct memory_want want;
	struct ram_plan plan;
	void *ram;		   /* low and high RAM, contiguous; NULL: not mapped */
	int file;		   /* that RAM is, for other processes; -1: it is private */
	struct prefault *prefault; /* at work; NULL: none, or done */
	struct machine_numa *numa; /* NULL: the guest has no nodes */
};

/* Plans what RAM will be made of; refuses what this host cannot give. The root of the host's files
 * is "" but for tests. */
int machine_memory_look(struct machine_memory *, const char *root, const struct memory_want *,
			struct error *);
/* Maps RAM and, where wanted, begins to prefault it. The map says where the guest's RAM lies. */
int machine_memory_open(struct machine_memory *, const struct memmap *, struct error *);
/* Waits until all of RAM is in place, with a bar on a terminal; -EINTR: a signal that signal_fd (a
 * signalfd) tells of wants the end. Then locks it, where that is asked for. */
int machine_memory_finish(struct machine_memory *, int signal_fd, struct phase_clock *,
			  struct error *);
void machine_memory_stop(struct machine_memory *); /* the prefault's threads */
void machine_memory_close(struct machine_memory *);
/* The guest node of a vCPU; 0 when there are no nodes. */
unsigned machine_memory_cpu_node(const struct machine_memory *, const struct cpu_topology *,
				 unsigned cpu);

#endif
