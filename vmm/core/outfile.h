/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that a run writes besides its disks: the output of a serial port, statistics, a device
 * tree.
 *
 * Writing such a file must not destroy data. So every file that a minivmm uses has a lock on its
 * open file description: a write lock on disks, on the variable store of the firmware and on the
 * files that are opened here; a read lock on kernel, initrd and firmware (infile.h). A file that is
 * locked by this run or by another one is not opened for writing. Inputs are opened before outputs.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_OUTFILE_H
#define VMM_CORE_OUTFILE_H

#include <stdbool.h>

#include "vmm/core/error.h"

/* Opens path for writing; creates the file, or truncates it if `empty`. Accepts files, terminals,
 * devices such as /dev/null, and pipes that have a reader. Refuses block devices, and files that a
 * minivmm uses. Never waits for the reader of a pipe. Returns a blocking descriptor, which the
 * caller closes, or -errno with "PATH: why" in *err. */
int outfile_open(const char *path, bool empty, struct error *err);

/* Removes a file that the caller has made and could not fill, if path still leads to it. */
void outfile_remove(const char *path, int fd);
/* Checks everything of outfile_open() that can be checked without creating or changing a file. 0,
 * or a negative errno with "PATH: why" in *err. */
int outfile_check(const char *path, struct error *);
/* True if a minivmm, perhaps this process, uses this file through another descriptor. */
bool outfile_is_locked(int fd);
/* Takes the write lock, until fd is closed. False: somebody else holds a lock. On a file system
 * without locks it always succeeds. */
bool outfile_lock(int fd);
/* Renames the file at path, which outfile_open() opened, to path.1, and opens path again. An older
 * path.1 is replaced; it must be a regular file that no minivmm uses. A descriptor or -errno. */
int outfile_rotate(const char *path, struct error *);
/* Checks what outfile_rotate() needs in addition to outfile_check(). */
int outfile_check_rotate(const char *path, struct error *);
/* Checks that a file can be created at path, which does not exist yet. */
int outfile_check_folder(const char *path, struct error *);

#endif
