/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes to the host: writes to sysfs, and loading of modules. They are in a table of functions,
 * so that unit tests can replace the host.
 *
 * Threads: main; no state.
 */
#ifndef VFIO_HOST_HOST_WRITE_H
#define VFIO_HOST_HOST_WRITE_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/core/error.h"

struct host {
	const char *root;    /* prefix of /sys, /proc, /dev and /run; "" on a real host */
	unsigned timeout_ms; /* for each write */
	/* Writes text to root/path. -errno; -ETIMEDOUT: the write hangs in the kernel, and *stuck
	 * is the child process that waits there. So a driver that does not return blocks that
	 * child, not us. */
	int (*write)(const struct host *, const char *path, const char *text, pid_t *stuck);
	/* Loads a module by name or alias. */
	int (*modprobe)(const struct host *, const char *module, struct error *);
};

extern const struct host host_here;

int host_write(const struct host *, const char *path, const char *text, pid_t *stuck);
int host_modprobe(const struct host *, const char *module, struct error *);

/* Like h->write, for a device, and sets *error on failure. If the write hangs, *error says where it
 * hangs and who uses the device, and *stuck (may be NULL) is true. */
int host_put(const struct host *, const char *bdf, const char *path, const char *text, bool *stuck,
	     struct error *);

#endif
