/* SPDX-License-Identifier: BSD-2-Clause */
/* Port 0xf4, by which a guest ends the run. The low 8 bits of the value that it writes (byte, word
 * or doubleword) become the exit status of minivmm. Reads give all ones. */
#ifndef DEVICES_CHIPSET_EXIT_PORT_H
#define DEVICES_CHIPSET_EXIT_PORT_H

#include "vmm/core/bus.h"

#define EXIT_PORT 0xf4

struct exit_port {
	struct io_region region;
	/* Called on a vCPU thread; must not wait. */
	void (*exit)(void *, uint32_t value);
	void *opaque;
};

/* The caller sets exit and opaque before. */
int exit_port_init(struct exit_port *, struct bus *pio);

#endif
