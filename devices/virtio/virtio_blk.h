/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk (VIRTIO 1.2 §5.2) over a raw image or a block device. */
#ifndef DEVICES_VIRTIO_VIRTIO_BLK_H
#define DEVICES_VIRTIO_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/block/blk_file.h"
#include "devices/virtio/blk_queue.h"

struct device;
struct device_class;
struct error;
struct pci_bus;
struct pci_root;
struct virtio_blk;

struct blk_config {
	const char *path;
	const char *serial; /* at most 20 bytes; NULL: no serial number */
	bool readonly;
	enum blk_format format;
	enum blk_cache cache;
	enum blk_aio aio;
	unsigned poll_usec; /* as in struct blk_runner_config */
	bool poll_always;
	unsigned block_size; /* logical block size; 0: 512, or that of a block device */
	unsigned queues;     /* 1..BLK_MAX_QUEUES; 0 means 1 */
	bool ram_pinned;     /* as in struct device_env */
	unsigned index;	     /* number of the device: blk0, blk1 ... */
};

#define BLK_MAX_QUEUES 32

/* Opens and locks the image; needs no machine. The strings are not kept. Main thread. NULL with
 * *err set on failure. */
struct virtio_blk *virtio_blk_open(const struct blk_config *, struct error *);
/* Starts one thread for each queue and puts the device on the bus. The configuration must be the
 * one of virtio_blk_open(). Call virtio_blk_free() also after a failure. */
int virtio_blk_plug(struct virtio_blk *, struct pci_root *, struct pci_bus *, uint8_t devfn,
		    const struct blk_config *, struct error *);
/* Removes the device; requests in flight are completed first. NULL is allowed. False: the storage
 * has not answered for a second. Then the device is off its bus, but its requests, its threads and
 * guest memory must stay until the process ends. */
bool virtio_blk_free(struct virtio_blk *);

extern const struct device_class virtio_blk_class;

/* What is known of a device of that class. */
struct virtio_blk_info {
	const char *path; /* the device's own */
	bool readonly;
	uint64_t bytes; /* 0: not open */
};
struct virtio_blk_info virtio_blk_info(const struct device *);

#endif
