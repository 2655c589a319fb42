/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that a run writes beside its disks: what a serial line says, statistics, a device tree.
 *
 * None of them may be somebody's data. Whatever a minivmm reads or writes carries a lock on its
 * open file description: disks and the firmware's variables one for writing, kernel, initrd and
 * firmware one for reading (infile.h), and what is opened here one for writing, too. So neither an
 * input nor an output, of this run or of another one, is emptied or written over. Inputs are opened
 * before outputs.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_OUTFILE_H
#define VMM_CORE_OUTFILE_H

#include <stdbool.h>

#include "vmm/core/error.h"

/* Opens path for writing, creating it, or emptying it. Also a terminal, a device such as /dev/null,
 * or a pipe that is read; no disk, and no file that a minivmm has in use. Never waits for a pipe's
 * reader. Returns a descriptor, the caller's to close and blocking, or a negative errno with
 * "PATH: why" in *err. */
int outfile_open(const char *path, bool empty, struct error *err);

/* What outfile_open() would refuse, as far as it shows without making or changing anything: 0 or a
 * negative errno with "PATH: why" in *err. */
int outfile_check(const char *path, struct error *);
/* Whether a minivmm, this process too, has this file in use through another descriptor. */
bool outfile_is_locked(int fd);
/* Takes the lock as long as fd is open. False: somebody has it. A file system without locks cannot
 * tell. */
bool outfile_lock(int fd);
/* The file at path, which was opened here, becomes path.1 in the place of the one before, which must
 * be a file that nobody has in use; path is opened anew. A descriptor or a negative errno. */
int outfile_rotate(const char *path, struct error *);
/* What outfile_rotate() would refuse, beside what outfile_check() says of path. */
int outfile_check_rotate(const char *path, struct error *);
/* Whether a file can be made at path, which is not there. */
int outfile_check_folder(const char *path, struct error *);

#endif
