/* SPDX-License-Identifier: BSD-2-Clause */
/* A vhost-user back end that does what a test says: it keeps what it is told, and at one request it
 * misbehaves. It has a thread; what is not atomic here, the test looks at after seen[] has changed.
 */
#ifndef FAKE_BACKEND_H
#define FAKE_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BACKEND_RINGS 8

enum backend_fault {
	FAULT_NONE,
	FAULT_CLOSE,   /* instead of an answer */
	FAULT_HALF,    /* closes in the middle of the answer's header */
	FAULT_SHORT,   /* closes in the middle of the answer */
	FAULT_SILENT,  /* no answer */
	FAULT_GARBAGE, /* bytes that are no message */
	FAULT_OTHER,   /* the answer is to another request */
	FAULT_NO_REPLY_FLAG,
	FAULT_SIZE,   /* the answer has a size that is not right */
	FAULT_HUGE,   /* the same, and far too large */
	FAULT_FDS,    /* descriptors with the answer that nobody wants; else it is right */
	FAULT_REFUSE, /* the answer says that it has failed */
	FAULTS
};

struct backend_ring {
	_Atomic uint32_t num, base;
	_Atomic uint64_t desc, used, avail;
	_Atomic int kick, call, err; /* -1: not told */
	_Atomic bool enabled;
};

struct fake_backend {
	char path[64];
	/* what it offers */
	_Atomic uint64_t features, protocol, queues;
	uint8_t config[64];
	/* the fault, and the request */
	_Atomic enum backend_fault fault;
	_Atomic unsigned fault_at;
	/* what it was told on this connection */
	uint64_t got_features, got_protocol;
	uint32_t regions;
	struct {
		uint64_t gpa, size, user, offset;
	} region[8];
	_Atomic int memory; /* the descriptor of the first region */
	struct backend_ring ring[BACKEND_RINGS];
	/* of all connections */
	_Atomic unsigned connections, seen[64]; /* requests, by their number */
	_Atomic int requests;			/* its channel to the front end; -1 */
	_Atomic int inflight;			/* the file that the front end gave back; -1 */
	_Atomic unsigned inflights_made;
	/* its own */
	int listener, conn, stop;
	pthread_t thread;
};

/* Listens. The path is that of a new folder. */
int backend_start(struct fake_backend *);
void backend_stop(struct fake_backend *);
/* The process dies: its socket is closed, and nobody listens. */
void backend_die(struct fake_backend *);
/* After that: nothing of what it was given stays open. */
void backend_forget(struct fake_backend *);
/* A new process, on the same path. */
int backend_revive(struct fake_backend *);

#endif
