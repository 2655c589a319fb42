/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP: sockets on which other programs ask about a running machine and tell it what to do.
 *
 * A client cannot harm the machine or another client: how many there are, how long a request is and
 * how much waits to be read by one are bounded, and nothing ever waits for one. Requests are
 * answered in their order. Differences from QEMU's: several clients at a time; commands are taken
 * before qmp_capabilities, so that one-shot scripts work; events go to those who negotiated.
 *
 * Threads: the main loop's.
 */
#ifndef VMM_CONTROL_QMP_H
#define VMM_CONTROL_QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/device.h"
#include "vmm/core/error.h"

#define QMP_MAX_CLIENTS 16u
#define QMP_MAX_SOCKETS 8u

struct evloop;
struct qmp;

/* What a command can do to the machine and ask of it. All functions return at once. */
struct qmp_machine {
	void *opaque;
	const char *name; /* of --name; NULL: none */
	/* RunState of QEMU: prelaunch, running, paused, shutdown, internal-error. */
	const char *(*status)(void *opaque);
	void (*stop)(void *opaque);  /* the processors stand still when it returns */
	bool (*quiet)(void *opaque); /* nothing that they asked for before is under way any more */
	void (*cont)(void *opaque);
	void (*reset)(void *opaque);
	void (*power_button)(void *opaque);
	void (*quit)(void *opaque);
	/* The result of that query-command, or of x-minivmm-stats: a new reference. NULL: there is
	 * no such query, or no memory. */
	json_t *(*query)(void *opaque, const char *command);
	/* Runs device_add, device_del, blockdev-add, blockdev-del, netdev_add or netdev_del. As
	 * qmp_command's run(); with -EINPROGRESS the machine answers later, by qmp_answer() with
	 * this ticket. */
	json_t *(*change)(void *opaque, const char *command, const json_t *args, uint64_t ticket,
			  struct error *);
};

/* A string for an answer: a name or a path that is not UTF-8 has "?" for each of its bytes beyond
 * ASCII. A new reference; NULL: out of memory. */
json_t *qmp_text(const char *);

/* --qmp. */
extern const struct device_class qmp_class;

/* The machine stays the caller's, in place until qmp_free(). NULL: out of memory. */
struct qmp *qmp_new(struct evloop *, const struct qmp_machine *);
/* Listens on one more socket, at most QMP_MAX_SOCKETS. */
int qmp_listen(struct qmp *, const char *path, struct error *);
/* The names of all events, with a space behind each. */
extern const char qmp_event_names[];
/* Tells all clients that have negotiated. name: one of qmp_event_names. Takes data, an object;
 * NULL: an empty one. q NULL: nobody is there to be told. */
void qmp_event(struct qmp *q, const char *name, json_t *data);
/* The answer to a command that was not answered at once; never called from within change(). Takes
 * result; NULL: *err is the answer. A client that has left is not told. */
void qmp_answer(struct qmp *, uint64_t ticket, json_t *result, const struct error *err);
/* Gives clients a moment to take what is left, and removes the sockets. */
void qmp_free(struct qmp *);

#endif
