/* SPDX-License-Identifier: BSD-2-Clause */
/* Between virtio_pci.c, which has the registers, and virtio_run.c, which has the device on its
 * rings or not. The device's lock is held in all of these unless something else is said. */
#ifndef DEVICES_VIRTIO_RUN_H
#define DEVICES_VIRTIO_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct virtio_device;

/* What virtio_run.c asks of virtio_pci.c. */
struct virtio_run_ops {
	void (*registers_reset)(struct virtio_device *); /* all as after power-on */
	void (*broken)(struct virtio_device *, const char *why);
};

/* No lock yet. */
void virtio_run_init(struct virtio_device *, const struct virtio_run_ops *);
void virtio_run_destroy(struct virtio_device *); /* no lock any more */

/* DRIVER_OK was set. */
void virtio_driver_ok(struct virtio_device *);
/* The driver resets the device. It is done when this returns, or when v->resetting is false again:
 * a device on storage that hangs takes its time, in which nobody waits for it. */
void virtio_reset(struct virtio_device *);
/* A reset without any wait; true when it is done. Takes the device's lock. */
bool virtio_quiesce(struct virtio_device *);
/* The machine is paused, or goes on: the device is off its rings meanwhile. Does not wait; true
 * when it has left them. Takes the device's lock. */
bool virtio_pause(struct virtio_device *, bool pause);
/* Bus mastering was switched on or off, or may have been. */
void virtio_master_changed(struct virtio_device *);
/* The last stop, for a device that is on no bus any more. Takes the device's lock. False: it has
 * not left its rings for a second. */
bool virtio_end(struct virtio_device *);

/* Where the registers are now; 0: nowhere. Takes `leaf` only. */
void virtio_moved(struct virtio_device *, uint64_t bar_addr);

#endif
