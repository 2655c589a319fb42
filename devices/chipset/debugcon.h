/* SPDX-License-Identifier: BSD-2-Clause */
/* The debug port that firmware writes its log to. Reads 0xe9: "a debug console is here". */
#ifndef DEVICES_CHIPSET_DEBUGCON_H
#define DEVICES_CHIPSET_DEBUGCON_H

#include "vmm/core/bus.h"
#include "vmm/core/error.h"

#define DEBUGCON_PORT 0x402

struct chardev;
struct device_class;
struct evloop;
struct outputs;

struct debugcon {
	struct io_region region;
	pthread_mutex_t lock; /* buf */
	struct chardev *back;
	unsigned used;
	char buf[256]; /* written out at each newline and when full */
};

/* Writes to `file`: a path, or PATH,max=SIZE; for it and outputs see chardev.h. */
int debugcon_init(struct debugcon *, struct bus *pio, struct evloop *, const char *file,
		  struct outputs *, struct error *);
void debugcon_destroy(struct debugcon *, struct bus *pio);

extern const struct device_class debugcon_class;

#endif
