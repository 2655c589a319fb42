/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine has counted, as JSON: the man page has its schema, vmm/report/ makes text and a
 * page of it. And --stats, which writes it to a file.
 *
 * Threads: main loop. Counters are read while vCPUs count on.
 */
#ifndef VMM_MACHINE_SNAPSHOT_H
#define VMM_MACHINE_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/core/error.h"
#include "vmm/core/phase.h"
#include "vmm/core/stats.h"
#include "vmm/kvm/vcpu.h"

struct outputs;

/* Where the counters are. All of it stays the caller's. */
struct snapshot_of {
	const char *name; /* of the machine; NULL: none */
	struct stats *stats;
	struct vcpus *vcpus;
	const struct phase_clock *phases;
	int kvm_stats_fd; /* of the VM; -1: this KVM has none */
};

/* What has been counted so far, with what came since `last` (NULL: the start) told apart. NULL: out
 * of memory. */
json_t *snapshot_take(const struct snapshot_of *, const json_t *last);

struct machine_stats {
	struct snapshot_of of;
	const char *path; /* of --stats=FILE; NULL: none */
	int fd;		  /* -1: not open */
	bool made;	  /* the file was not there before */
	json_t *last;	  /* the snapshot that was reported last */
};

/* Opens the file, one of the run's outputs; path NULL: there is none. */
int machine_stats_open(struct machine_stats *, const struct snapshot_of *, struct outputs *,
		       const char *path, struct error *);
/* Writes the file, and text on stderr when asked for. False: the file could not be written, which
 * has been said. */
bool machine_stats_report(struct machine_stats *, bool text);
/* Removes the file, if it was made for this run: it could not be written at the end. */
void machine_stats_discard(struct machine_stats *);
void machine_stats_close(struct machine_stats *);

#endif
