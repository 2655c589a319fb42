/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All files that one run writes to: no two of them are the same file, and a start that fails leaves
 * each as it was.
 *
 * First every file is claimed, which looks only. Then they are opened, which makes those that are
 * not there, and empties none. Once nothing else can fail, outputs_begin() empties those that are
 * to be empty. Without it, outputs_free() removes the ones that were made.
 *
 * Threads: main.
 */
#ifndef VMM_CORE_OUTPUTS_H
#define VMM_CORE_OUTPUTS_H

#include <stdbool.h>

#include "vmm/core/error.h"

struct outputs;

struct outputs *outputs_new(void); /* NULL: out of memory */
/* This run will write to path. -EEXIST when it is claimed already, by whatever name, with "PATH:
 * why" in *err. Only regular files count: a terminal or a pipe may be shared. NULL: claims nothing.
 */
int outputs_claim(struct outputs *, const char *path, struct error *);
/* What a file with max= becomes when it is full: claims PATH.1. */
int outputs_claim_rotated(struct outputs *, const char *path, struct error *);
/* As outfile_open(), but the file is emptied by outputs_begin(); the caller must not close it
 * before. Later, or with NULL, at once. */
int outputs_open(struct outputs *, const char *path, bool empty, struct error *);
/* The start has succeeded. */
void outputs_begin(struct outputs *);
void outputs_free(struct outputs *);

#endif
