/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to the host: writes to sysfs, modules loaded. A table, so that the decisions above
 * it have unit tests with a host of their own.
 *
 * Threads: main; no state.
 */
#ifndef VFIO_HOST_HOST_WRITE_H
#define VFIO_HOST_HOST_WRITE_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/core/error.h"

struct host {
	const char *root;    /* before /sys, /proc, /dev and /run; "" on a real host */
	unsigned timeout_ms; /* for one write */
	/* Writes text to root/path. -errno; -ETIMEDOUT with *stuck the process that is still in the
	 * kernel with it: a driver that does not come back keeps that one, not us. */
	int (*write)(const struct host *, const char *path, const char *text, pid_t *stuck);
	/* Loads a module by name or alias. */
	int (*modprobe)(const struct host *, const char *module, struct error *);
};

extern const struct host host_here;

int host_write(const struct host *, const char *path, const char *text, pid_t *stuck);
int host_modprobe(const struct host *, const char *module, struct error *);

/* As h->write, for the device's sake; each failure is one sentence. When the write hangs, that says
 * where, and who uses the device; *stuck (may be NULL) tells it from a failure. */
int host_put(const struct host *, const char *bdf, const char *path, const char *text, bool *stuck,
	     struct error *);

#endif
