/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine has counted, as JSON: the man page has its schema, vmm/report/ makes text and a
 * page of it. Threads: main loop. */
#ifndef VMM_MACHINE_SNAPSHOT_H
#define VMM_MACHINE_SNAPSHOT_H

#include <jansson.h>

struct vm;

/* What has been counted so far, with what came since `last` (NULL: the start) told apart. NULL: out
 * of memory. */
json_t *machine_stats_snapshot(const struct vm *, const json_t *last);

#endif
