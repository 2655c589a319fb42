/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device whose rings another process serves, a vhost-user back end. Kicks reach that
 * process by ioeventfds, and its interrupts leave by irqfds, so we are not involved in either.
 *
 * Threads: the device has one thread. It speaks with the back end, which may take as long as
 * vhost_user.h says, and waits for the end of the connection. All functions of struct
 * vhost_user_kind run on it, except where noted; the functions below run on the main thread.
 */
#ifndef DEVICES_VIRTIO_VHOST_USER_DEVICE_H
#define DEVICES_VIRTIO_VHOST_USER_DEVICE_H

#include "devices/virtio/vhost_user.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

struct device;
struct device_env;
struct device_list;
struct iothread;
struct vhost_user_device;

struct vhost_user_kind {
	const char *option; /* for messages */
	/* The back end finishes requests in the order in which they come. So the ring itself shows
	 * which requests a back end that has died did not finish. */
	bool in_order;
	/* There is a new connection, or another configuration: checks what the back end has, and
	 * reads its configuration. The first time, on the main thread, before virtio_init(). */
	int (*connected)(struct vhost_user_device *, struct error *);
	/* The number of queues that the back end serves; the first ones. */
	unsigned (*rings)(const struct vhost_user_device *);
	/* Whether it serves this one at once. NULL: all. */
	bool (*enabled)(const struct vhost_user_device *, unsigned queue);
	/* vhost_user_device_command() was called. NULL: it never is. */
	void (*commands)(struct vhost_user_device *);
};

struct vhost_user_device {
	struct virtio_device vdev;
	const struct vhost_user_kind *kind;
	const char *path; /* of the socket; the caller owns it */
	char name[16];
	struct vhost_user back;
	bool initialized; /* vdev */
	uint64_t own;	  /* as in struct vhost_user_plug */
	int wake, ring_err;
	struct iothread *thread;
	_Atomic unsigned asked;
	_Atomic bool
		lost; /* requests whose fate is not known: until the driver resets the device */
	_Atomic bool fresh; /* the driver has reset it since the last start */
	_Atomic bool ended; /* we close the connection ourselves */
	/* the thread's */
	bool wanted;	   /* the driver wants the rings served */
	bool running;	   /* the back end has them */
	bool has_memory;   /* of this connection: it was told of guest memory */
	unsigned failures; /* to start, one after another */
	uint64_t again_ns; /* when to try to connect */
	struct vhost_user_inflight inflight;
	struct log_limit limit;
	/* what the main loop tells others */
	pthread_mutex_t news_lock;
	struct evloop *loop; /* NULL: nobody is told (any more) */
	struct ev_call news;
	bool connected, told_connected; /* under news_lock; of the main loop */
	void (*event)(void *, const char *event, const char *device);
	void *event_arg;
	const char *id;
};

/* For struct device_class, whose options begin with the socket's path (a const char *): it is given
 * once. */
int vhost_user_device_check(const struct device *, const struct device_list *, struct error *);
/* Initialises a zeroed device that is embedded in another struct, and connects to the back end.
 * vhost_user_device_free() in any case. */
int vhost_user_device_open(struct vhost_user_device *, const struct vhost_user_kind *,
			   const char *path, struct error *);
/* Puts the device on the bus. features: of the device class; those that the back end does not have
 * are left out, but not those in `own`, which are ours. */
struct vhost_user_plug {
	const struct virtio_ops *ops; /* start, stop and reset are those below */
	uint64_t features, own;
	unsigned queues;
	uint16_t queue_size;
	const char *id; /* for events; NULL: the name */
};
int vhost_user_device_plug(struct vhost_user_device *, const struct device_env *,
			   const struct vhost_user_plug *, struct error *);
void vhost_user_device_unplug(struct vhost_user_device *);
/* False: a thread still uses it, so it must not be freed. */
bool vhost_user_device_free(struct vhost_user_device *);

/* For struct virtio_ops. */
int vhost_user_device_start(struct virtio_device *);
unsigned vhost_user_device_stop(struct virtio_device *);
void vhost_user_device_reset(struct virtio_device *);
void vhost_user_device_command(struct virtio_device *, struct virtio_queue *);

/* For commands(): true if the driver wants the device to stop. */
bool vhost_user_device_stops(const struct vhost_user_device *);
/* The connection has failed. */
void vhost_user_device_lose(struct vhost_user_device *, const struct error *);

static inline struct vhost_user_device *vhost_user_of(struct virtio_device *v)
{
	return container_of(v, struct vhost_user_device, vdev);
}

#endif
