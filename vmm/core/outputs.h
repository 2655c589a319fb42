/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All files that one run writes to. No two of them may be the same file, and a start that fails
 * must leave all of them unchanged.
 *
 * First each file is claimed, which only checks it. Then the files are opened; missing files are
 * created, but no file is truncated. When nothing else can fail, outputs_begin() truncates those
 * that must be empty. If outputs_begin() was not called, outputs_free() removes the created files.
 *
 * Threads: main.
 */
#ifndef VMM_CORE_OUTPUTS_H
#define VMM_CORE_OUTPUTS_H

#include <stdbool.h>

#include "vmm/core/error.h"

struct outputs;

struct outputs *outputs_new(void); /* NULL: out of memory */
/* Claims path: this run will write to it. -EEXIST with "PATH: why" in *err: the same file was
 * claimed already, perhaps by another name. Only regular files are claimed; a terminal or a pipe
 * may be shared. outputs may be NULL: then nothing is claimed. */
int outputs_claim(struct outputs *, const char *path, struct error *);
/* Claims PATH.1, the name that a file with max= gets when it is full. */
int outputs_claim_rotated(struct outputs *, const char *path, struct error *);
/* Like outfile_open(), but outputs_begin() truncates the file; the caller must not close it before.
 * After outputs_begin(), or with NULL, it is truncated at once. */
int outputs_open(struct outputs *, const char *path, bool empty, struct error *);
/* The start has succeeded. */
void outputs_begin(struct outputs *);
void outputs_free(struct outputs *);

#endif
