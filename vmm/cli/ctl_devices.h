/* SPDX-License-Identifier: BSD-2-Clause */
/* `minivmm ctl NAME add WHAT` and `del ID`: devices of a running machine, and waiting for its
 * guest. Threads: one at a time. */
#ifndef VMM_CLI_CTL_DEVICES_H
#define VMM_CLI_CTL_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/error.h"

struct qmp_peer;

/* timeout_s: UINT64_MAX: the usual one. */
int ctl_device_add(struct qmp_peer *, const char *what, uint64_t timeout_s, struct error *);
/* force: at once; with a timeout, when the guest has not let go of it by then. */
int ctl_device_del(struct qmp_peer *, const char *id, uint64_t timeout_s, bool force,
		   struct error *);

#endif
