/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where machines with a name have their sockets: DIR/NAME/qmp.sock, with DIR /run/minivmm for root
 * and $XDG_RUNTIME_DIR/minivmm for others.
 *
 * Threads: any; the environment is not changed meanwhile.
 */
#ifndef VMM_CONTROL_RUNTIME_H
#define VMM_CONTROL_RUNTIME_H

#include <stddef.h>

#include "vmm/core/error.h"

#define RUNTIME_PATH_MAX 512

/* The folder of all machines of this user. -ENOENT: $XDG_RUNTIME_DIR is not set. */
int runtime_dir(char *buf, size_t len, struct error *);
/* The socket of that machine. -EINVAL: the name is not one that a folder can have. */
int runtime_socket(const char *name, char *buf, size_t len, struct error *);
/* Makes the folders above the socket, for its owner only. */
int runtime_make(const char *socket, struct error *);
/* Removes the machine's folder, if nothing else is in it. */
void runtime_remove(const char *socket);

#endif
