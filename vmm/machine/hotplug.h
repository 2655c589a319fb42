/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that come and go while the guest runs: hot-pluggable slots, and what is in them.
 *
 * A device is opened on a thread of its own, put behind the port of a free slot, and shown to the
 * guest when function 0 is there. It leaves when the guest has switched the slot off, because it
 * was asked to or by itself, or at once when it is forced. Then it is closed on a thread, too.
 *
 * Threads: main loop.
 */
#ifndef VMM_MACHINE_HOTPLUG_H
#define VMM_MACHINE_HOTPLUG_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/device.h"
#include "vmm/core/error.h"

struct evloop;
struct hotplug;
struct root_port;

/* Bytes below 4 GiB that a slot has for BARs that are not 64-bit and prefetchable. A graphics card
 * often has 16 MiB of registers, beside its ROM and its audio function. 29 slots fit between ECAM
 * and the end of that space. */
#define HOTPLUG_MEM32 (32u << 20)

/* How the devices of one class are opened, plugged, unplugged and closed, if they do it together.
 * Threads: as for the callbacks of struct device_class. */
struct hotplug_calls {
	const struct device_class *class;
	int (*open)(void *opaque, struct device *, const struct device_env *, struct error *);
	int (*plug)(void *opaque, struct device *, const struct device_env *, struct error *);
	void (*unplug)(void *opaque, struct device *);
	/* back: it will be opened again, so its host keeps it bound. */
	bool (*close)(void *opaque, struct device *, bool back);
	/* One that was closed with `back` does not come back. Runs on a thread. */
	void (*forget)(void *opaque, struct device *);
};

struct hotplug_env {
	const struct hotplug_calls *calls; /* NULL: all devices have those of their class */
	struct device_env device;	   /* without bus and devfn */
	struct device_list *devices;	   /* of the machine; devices are added and deleted */
	struct evloop *loop;
	uint64_t window; /* bytes for 64-bit prefetchable BARs of a slot, a power of two */
	/* One of QMP's events: DEVICE_DELETED, DEVICE_UNPLUG_GUEST_ERROR, X_MINIVMM_DEVICE_TAKEN.
	 * The path has /machine/peripheral/ID. */
	void (*event)(void *opaque, const char *name, const struct device *, const char *path);
	/* True: the guest stands still, so it cannot answer. NULL: it never does. */
	bool (*paused)(void *opaque);
	uint64_t end_ns; /* how long hotplug_stop() waits for all threads; 0: 5 seconds */
	void *opaque;
};

/* The window of slots if the user asks for none: for the largest device that is bound to vfio-pci
 * now, and at least 256 MiB. root: "" on a real host. */
uint64_t hotplug_window(const char *root);
/* NULL: out of memory. */
struct hotplug *hotplug_new(const struct hotplug_env *);
/* Makes n empty slots with root ports at free places of the root bus. Before the guest runs. */
int hotplug_add_slots(struct hotplug *, unsigned n, struct error *);
/* Makes the slot of a port hot-pluggable that others own, for example one of a passed-through card.
 * The port must stay until hotplug_free(), and devices must be adopted when they are behind it. */
int hotplug_adopt_port(struct hotplug *, struct root_port *, struct error *);
/* For a kernel that is started without firmware: sets the windows of our own ports, from the upper
 * ends of the machine's windows down. At the start and after each reset. h may be NULL. */
void hotplug_place_windows(struct hotplug *h, uint64_t end32, uint64_t base64, uint64_t size64);
/* A device that is behind such a port when the guest starts. It can be removed like others. */
int hotplug_adopt(struct hotplug *, struct root_port *, struct device *, unsigned fn,
		  struct error *);

/* How adding ended. err NULL: the device is there, and the guest was told if its function 0 is. */
typedef void hotplug_done(void *arg, const struct device *, const struct error *err);

struct hotplug_request {
	const struct device_class *class;
	const char *arg; /* as on the command line; NULL: none */
	const char *id;	 /* NULL: made from the class and a number */
	const char *bus; /* name of a slot; NULL: the first free one */
	unsigned fn;	 /* functions 1 to 7 are added before function 0 */
	/* Called once if hotplug_add() returns 0, later, also at the machine's end; may be NULL. */
	hotplug_done *done;
	void *done_arg;
};

/* Begins to add a device. The strings are not kept. */
int hotplug_add(struct hotplug *, const struct hotplug_request *, struct error *);

enum hotplug_unplug {
	UNPLUG_ASK,
	UNPLUG_FORCE,
	/* By force, and a second after all functions of the slot are closed they are opened and
	 * plugged again, as if they were new. DEVICE_DELETED comes only if that fails. */
	UNPLUG_REPLACE,
};

/* Removes the device with this id, and with it all functions of its slot; one that waits for
 * function 0 leaves alone. The event DEVICE_DELETED follows for each of them; after UNPLUG_ASK it
 * may be DEVICE_UNPLUG_GUEST_ERROR instead, and the request is forgotten. -ENODEV: there is no such
 * device. */
int hotplug_remove(struct hotplug *, const char *id, enum hotplug_unplug, struct error *);
/* The same for a device. False: it is in no hot-pluggable slot, or the guest cannot be asked now. h
 * may be NULL. */
bool hotplug_remove_device(struct hotplug *h, const struct device *, enum hotplug_unplug);

/* Before a reset, while no vCPU runs: removals that the guest was asked for are done now. h may be
 * NULL. */
void hotplug_reset(struct hotplug *h);
/* The name of a device that has left its bus and may still have DMA in flight. NULL: there is no
 * such device. h may be NULL. */
const char *hotplug_busy(const struct hotplug *h);

/* Before the devices are closed at the machine's end: waits for those that are just being opened or
 * closed, and closes none. False: a device is hung (struct device_class), or is stuck. h may be
 * NULL. */
bool hotplug_stop(struct hotplug *h);
/* After hotplug_stop(): a thread that opens or closes a device is still at work, because the host
 * does not answer. What it may use stays until the process ends: guest memory, the loop, and the
 * opaque pointer. h may be NULL. */
bool hotplug_stuck(const struct hotplug *h);
/* Frees slots and ports, which must be empty. If it is stuck, it only takes the devices that are
 * away from the list of devices, so that nobody frees them. h may be NULL. */
void hotplug_free(struct hotplug *h);

#endif
