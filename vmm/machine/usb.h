/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's USB controller, its emulated keyboard and mouse (--input), and USB devices that
 * come and go by QMP while the guest runs.
 *
 * Opening a device may take seconds, so it is done by a thread. A guest need not agree to lose a
 * USB device, so removing one always works.
 *
 * Threads: main loop.
 */
#ifndef VMM_MACHINE_USB_H
#define VMM_MACHINE_USB_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/device.h"
#include "vmm/core/error.h"

struct evloop;
struct machine_usb;
struct pci_root;
struct usb_input;
struct usb_ports;

struct machine_usb_env {
	struct pci_root *pci;
	uint8_t devfn; /* of the controller, on the first bus */
	struct evloop *loop;
	struct device_list *devices; /* of the machine */
	/* DEVICE_DELETED of QMP, with the path /machine/peripheral/ID; then the device is freed. */
	void (*deleted)(void *, const struct device *, const char *path);
	void *opaque;
};

/* Makes the controller, with as many ports as --usb and --input ask for. NULL with *err set. */
struct machine_usb *machine_usb_new(const struct machine_usb_env *, struct error *);
struct usb_ports *machine_usb_ports(struct machine_usb *);
struct usb_input *machine_usb_input(struct machine_usb *); /* NULL: no --input */
/* Waits for the threads of devices that are just coming or going; before the devices are closed.
 * False: one does not end; it and what it uses stay until the process ends. NULL is allowed. */
bool machine_usb_stop(struct machine_usb *);
/* After the devices are closed. False: transfers are still in flight, so guest memory stays. NULL
 * is allowed. */
bool machine_usb_free(struct machine_usb *);

/* How adding ended; err NULL: the guest has it. */
typedef void machine_usb_done(void *arg, const struct device *, const struct error *err);

/* Begins to add a device: arg as for --usb. id NULL: one is made. */
int machine_usb_add(struct machine_usb *, const char *arg, const char *id, machine_usb_done *,
		    void *done_arg, struct error *);
/* Begins to remove a device. -ENODEV: there is no USB device with this id; *err is not set. */
int machine_usb_remove(struct machine_usb *, const char *id, struct error *);

#endif
