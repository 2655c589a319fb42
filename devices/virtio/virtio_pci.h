/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modern virtio transport over PCI (VIRTIO 1.2 §4.1). A device has a const struct virtio_ops
 * and its own state; the transport is the same for all devices.
 *
 * Threads: register accesses arrive on vCPU threads under the device's lock. start(), stop(),
 * reset(), kicked() and command() also run under it. start() and reset() may run on a thread of the
 * device, which has called virtio_left(). None of them may wait for the device's threads. These
 * threads may call virtio_notify_queue(), virtio_broken() and virtio_config_changed(), which do not
 * take the device's lock. All other functions run on the main thread.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_PCI_H
#define DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/pci/pci.h"
#include "devices/virtio/virtq.h"

struct ev_source;
struct virtio_device;
struct virtio_run_ops;

#define VIRTIO_MAX_QUEUES 64
#define VIRTIO_REG_NOTIFY 0x3000u
#define VIRTIO_NOTIFY_MUL 4u

struct virtio_queue {
	struct virtio_device *vdev;
	unsigned index;
	uint16_t max_size;
	int kick_fd;	 /* non-blocking eventfd for the driver's kicks; -1: not made yet */
	struct virtq vq; /* valid while enabled */
	bool enabled;
	bool direct; /* the result of ops->direct(); false while the queue is not enabled */
	/* values that the driver wrote */
	uint16_t size, vector;
	uint64_t desc, avail, used;
	/* for the transport only */
	_Atomic int vector_fd; /* -1: no vector */
	uint64_t interrupts;   /* the number that we raised; written on the queue's thread */
	_Atomic bool foreign;  /* the kernel (vhost) may raise interrupts, too */
	bool doorbell;
	struct ev_source *source;
};

struct virtio_ops {
	uint16_t id;	     /* VIRTIO_ID_* */
	uint32_t class_code; /* 24 bit */
	/* The driver has set DRIVER_OK; enabled queues have a valid virtq. -errno: the device needs
	 * a reset. */
	int (*start)(struct virtio_device *);
	/* Undoes start(): the device must stop using its rings. Must not wait for requests in
	 * flight. Returns the number of calls of virtio_left() that will follow, one for each
	 * thread that still uses guest memory; 0: no thread does. start() may follow with the same
	 * virtqs. */
	unsigned (*stop)(struct virtio_device *);
	/* Called on the main loop after a kick. NULL: the device reads kick_fd itself. */
	void (*kicked)(struct virtio_device *, struct virtio_queue *);
	/* For a queue for which direct() is true, a kick calls command() at once, on the vCPU's
	 * thread. This is for queues that are hardly used. NULL: there are no such queues. If a
	 * device has direct(), its other queues get their kick_fd when the driver enables them. */
	bool (*direct)(const struct virtio_device *, unsigned queue);
	void (*command)(struct virtio_device *, struct virtio_queue *);
	/* The driver has reset the device, and the device has left its rings; optional. */
	void (*reset)(struct virtio_device *);
	/* The driver has written to the device's configuration; optional. */
	void (*config_write)(struct virtio_device *, unsigned off, unsigned size, uint64_t val);
};

struct virtio_device {
	struct pci_device pci;
	const struct virtio_ops *ops;
	uint64_t features;	 /* offered features, including those of the transport */
	uint64_t guest_features; /* features that the driver accepted */
	const void *config;	 /* the device's configuration; read-only for the guest */
	unsigned config_len;
	unsigned n_queues;
	struct virtio_queue *queues;
	bool started; /* between start() and stop() */
	/* From virtio_realize() on. The device's threads need it until they have left the rings,
	 * and that may be after the device has left the bus. */
	const struct guest_mem *mem;
	/* for virtio_run.c only */
	const struct virtio_run_ops *run_ops;
	bool driver_ok, master, resetting, paused, ended;
	unsigned leaving;    /* calls of virtio_left() that have not come yet */
	uint64_t stopped_ns; /* the time of ops->stop() */
	pthread_cond_t left; /* used with the device's lock */
	/* for virtio_pci.c only */
	uint32_t feature_sel, guest_feature_sel;
	uint16_t queue_sel, config_vector;
	_Atomic uint8_t status, isr, generation;
	unsigned cfg_cap; /* offset of the PCI configuration access capability */
	int intx_fd;
	struct ev_source *intx_source;
	pthread_mutex_t
		leaf; /* protects doorbells, bar_addr, limit; under it only the bus is locked */
	uint64_t bar_addr; /* 0: not mapped */
	struct log_limit limit;
};

/* Initialises a zeroed device that is embedded in another struct. The caller sets config and
 * config_len before or after this. queue_size: a power of two up to VIRTQ_MAX_SIZE. A failure
 * leaves nothing to undo. */
int virtio_init(struct virtio_device *, const char *name, const struct virtio_ops *,
		uint64_t features, unsigned n_queues, uint16_t queue_size, struct error *);
/* Puts it on the bus. */
int virtio_realize(struct virtio_device *, struct pci_root *, struct pci_bus *, uint8_t devfn,
		   struct error *);
/* Takes the device off the bus while the guest runs. Its threads may still use its rings, so
 * virtio_destroy() follows, which any thread may call then. */
void virtio_unplug(struct virtio_device *);
/* Takes the device off the bus (if it is on one), stops it, and undoes virtio_init(). False: the
 * device still uses its rings after a second, so it must not be freed. */
bool virtio_destroy(struct virtio_device *);

static inline bool virtio_has(const struct virtio_device *v, unsigned bit)
{
	return v->guest_features >> bit & 1;
}

void virtio_notify_queue(struct virtio_queue *); /* call it if virtq_flush() returns true */
/* Kicks the queue like the driver. A device calls this if its turn ended before the ring was empty,
 * so that the main loop calls kicked() again. */
void virtio_kick_self(struct virtio_queue *);
/* Called by the device's threads, as often as stop() has returned. Takes the device's lock. */
void virtio_left(struct virtio_device *);
/* The device has changed its configuration: increments the generation (§2.5.1) and raises a
 * configuration interrupt (§2.1.2). */
void virtio_config_changed(struct virtio_device *);
/* The guest has broken a ring: sets DEVICE_NEEDS_RESET and raises a configuration interrupt
 * (§2.1.2). */
void virtio_broken(struct virtio_device *, const char *why);
/* The same, but the fault is not the guest's, and the caller says what has happened. */
void virtio_needs_reset(struct virtio_device *);
/* The eventfd that interrupts the guest for this queue (for vhost); never -1. */
int virtio_queue_call_fd(struct virtio_queue *);

#endif
