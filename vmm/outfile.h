/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that a run writes beside its disks: what a serial line says, statistics, a device tree. */
#ifndef VMM_OUTFILE_H
#define VMM_OUTFILE_H

#include <stdbool.h>

#include "vmm/error.h"

/* Opens path for writing, creating it, or emptying it. Also a terminal, a device such as /dev/null,
 * or a pipe that is read; no disk and no image in use, whose data it would be. Never waits for a
 * pipe's reader. Returns a descriptor, the caller's to close and blocking, or a negative errno with
 * "PATH: why" in *err. */
int outfile_open(const char *path, bool empty, struct error *err);

/* What outfile_open() would refuse, as far as it shows without making or changing anything: 0 or a
 * negative errno with "PATH: why" in *err. */
int outfile_check(const char *path, struct error *);
/* Whether a file can be made at path, which is not there. */
int outfile_check_folder(const char *path, struct error *);

#endif
