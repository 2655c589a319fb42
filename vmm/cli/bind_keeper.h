/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --bind: the run's devices are with vfio-pci for its length, however it ends.
 *
 * A second process binds them, waits for our end, and gives back what it took. It waits for us in
 * two ways: for our word that the devices are closed, and, when that never comes (a crash, kill
 * -9), for the kernel's that this process with all its files is gone. Devices that come while the
 * machine runs are bound and given back by the same process.
 *
 * Threads: main, before there are others.
 */
#ifndef VMM_CLI_BIND_KEEPER_H
#define VMM_CLI_BIND_KEEPER_H

#include <sys/types.h>

#include "vmm/machine/options.h"

struct bind_keeper {
	pid_t keeper; /* 0: none */
	int fd;	      /* to it */
};

/* Returns when the devices are bound; -1: they are not, and why has been said. foreign_fd is one
 * that the second process must not hold; -1: none. Does nothing without --bind. */
int bind_keeper_start(struct bind_keeper *, const struct config *, int foreign_fd);
/* While the machine runs, from any thread, one at a time: binds one more device, or gives it back
 * if it was bound by us. */
int bind_keeper_order(void *keeper, const char *bdf, bool bind, struct error *);
/* The devices are closed. Returns when they are back; -1: not all are, and why has been said. */
int bind_keeper_end(struct bind_keeper *);

#endif
