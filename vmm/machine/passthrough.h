/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's passed-through devices: from the host's sysfs to root ports.
 *
 * In this order: machine_vfio_look(), _open(), _realize(), _map(); _unrealize(), _close() in any
 * case. Without --vfio there is none: NULL, which all functions but _look() take and do nothing.
 * Where devices can come later, machine_vfio_new() makes one without devices.
 *
 * Threads: main loop, where nothing else is said. A device's news (the host wants it back, it
 * failed) come there, too.
 */
#ifndef VMM_MACHINE_PASSTHROUGH_H
#define VMM_MACHINE_PASSTHROUGH_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/device.h"
#include "vmm/core/error.h"
#include "vmm/core/phase.h"

struct guest_mem;
struct kvm;
struct machine_vfio;
struct pci_bus;
struct pci_root;
struct root_port;

/* How a device leaves a slot that is hot-pluggable. */
enum vfio_unplug {
	VFIO_UNPLUG_ASK,     /* when the guest lets it go */
	VFIO_UNPLUG_FORCE,   /* at once */
	VFIO_UNPLUG_REPLACE, /* at once, and it is put back later */
};

/* What a device can make the machine do. */
struct vfio_news {
	/* Presses the guest's power button; false: the guest does not listen to it. */
	bool (*power_button)(void *opaque);
	void (*stop)(void *opaque, int status); /* ends the run with this exit status */
	void *opaque;
	/* All NULL where no slot is hot-pluggable. A device in one that is has an id. adopt() is
	 * told of each port, d NULL, and then of the devices behind it. unplug() removes all
	 * functions of a slot. */
	int (*adopt)(void *opaque, struct root_port *, struct device *d, unsigned fn,
		     struct error *);
	int (*unplug)(void *opaque, const struct device *, enum vfio_unplug, struct error *);
	/* --bind: binds a device to vfio-pci that comes, or gives it back, if it was not bound
	 * before. On the thread that adds or removes it; one at a time. */
	int (*bind)(void *opaque, const char *bdf, bool bind, struct error *);
	/* Tells QMP's clients. action may be NULL. */
	void (*event)(void *opaque, const char *name, const char *id, const char *action);
};

struct machine_vfio *machine_vfio_new(void); /* NULL: out of memory */
/* Finds the devices of --vfio in sysfs and refuses what cannot work; opens nothing. *NULL when
 * there are none. */
int machine_vfio_look(struct machine_vfio **, const struct device_list *, struct error *);
/* The host's NUMA node of the first device that has one; -1: none. After machine_vfio_look(). */
int machine_vfio_node(const struct machine_vfio *);
/* There are devices. */
bool machine_vfio_any(const struct machine_vfio *);
/* Bytes of 64-bit PCI window that their BARs need, as the host says. After machine_vfio_look(). */
uint64_t machine_vfio_mem64(const struct machine_vfio *);

/* Joins the groups to the IOMMU and to KVM, and opens the devices. */
int machine_vfio_open(struct machine_vfio *, struct kvm *, struct guest_mem *, struct error *);
/* How many address bits the IOMMU has; 0: not known. After machine_vfio_open(). */
unsigned machine_vfio_phys_bits(const struct machine_vfio *);

/* Makes the guest's devices, resets them and plugs them into root ports at free slots of the root
 * bus, from first_slot on. Undoes itself when it fails. */
int machine_vfio_realize(struct machine_vfio *, struct pci_root *, unsigned first_slot,
			 const struct vfio_news *, struct phase_clock *, struct error *);
/* Guest memory comes within the devices' reach: once it is all there. */
int machine_vfio_map(struct machine_vfio *, struct guest_mem *, struct error *);
void machine_vfio_reset(struct machine_vfio *);
void machine_vfio_unrealize(struct machine_vfio *);
void machine_vfio_close(struct machine_vfio *);

/* One device of --vfio, while the guest runs; these calls correspond to open(), plug(), unplug()
 * and close() of struct device_class. Of the functions of one slot, all are unplugged before the
 * first is removed, so that they are reset together where only that helps.
 *
 * machine_vfio_add() opens and resets the device and gives it guest memory. It refuses what a start
 * refuses, and then undoes all. machine_vfio_remove() resets and closes it: afterwards the host can
 * bind it to another driver. Both take long; they are called on a thread beside the main loop. */
int machine_vfio_add(struct machine_vfio *, struct device *, struct error *);
int machine_vfio_plug(struct device *, struct pci_bus *, uint8_t devfn, struct error *);
/* The guest, which may be running, cannot reach the device any more, nor the device its memory. A
 * second time it does nothing. */
void machine_vfio_unplug(struct device *);
/* back: it will be added again soon, so its host keeps it bound to VFIO. */
void machine_vfio_remove(struct device *, bool back);
/* It is not: the host gets it back. Slow, like these. */
void machine_vfio_forget(struct machine_vfio *, const struct device *);
/* A thread is in one of these, or waits for one that is. v may be NULL. */
bool machine_vfio_is_at_work(struct machine_vfio *v);

#endif
