/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Touches all of guest RAM before it is used, and gives it back. Each node has one worker for each
 * of its cores, and all nodes work at the same time. The caller does other things meanwhile, and
 * then waits.
 *
 * Threads: all functions belong to one thread of the caller; the workers are internal. They inherit
 * the caller's signal mask, so the caller blocks signals first.
 */
#ifndef VMM_PLACEMENT_PREFAULT_H
#define VMM_PLACEMENT_PREFAULT_H

#include "vmm/core/error.h"
#include "vmm/placement/ram.h"

struct prefault;

/* Returns NULL with *err set on failure. The memory must stay mapped until prefault_free(). touch:
 * do not use MADV_POPULATE_WRITE (kernels before 5.14 do not have it). */
struct prefault *prefault_start(const struct ram_plan *, void *ram, bool touch, struct error *);
/* This descriptor becomes readable when the workers have finished, with or without success. */
int prefault_fd(const struct prefault *);
uint64_t prefault_done(const struct prefault *); /* bytes so far */
/* The time from the start of the workers to the end of the last one; 0: not finished yet. */
uint64_t prefault_ns(const struct prefault *);
/* Waits for the workers. -errno: *error names the node that ran out of memory, and what it has. */
int prefault_finish(struct prefault *, struct error *);
/* Stops the workers if they are still running, and joins them. */
void prefault_free(struct prefault *);

/* Gives the pages of RAM back to the host, and returns when that is done. The mapping stays, and
 * what could not be given back: munmap() takes them. */
void prefault_release(const struct ram_plan *, void *ram);

#endif
