/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection to a vhost-user back end: a process that serves the rings of a virtio device. This
 * is the front end's side of the protocol, as QEMU's docs/interop/vhost-user.rst defines it.
 *
 * The back end is not trusted. Each function waits for it no longer than timeout_ms in all. A reply
 * that is late, short, too long, or for another request is an error. Descriptors that nobody asked
 * for are closed. After an error the connection is of no use: the caller closes it.
 *
 * Every function but vhost_user_abort() may wait, so none is called with a lock of the caller.
 * Errors are -errno with *err: what happened, without the name of the socket.
 *
 * Threads: one at a time; any thread may call vhost_user_abort().
 */
#ifndef DEVICES_VIRTIO_VHOST_USER_H
#define DEVICES_VIRTIO_VHOST_USER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct guest_mem;

#define VHOST_USER_REPLY_MS 10000u
#define VHOST_USER_STOP_MS  30000u /* the back end finishes its requests meanwhile */

#define VHOST_USER_F_PROTOCOL 30 /* of the features: there are protocol features */

/* The protocol features that are used where the back end has them. */
enum vhost_user_protocol {
	VHOST_USER_MQ = 0,
	VHOST_USER_REPLY_ACK = 3,
	VHOST_USER_BACKEND_REQ = 5,
	VHOST_USER_CONFIG = 9,
	VHOST_USER_INFLIGHT = 12,
};

struct vhost_user {
	pthread_mutex_t lock; /* of `sock`, for vhost_user_abort() */
	int sock;	      /* -1: not connected */
	int requests;	      /* of the back end to us; -1: it has no channel for them */
	bool aborted;	      /* for good */
	bool starting;	      /* a signal that ends us ends the wait (nothing else reads signals) */
	unsigned timeout_ms, stop_ms;
	uint64_t features; /* what the back end offers */
	uint64_t protocol; /* BIT(enum vhost_user_protocol) that both sides have */
	unsigned queues;   /* the number that the back end has; for a network card, of pairs */
};

/* One ring: host addresses of guest RAM, and eventfds. */
struct vhost_user_ring {
	unsigned index;
	uint16_t size, base; /* base: the next entry of the available ring */
	const void *desc, *avail, *used;
	int kick, call, err;
};

/* Memory in which a back end keeps track of its requests; it outlives the back end. */
struct vhost_user_inflight {
	int fd; /* -1: none */
	uint64_t size, offset;
	uint16_t queues, queue_size;
};

void vhost_user_init(struct vhost_user *);
void vhost_user_destroy(struct vhost_user *); /* closes the connection, too */

/* Connects, and negotiates the protocol features. -EAGAIN: the back end has too many clients that
 * wait. */
int vhost_user_connect(struct vhost_user *, const char *path, struct error *);
void vhost_user_close(struct vhost_user *);
/* Ends the connection and all waiting, now and later. */
void vhost_user_abort(struct vhost_user *);

static inline bool vhost_user_has(const struct vhost_user *u, enum vhost_user_protocol bit)
{
	return u->protocol >> bit & 1;
}

/* The device's configuration, from its beginning; the back end must have VHOST_USER_CONFIG. */
int vhost_user_get_config(struct vhost_user *, void *config, size_t size, struct error *);
int vhost_user_set_features(struct vhost_user *, uint64_t, struct error *);
/* All RAM of the guest. It must be shared (guest_mem_file()). */
int vhost_user_set_memory(struct vhost_user *, const struct guest_mem *, struct error *);
/* Sets *f to memory for so many queues; the caller closes its descriptor. */
int vhost_user_get_inflight(struct vhost_user *, unsigned queues, uint16_t queue_size,
			    struct vhost_user_inflight *f, struct error *);
int vhost_user_set_inflight(struct vhost_user *, const struct vhost_user_inflight *,
			    struct error *);
/* Hands over a ring; the back end serves it when it is enabled, too. */
int vhost_user_set_ring(struct vhost_user *, const struct vhost_user_ring *, struct error *);
int vhost_user_enable_ring(struct vhost_user *, unsigned index, bool enable, struct error *);
/* Waits until the back end has taken everything that was sent. */
int vhost_user_sync(struct vhost_user *, struct error *);
/* Reads one request of the back end, from `requests`. 1: its configuration has changed; 0: it is of
 * no interest. */
int vhost_user_request(struct vhost_user *, struct error *);
/* Takes a ring back, when the requests in flight are finished; *base: where it goes on. */
int vhost_user_stop_ring(struct vhost_user *, unsigned index, uint16_t *base, struct error *);

#endif
