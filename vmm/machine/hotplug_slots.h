/* SPDX-License-Identifier: BSD-2-Clause */
/* What hotplug.c, which knows when devices come and go, and hotplug_slots.c, which knows where,
 * share. Threads: main loop, except where noted. */
#ifndef VMM_MACHINE_HOTPLUG_SLOTS_H
#define VMM_MACHINE_HOTPLUG_SLOTS_H

#include "devices/backend/worker.h"
#include "devices/pci/root_port.h"
#include "vmm/core/evloop.h"
#include "vmm/machine/hotplug.h"

#define HOT_FUNCTIONS 8u

struct hot_slot;

enum hot_state {
	HOT_OPENING,
	HOT_WAITS, /* behind the port, for function 0 */
	HOT_HERE,
	HOT_CLOSING,
	HOT_GONE,    /* closed, and will be opened again */
	HOT_LEAVING, /* it was to be opened again and is not; its host gets it back */
	HOT_HUNG,    /* it is in no slot any more, but in h->hung */
};

struct hot_device {
	struct hot_slot *slot;
	struct device *dev;
	unsigned fn;
	enum hot_state state; /* the thread reads it; it does not change while there is one */
	/* of the thread, until `back` runs on the main loop */
	struct worker worker;
	struct device_env env;
	struct error err; /* why adding failed */
	bool closed;	  /* what close() has returned */
	struct ev_call back;
	bool busy;    /* there is a thread, or `back` has not run yet */
	bool replace; /* it is opened again when it is closed */
	bool kept;    /* close() was told so */
	bool adding;  /* done() is owed */
	bool failed;  /* to be added, so that nobody hears when it has gone */
	/* what waits for the root lock: `back` has run; how the device is to be removed, plus 1 */
	bool returned;
	unsigned removal;
	hotplug_done *done;
	void *done_arg;
	/* one that is hung */
	struct hot_device *next; /* in h->hung */
	struct ev_timer *again;	 /* to close it; NULL: out of memory, or it is not hung */
	uint64_t pause_ns;
};

struct hot_slot {
	struct hotplug *h;
	struct hot_slot *next;
	struct root_port *port;
	bool own; /* the port is ours */
	char name[16];
	_Atomic unsigned news; /* bits: 1 << enum root_port_news; set on any thread */
	struct ev_call call;
	struct ev_timer *timer; /* the guest's time to answer */
	struct ev_timer *look;	/* for the root lock */
	bool asked;
	struct hot_device *fn[HOT_FUNCTIONS];
};

struct hotplug {
	struct hotplug_env env;
	struct hot_slot *slots;
	unsigned n_slots;
	struct hot_device *hung;
	bool stuck; /* hotplug_stop() has left a thread at work */
	/* hotplug.c: the port has news; the guest's time to answer is over; the root lock may be
	 * free. */
	void (*hear)(void *slot);
	void (*timeout)(void *slot);
	void (*look)(void *slot);
};

/* The slot where the request's function can be put. NULL with *err set. */
struct hot_slot *hot_slot_find(struct hotplug *, const struct hotplug_request *, struct error *);
/* True if no function is in it, comes or leaves. */
bool hot_slot_is_empty(const struct hot_slot *);
/* Does what is behind the port fit into the addresses that the slot has? */
int hot_slot_check_fit(struct hot_slot *, struct error *);

#endif
