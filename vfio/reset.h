/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resetting the VM's passed-through devices, as one set: a bus reset hits every function behind a
 * port, so what each device needs can only be decided for all of them together.
 *
 * Threads: main loop, vCPUs not in the guest. Devices that have nothing to do with each other are
 * reset at the same time, in threads that are gone when vfio_reset_all() returns; quiesce and after
 * are called in the caller's.
 */
#ifndef VFIO_RESET_H
#define VFIO_RESET_H

#include <stdbool.h>
#include <stddef.h>

#include "vfio/host/reset_choice.h"
#include "vmm/core/error.h"

struct iommu;
struct vfio_kernel;
struct vfio_reset;

struct vfio_reset_device {
	struct vfio_kernel *kernel; /* not owned */
	bool function_reset;	    /* VFIO_DEVICE_FLAGS_RESET */
	const char *methods;	    /* sysfs reset_method; NULL: not known (Linux < 5.15) */
	bool flr;		    /* for when it is not: the device has a function-level reset */
	/* Around a reset, for the guest-facing device; both may be NULL. quiesce: interrupts off,
	 * BARs out of guest memory, D0, no decoding, no bus mastering. after: the device's
	 * registers are at their defaults. */
	void (*quiesce)(void *), (*after)(void *);
	void *opaque;
};

/* Finds out how each of the n devices will be reset; changes nothing. The array is copied,
 * what it points to is not, and methods only has to live through the call. What is open in this
 * address space is the guest's; its descriptors have to live as long as the set. NULL: out of
 * memory, or a device that does not answer, with *err set. */
struct vfio_reset *vfio_reset_new(const struct vfio_reset_device *, size_t n, const struct iommu *,
				  struct error *err);
void vfio_reset_free(struct vfio_reset *);

/* A device outside of the set is to keep its state, whatever group it is in: those that would be
 * reset with its bus get what there is for the function alone. */
void vfio_reset_spare(struct vfio_reset *, const char *bdf);

/* Takes a device out of the set, before it is closed. */
void vfio_reset_forget(struct vfio_reset *, const struct vfio_kernel *);

enum vfio_reset_how vfio_reset_how(const struct vfio_reset *, size_t i);
/* One sentence for device i; returns false when it is a warning: no reset, and what that means. */
bool vfio_reset_verdict(const struct vfio_reset *, size_t i, char *buf, size_t size);
/* Logs every verdict: information, or a warning. */
void vfio_reset_log(const struct vfio_reset *);

/* Resets every device once, whatever number of functions share a bus, after quiescing all of them.
 * Devices that cannot be reset are at least quiet. kernel_too: at the
 * start and the end of the run, where the kernel resets functions by itself as it opens and closes
 * them, so that bus resets are all that is left to do (another FLR would take its 100 ms for
 * nothing). A reset that fails is logged with its device; returns how many did. */
unsigned vfio_reset_all(struct vfio_reset *, bool kernel_too);

#endif
