/* SPDX-License-Identifier: BSD-2-Clause */
/* Port 0xf4: a guest ends its own run. The value written (byte, word or doubleword) becomes the
 * exit status, of which a process has the low 8 bits. Reads are all-ones. */
#ifndef DEVICES_CHIPSET_EXIT_PORT_H
#define DEVICES_CHIPSET_EXIT_PORT_H

#include "vmm/core/bus.h"

#define EXIT_PORT 0xf4

struct exit_port {
	struct io_region region;
	/* On a vCPU thread; returns at once. */
	void (*exit)(void *, uint32_t value);
	void *opaque;
};

/* Fill in exit and opaque before. */
int exit_port_init(struct exit_port *, struct bus *pio);

#endif
