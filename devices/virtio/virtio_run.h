/* SPDX-License-Identifier: BSD-2-Clause */
/* The interface between virtio_pci.c, which has the registers, and virtio_run.c, which starts and
 * stops the device. All functions are called with the device's lock, except where noted. */
#ifndef DEVICES_VIRTIO_RUN_H
#define DEVICES_VIRTIO_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct virtio_device;

/* Functions of virtio_pci.c that virtio_run.c calls. */
struct virtio_run_ops {
	void (*registers_reset)(struct virtio_device *); /* to the power-on state */
	void (*broken)(struct virtio_device *, const char *why);
};

/* Called without the lock. */
void virtio_run_init(struct virtio_device *, const struct virtio_run_ops *);
void virtio_run_destroy(struct virtio_device *); /* called without the lock */

/* The driver has set DRIVER_OK. */
void virtio_driver_ok(struct virtio_device *);
/* The driver resets the device. The reset is complete when v->resetting is false. This is usually
 * so when the function returns; if storage hangs, it is later, and nobody waits for it. */
void virtio_reset(struct virtio_device *);
/* A reset that never waits. True: it is complete. Takes the device's lock. */
bool virtio_quiesce(struct virtio_device *);
/* The machine is paused, or goes on; a paused device does not use its rings. Does not wait. True:
 * it has left its rings. Takes the device's lock. */
bool virtio_pause(struct virtio_device *, bool pause);
/* Bus mastering may have been switched on or off. */
void virtio_master_changed(struct virtio_device *);
/* The last stop, for a device that is on no bus any more. Takes the device's lock. False: the
 * device has not left its rings within a second. */
bool virtio_end(struct virtio_device *);

/* The registers have moved to bar_addr; 0: they are not mapped. Takes only `leaf`. */
void virtio_moved(struct virtio_device *, uint64_t bar_addr);

#endif
