/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that tells the process id. It carries the lock of all that a run writes to (outfile.h),
 * which tells the file of a live process from a leftover.
 *
 * Threads: main.
 */
#ifndef VMM_MACHINE_PIDFILE_H
#define VMM_MACHINE_PIDFILE_H

#include "vmm/core/error.h"

struct pidfile {
	int fd;	    /* -1: there is none */
	char *name; /* without symbolic links */
};

/* What pidfile_create() would refuse, as far as it shows without making or changing anything: a
 * file of another kind, or of a process that runs. */
int pidfile_check(const char *path, struct error *);
/* Makes the file, or takes over a leftover. */
int pidfile_create(struct pidfile *, const char *path, struct error *);
/* Removes the file when it is still the one that was made here and still tells our id. */
void pidfile_remove(struct pidfile *);

#endif
