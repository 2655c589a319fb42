/* SPDX-License-Identifier: BSD-2-Clause */
/* The port that firmware writes its log to. It reads as 0xe9, which tells firmware that it exists.
 */
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
	char buf[256]; /* written to the back end at each newline and when it is full */
};

/* The log goes to `file`: a path, or PATH,max=SIZE. chardev.h explains both and `outputs`. */
int debugcon_init(struct debugcon *, struct bus *pio, struct evloop *, const char *file,
		  struct outputs *, struct error *);
void debugcon_destroy(struct debugcon *, struct bus *pio);

extern const struct device_class debugcon_class;

#endif
