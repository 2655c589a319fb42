/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a user asks for, and their classes.
 *
 * A class is a row of the machine's table (vmm/machine/classes.c), and everything about its devices
 * is in its own file: their option, its keys, how a device is opened, put into a machine and taken
 * away. A device goes through it in this order:
 *
 *   device_create()  reads the arguments; opens nothing
 *   open()           opens what the user named, before there is a machine
 *   plug()           puts the device on the machine's buses; the guest does not run yet
 *   reset()          power-on state, with the machine
 *   close()          undoes whatever of open() and plug() was done
 *
 * Threads: the main loop's.
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

/* What a device is put into. */
struct device_env {
	const struct device_list *devices; /* of the machine */
	unsigned cpus;			   /* that the guest has */
	struct outputs *outputs; /* files that the run writes to; NULL: nobody counts them */
	/* From plug() on. pci has the buses, memory, interrupts and the main loop. */
	struct pci_root *pci;
	struct pci_bus *bus; /* of a PCI device, ... */
	uint8_t devfn;	     /* ... and its place on it */
	void (*power_off)(void *);
	void *power_off_arg;
};

struct device_class {
	const char *name;   /* of the device: "virtio-net" */
	const char *option; /* of the command line, without the dashes: "net" */
	const char *arg;    /* the option's argument, as messages show it; NULL: it takes none */
	const char *help;   /* its lines in --help */
	/* How the argument is read, into opts_size bytes like `defaults`, or of zeroes. NULL: the
	 * argument is one string, and opts begins with a const char * to it. */
	const struct key *keys;
	bool positional; /* as in struct key_reader */
	bool pci;	 /* takes a slot of the guest's first bus */
	bool late;	 /* writes to files: comes after all that is read */
	unsigned most;	 /* how many of them a machine has at most */
	size_t opts_size;
	const void *defaults;
	/* All of them may be NULL. What fails sets *err and returns its code. check() looks at what
	 * was read, beside the devices before it, and may fill in what follows from it. */
	int (*check)(const struct device *, const struct device_list *, struct error *);
	int (*open)(struct device *, const struct device_env *, struct error *);
	int (*plug)(struct device *, const struct device_env *, struct error *);
	void (*reset)(struct device *);
	/* False: the host's side of it does not answer. What it uses stays, guest memory too, and
	 * goes with the process. */
	bool (*close)(struct device *);
};

struct device {
	const struct device_class *class;
	unsigned index; /* among those of its class */
	void *opts;	/* of the class, as they were read */
	void *state;	/* the class's own; NULL at first */
	struct device *next;
};

struct device_list {
	struct device *first;
	struct key_pool strings;
};

/* Reads the argument (NULL: none) and adds a device to the list. The error names the key, not the
 * option. -EINVAL or -ENOMEM. */
int device_create(struct device_list *, const struct device_class *, const char *arg,
		  struct error *);
/* The next device of that class behind `after`; NULL: the first. NULL: there is none. */
struct device *device_next(const struct device_list *, const struct device_class *,
			   const struct device *after);
/* The argument of a class that reads it as one string; NULL: of another class. */
const char *device_arg(const struct device *);
unsigned device_count(const struct device_list *, const struct device_class *);
/* Opens all devices of a class; the error begins with the option. */
int devices_open(struct device_list *, const struct device_class *, const struct device_env *,
		 struct error *);
/* Calls what the class has for it, for each device. devices_close(): false when one says so. */
void devices_reset(struct device_list *, const struct device_class *);
bool devices_close(struct device_list *, const struct device_class *);
/* Puts one device in its place; the error begins with the option. */
int device_plug(struct device *, const struct device_env *, struct error *);
/* Frees what device_create() made; the devices are closed. */
void device_list_free(struct device_list *);

#endif
