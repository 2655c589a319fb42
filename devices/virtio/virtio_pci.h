/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modern virtio transport over PCI (VIRTIO 1.2 §4.1). A device is one const struct virtio_ops
 * and the state behind it; everything the transport does is the same for all.
 *
 * Threads: register accesses arrive on vCPU threads under the device's lock. start(), stop() and
 * kicked() run under it too, start() also on a thread of the device's that calls virtio_left();
 * none of them waits for those threads. virtio_notify_queue(), virtio_broken() and
 * virtio_config_changed() are for those threads and take no device lock. new/free run on the main
 * thread.
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
	int kick_fd;	 /* non-blocking eventfd; the driver's kicks arrive here */
	struct virtq vq; /* valid while enabled */
	bool enabled;
	/* what the driver wrote */
	uint16_t size, vector;
	uint64_t desc, avail, used;
	/* the transport's */
	_Atomic int vector_fd; /* -1: no vector */
	uint64_t interrupts;   /* raised by us; counted on the queue's thread */
	bool foreign;	       /* somebody else raises them, too (vhost) */
	bool doorbell;
	struct ev_source *source;
};

struct virtio_ops {
	uint16_t id;	     /* VIRTIO_ID_* */
	uint32_t class_code; /* 24 bit */
	/* DRIVER_OK: enabled queues have a valid virtq. -errno: the device needs a reset. */
	int (*start)(struct virtio_device *);
	/* Undoes start(): the device leaves its rings, without a wait for what it has in flight.
	 * Returns how many calls of virtio_left() will come, each when a part of it touches guest
	 * memory no more; 0: nothing does. start() may follow with the same virtqs. */
	unsigned (*stop)(struct virtio_device *);
	/* A kick, on the main loop. NULL: the device reads kick_fd itself. */
	void (*kicked)(struct virtio_device *, struct virtio_queue *);
	/* The device's configuration was written to; optional. */
	void (*config_write)(struct virtio_device *, unsigned off, unsigned size, uint64_t val);
};

struct virtio_device {
	struct pci_device pci;
	const struct virtio_ops *ops;
	uint64_t features;	 /* offered; the transport adds its own */
	uint64_t guest_features; /* accepted */
	const void *config;	 /* the device's configuration, read-only for the guest */
	unsigned config_len;
	unsigned n_queues;
	struct virtio_queue *queues;
	bool started; /* between start() and stop() */
	/* the transport's: virtio_run.c */
	const struct virtio_run_ops *run_ops;
	bool driver_ok, master, resetting, paused, ended;
	unsigned leaving;    /* parts that have yet to leave the rings */
	uint64_t stopped_ns; /* when they were asked to */
	pthread_cond_t left; /* with the device's lock */
	/* and virtio_pci.c */
	uint32_t feature_sel, guest_feature_sel;
	uint16_t queue_sel, config_vector;
	_Atomic uint8_t status, isr, generation;
	unsigned cfg_cap; /* offset of the PCI configuration access capability */
	int intx_fd;
	struct ev_source *intx_source;
	pthread_mutex_t
		leaf;	   /* doorbells, bar_addr, limit; nothing is taken under it but the bus */
	uint64_t bar_addr; /* 0: not mapped */
	struct log_limit limit;
};

/* Prepares an embedded, zeroed device: the caller fills in config and config_len before or after.
 * queue_size: a power of two up to VIRTQ_MAX_SIZE. On failure everything is undone. */
int virtio_init(struct virtio_device *, const char *name, const struct virtio_ops *,
		uint64_t features, unsigned n_queues, uint16_t queue_size, struct error *);
/* Puts it on the bus. */
int virtio_realize(struct virtio_device *, struct pci_root *, struct pci_bus *, uint8_t devfn,
		   struct error *);
/* Takes it off the bus (if it was on one), stops it, and releases what virtio_init() took. False:
 * it has not left its rings for a second, so all of it has to stay in place. */
bool virtio_destroy(struct virtio_device *);

static inline bool virtio_has(const struct virtio_device *v, unsigned bit)
{
	return v->guest_features >> bit & 1;
}

void virtio_notify_queue(struct virtio_queue *); /* after virtq_flush() said so */
/* Makes kicked() come again: there is more on the ring than one turn may take. */
void virtio_kick_self(struct virtio_queue *);
/* Said by the device's threads, once for each of what stop() promised. Takes the device's lock. */
void virtio_left(struct virtio_device *);
/* The device changed its configuration: its generation (§2.5.1) and an interrupt (§2.1.2). */
void virtio_config_changed(struct virtio_device *);
/* The guest broke a ring: DEVICE_NEEDS_RESET and a configuration interrupt (§2.1.2). */
void virtio_broken(struct virtio_device *, const char *why);
/* The eventfd that interrupts the guest for this queue (for vhost); never -1. */
int virtio_queue_call_fd(struct virtio_queue *);

#endif
