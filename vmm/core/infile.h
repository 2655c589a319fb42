/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that a run reads: kernel, initrd, firmware.
 *
 * Each carries a read lock on its open file description (F_OFD_SETLK) as long as it is open, which
 * tells outfile.h, in this process and in any other minivmm, that its content is needed. The lock
 * is on the file, so other names, hard and symbolic links do not matter. It keeps no other program
 * from anything.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_INFILE_H
#define VMM_CORE_INFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "vmm/core/error.h"

/* Opens path for reading and locks it. Never waits for a pipe's writer, and the descriptor does not
 * either. Returns it, or a negative errno. */
int infile_open(const char *path);
/* The same to read to the end, a pipe as well: reads wait for what its writer has to say; without a
 * writer there is nothing to read. NULL: errno tells. */
FILE *infile_stream(const char *path);
/* f was empty: the reason, when it is a pipe that nobody writes to; else NULL. */
const char *infile_no_writer(FILE *f);
/* Locks what is open already. False: a minivmm, this process too, has it to write to, a disk say.
 * It can be read all the same. */
bool infile_lock(int fd);
/* infile_open() of what must not change while a machine has it: a kernel, say. -EBUSY when somebody
 * writes to it. *err has the reason only. */
int infile_open_alone(const char *path, struct error *);

#endif
