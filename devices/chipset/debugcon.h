/* SPDX-License-Identifier: BSD-2-Clause */
/* The debug port that firmware writes its log to. Reads 0xe9: "a debug console is here". */
#ifndef DEVICES_CHIPSET_DEBUGCON_H
#define DEVICES_CHIPSET_DEBUGCON_H

#include "vmm/core/bus.h"
#include "vmm/core/error.h"

#define DEBUGCON_PORT 0x402

struct debugcon {
	struct io_region region;
	pthread_mutex_t lock;
	int fd;
	unsigned used;
	char buf[256]; /* written out at each newline and when full */
};

/* Creates or truncates `path`. */
int debugcon_init(struct debugcon *, struct bus *pio, const char *path, struct error *);
void debugcon_destroy(struct debugcon *, struct bus *pio);

#endif
