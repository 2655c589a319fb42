/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of QMP: asks a machine, ours or QEMU's, and waits for answers and events.
 *
 * Every call ends at its deadline, in nanoseconds of CLOCK_MONOTONIC (evloop_now_ns()); UINT64_MAX:
 * none. What the machine sends is bounded, as it is not trusted.
 *
 * Threads: one at a time.
 */
#ifndef VMM_CONTROL_QMP_CLIENT_H
#define VMM_CONTROL_QMP_CLIENT_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/core/error.h"

struct qmp_peer;

/* Connects to the socket and negotiates. NULL with *err, which names the path. */
struct qmp_peer *qmp_peer_open(const char *path, uint64_t deadline, struct error *);
void qmp_peer_close(struct qmp_peer *);
/* The process at the other end; 0: not known. */
pid_t qmp_peer_pid(const struct qmp_peer *);
/* The command's result, a new reference. Takes args, NULL: none. NULL with *err: the machine's own
 * words, -ETIMEDOUT, or -EPIPE when the machine has gone. Events that come meanwhile are kept. */
json_t *qmp_peer_ask(struct qmp_peer *, const char *command, json_t *args, uint64_t deadline,
		     struct error *);
/* The next event, a new reference. NULL with *err as above. */
json_t *qmp_peer_event(struct qmp_peer *, uint64_t deadline, struct error *);

#endif
