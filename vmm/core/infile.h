/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that a run reads: kernel, initrd, firmware.
 *
 * While such a file is open, it has a read lock on its open file description (F_OFD_SETLK). The
 * lock tells outfile.h, in this process and in any other minivmm, that the content is needed. It
 * belongs to the file and not to its name, so hard and symbolic links do not matter. Other programs
 * ignore it.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_INFILE_H
#define VMM_CORE_INFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "vmm/core/error.h"

/* Opens path for reading and locks it. Returns a non-blocking descriptor, or -errno. It never waits
 * for the writer of a pipe. */
int infile_open(const char *path);
/* Like infile_open(), for reading to the end. If the file is a pipe, reads wait for the writer; a
 * pipe without a writer is empty. NULL with errno on failure. */
FILE *infile_stream(const char *path);
/* For a file that was empty. Returns the reason if it is a pipe without a writer, else NULL. */
const char *infile_no_writer(FILE *f);
/* Locks a file that is open already. False: a minivmm (perhaps this process) has it open for
 * writing, for example as a disk. The file can be read nevertheless. */
bool infile_lock(int fd);
/* Like infile_open(), for a file that must not change while a machine uses it, such as a kernel.
 * -EBUSY: a minivmm may write to it. *err has only the reason, without the path. */
int infile_open_alone(const char *path, struct error *);

#endif
