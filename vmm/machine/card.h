/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A passed-through card: the functions that share a slot of the guest. What passthrough.c keeps of
 * the machine's cards is here, too, for the files that share it.
 *
 * A function's life: card_take() with what the user asked for; opened (by iommu_open_devices());
 * card_make(), when `dev` takes `kernel` over; plugged, unplugged; card_close().
 *
 * Threads: the main loop's, until the guest runs. Then a card belongs to the thread that holds
 * machine_vfio.life; the list, and which functions a card has, change under machine_vfio.lock, too.
 * The main loop reads them under that lock. What is plugged is the main loop's.
 */
#ifndef VMM_MACHINE_CARD_H
#define VMM_MACHINE_CARD_H

#include <pthread.h>

#include "devices/pci/root_port.h"
#include "vfio/device.h"
#include "vfio/layout.h"
#include "vfio/options.h"
#include "vfio/reset.h"
#include "vmm/machine/passthrough.h"

struct card_function {
	struct card *card;
	struct device *device; /* as the user asked for it; NULL: there is no such function */
	const struct vfio_options *opt;
	struct sysfs_pci host;
	unsigned fn; /* its number in the guest's slot */
	struct vfio_kernel *kernel;
	struct vfio_pci *dev;
	struct pci_bus *bus; /* valid while plugged */
	bool plugged, left;  /* on a bus of the guest; it was, and leaves the machine */
	bool clean;	     /* it was reset, and was not in the guest since */
};

struct card {
	struct card *next;
	struct machine_vfio *all;
	struct card_function fn[8];
	unsigned slot; /* of the guest's first bus, as asked for; 0: any */
	struct root_port
		port; /* valid when has_port: that of a card which was there at the start */
	bool has_port;
	bool late; /* it was added to a running machine */
};

struct machine_vfio {
	struct iommu *iommu; /* NULL: there was no device so far */
	struct kvm *kvm;
	struct guest_mem *mem;
	struct pci_root *pci;
	struct vfio_news news;
	struct vfio_reset *reset; /* of all functions that are in the guest, or can be at once */
	unsigned requests;	  /* of the host to have a device back */
	pthread_mutex_t life;	  /* whose thread opens and closes devices of the running machine */
	pthread_mutex_t lock;	  /* cards and reset; taken after life, and not for long */
	struct card *cards;
	/* card_news.c: what a device (struct card_function) has to say, and what follows. */
	void (*on_request)(void *function, const char *name);
	void (*on_error)(void *function, const char *name);
	struct card_case *cases;
	struct ev_timer *timer; /* NULL: none was needed so far */
};

/* A card without functions at the end of the list; NULL: out of memory. */
struct card *card_new(struct machine_vfio *);
/* Takes it out of the list; its functions are gone. */
void card_free(struct card *);
/* The i-th function that there is, of one card or of all; NULL: there are no more. */
struct card_function *card_function(struct card *, unsigned i);
struct card_function *cards_function(const struct machine_vfio *, unsigned i);

/* -ENOSPC: it has eight functions. */
int card_take(struct card *, struct device *, const struct sysfs_pci *, unsigned fn,
	      struct error *);
void card_drop(struct card_function *); /* it is closed */
/* The guest's device, from the opened one, which is closed when it fails. */
int card_make(struct card_function *, struct error *);
/* Closes it, as far as it is open. It is on no bus. */
void card_close(struct card_function *);
/* On a bus of the guest, and off it. Main loop. */
int card_plug(struct card_function *, struct pci_bus *, uint8_t devfn, struct error *);
void card_unplug(struct card_function *);
/* How a reset sees it. */
struct vfio_reset_device card_reset_device(const struct card_function *);

/* The address space, made when there is none yet. */
int cards_open_iommu(struct machine_vfio *, struct error *);
/* machine_vfio.reset for all functions but one (NULL: all), which is about to be closed. If it
 * fails, the old plan stays. */
int cards_plan_reset(struct machine_vfio *, const struct card_function *without, struct error *);
/* Peer-to-peer mappings make sense, or do no more: after a card came or left. */
void cards_update_p2p(struct machine_vfio *);

/* card_news.c */
void card_on_request(void *function, const char *name);
void card_on_error(void *function, const char *name);
void card_has_come(const struct card_function *); /* to the running guest */
void card_has_left(const struct card_function *);
void cards_close_cases(struct machine_vfio *);

#endif
