/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory the process may lock (RLIMIT_MEMLOCK): VFIO and mlock(2) both count against it.
 * Threads: any; the limit is the process's. */
#ifndef VMM_PLACEMENT_MEMLOCK_H
#define VMM_PLACEMENT_MEMLOCK_H

#include <stdint.h>
#include <sys/resource.h>

#include "vmm/core/error.h"

/* Raises the limit so that `need` bytes can be locked. -ENOMEM: the limit cannot be raised, and it
 * applies to this process; *error says what to do. */
int memlock_raise(uint64_t need, struct error *);
/* After locking `need` bytes failed with ENOMEM: if the limit can be the reason, fills in *error
 * and returns err->code. Returns 0 if the reason is another one. */
int memlock_explain(uint64_t need, struct error *);

/* The decisions behind the two functions, without system calls. */
enum memlock_plan { MEMLOCK_ENOUGH, MEMLOCK_RAISE_SOFT, MEMLOCK_RAISE_BOTH };
enum memlock_plan memlock_plan(uint64_t need, const struct rlimit *now);
int memlock_error(uint64_t need, const struct rlimit *now, struct error *err);

#endif
