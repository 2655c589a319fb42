/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Touches all of guest RAM before it is used: a worker for each core of the memory's own node, all
 * nodes at the same time. The caller goes on with other things meanwhile and then waits.
 *
 * Threads: the caller's one thread; the workers are this module's own. They take signals as the
 * caller's mask says, so it blocks them first.
 */
#ifndef VMM_PLACEMENT_PREFAULT_H
#define VMM_PLACEMENT_PREFAULT_H

#include "vmm/core/error.h"
#include "vmm/placement/ram.h"

struct prefault;

/* NULL with *err set. The memory must stay until prefault_free(). touch: without
 * MADV_POPULATE_WRITE, as on kernels before 5.14. */
struct prefault *prefault_start(const struct ram_plan *, void *ram, bool touch, struct error *);
/* Readable when the workers are done, with or without success. */
int prefault_fd(const struct prefault *);
uint64_t prefault_done(const struct prefault *); /* bytes so far */
/* How long it took, from the release of the workers to the last one's end; 0: not yet. */
uint64_t prefault_ns(const struct prefault *);
/* Waits for the workers; -errno with the node that ran out and what it has. */
int prefault_finish(struct prefault *, struct error *);
/* Stops the workers, where they still are at work, and joins them. */
void prefault_free(struct prefault *);

#endif
