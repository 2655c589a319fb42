/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a user asks for, and their classes.
 *
 * A class is a row of the machine's table (vmm/machine/classes.c). Everything about its devices is
 * in one file: the option, its keys, and how a device is opened, put into a machine and closed. The
 * calls for a device come in this order:
 *
 *   device_create()  reads the arguments; opens nothing
 *   open()           opens what the user named, before there is a machine
 *   plug()           puts the device on the machine's buses; the guest does not run yet
 *   reset()          power-on state, with the machine
 *   unplug()         takes the device off its bus while the guest runs
 *   close()          undoes open() and plug(), as far as they were done
 *
 * A device that comes or goes while the guest runs (vmm/machine/hotplug.h) is opened and closed on
 * a thread of its own, because both may take seconds. Meanwhile it is `away`: it is in the list,
 * but device_next() does not find it.
 *
 * Threads: main loop. For such a device, open() and close() run on another thread. They must not
 * touch what belongs to the main loop: the lists of devices, statistics, event sources, buses.
 */
#ifndef VMM_CORE_DEVICE_H
#define VMM_CORE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"
#include "vmm/core/keys.h"

struct device;
struct device_list;
struct outputs;
struct pci_bus;
struct pci_root;
struct qmp;
struct usb_input;
struct usb_ports;

/* The machine that a device is put into. */
struct device_env {
	const struct device_list *devices; /* of the machine */
	const char *name;		   /* the name from --name; NULL: no name */
	unsigned cpus;			   /* number of the guest's vCPUs */
	bool ram_pinned; /* guest RAM lies in huge pages, and passed-through devices pin it */
	struct outputs *outputs; /* files that the run writes to; may be NULL */
	/* Valid from plug() on. pci has the buses, memory, interrupts and the main loop. */
	struct pci_root *pci;
	struct pci_bus *bus; /* the bus of a PCI device, ... */
	uint8_t devfn;	     /* ... and its device and function number */
	void (*power_off)(void *);
	void *power_off_arg;
	/* Tells those who control the machine, with the id or name of the device. Main loop. NULL:
	 * there is nobody to tell. */
	void (*event)(void *, const char *event, const char *device);
	void *event_arg;
	struct qmp *qmp;	 /* NULL: no --qmp */
	struct usb_ports *usb;	 /* NULL: no --usb */
	struct usb_input *input; /* NULL: no --input */
};

/* When devices are opened and plugged, in this order. */
enum device_stage {
	DEVICE_FIRST,
	DEVICE_WRITES, /* it writes to files: after all files that are read */
	DEVICE_SPEAKS, /* the same, but plugged when the main loop is about to run */
};

struct device_class {
	const char *name;   /* of the device: "virtio-net" */
	const char *option; /* of the command line, without the dashes: "net" */
	const char *arg;    /* the argument, as messages show it; NULL: the option takes none */
	const char *help;   /* its lines in --help */
	/* The table that the argument is read by. The result has opts_size bytes, which are first
	 * copied from `defaults` or zeroed. NULL: the argument is one string, and opts begins with
	 * a const char * to it. */
	const struct key *keys;
	bool positional; /* as in struct key_reader */
	bool shared_ram; /* another process serves the device, and maps guest RAM */
	bool pci;	 /* the device needs a slot on the guest's first bus */
	enum device_stage stage;
	unsigned most; /* the maximal number of such devices in a machine */
	size_t opts_size;
	const void *defaults;
	/* All callbacks may be NULL. A callback that fails sets *err and returns its code. check()
	 * checks the options, also against the devices before this one, and may set options that
	 * follow from others. */
	int (*check)(const struct device *, const struct device_list *, struct error *);
	int (*open)(struct device *, const struct device_env *, struct error *);
	int (*plug)(struct device *, const struct device_env *, struct error *);
	/* Must not wait. Afterwards the guest does not reach the device any more, and the device
	 * starts no DMA. NULL: the device cannot be removed from a running machine. */
	void (*unplug)(struct device *);
	void (*reset)(struct device *);
	/* False: the host (storage, for example) does not answer. Then everything that the device
	 * uses, guest memory too, stays until the process ends, or until close() is called again
	 * and returns true. */
	bool (*close)(struct device *);
};

struct device {
	const struct device_class *class;
	unsigned index; /* among the devices of its class: the lowest that was free */
	void *opts;	/* the options, in the form of the class */
	void *state;	/* for the class; NULL at first */
	const char *id; /* by which QMP's clients know it; NULL: it has no id */
	bool away;	/* it is opened or closed by another thread */
	bool hung;	/* close() has returned false before, and has said why */
	struct key_pool strings;
	struct device *next;
};

struct device_list {
	struct device *first;
};

#define DEVICE_ID_MAX 64u /* bytes of an id, with its end */

/* Reads the argument (NULL: no argument) and adds a device to the list. -EINVAL or -ENOMEM; the
 * message names the key, but not the option. */
int device_create(struct device_list *, const struct device_class *, const char *arg,
		  struct error *);
/* The same for a running machine: the device is away at first. NULL with *err set. */
struct device *device_create_away(struct device_list *, const struct device_class *,
				  const char *arg, struct error *);
/* Gives a device of the list its id: that of a QMP client, or, if it is NULL, the option and the
 * first number that makes an id of nobody else. -EINVAL, -EEXIST, -ENOMEM. */
int device_set_id(const struct device_list *, struct device *, const char *id, struct error *);
/* Takes a closed device out of the list and frees it. */
void device_delete(struct device_list *, struct device *);
/* The next device of that class after `after`, or the first one if `after` is NULL. NULL: there is
 * no such device. Devices that are away are left out. */
struct device *device_next(const struct device_list *, const struct device_class *,
			   const struct device *after);
/* The argument, if the class reads it as one string; NULL for other classes. */
const char *device_arg(const struct device *);
unsigned device_count(const struct device_list *, const struct device_class *);
/* Opens all devices of a class. The message begins with the option. */
int devices_open(struct device_list *, const struct device_class *, const struct device_env *,
		 struct error *);
/* Call the reset or close of the class for each device. devices_close() returns false if one of
 * them does. */
void devices_reset(struct device_list *, const struct device_class *);
bool devices_close(struct device_list *, const struct device_class *);
/* Puts one device into the machine. The message begins with the option. */
int device_plug(struct device *, const struct device_env *, struct error *);
/* Frees the list and its devices, which must be closed. */
void device_list_free(struct device_list *);

#endif
