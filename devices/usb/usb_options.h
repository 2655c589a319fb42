/* SPDX-License-Identifier: BSD-2-Clause */
/* --usb: a USB device of the host, behind the machine's controller. Threads: as in device.h. */
#ifndef DEVICES_USB_USB_OPTIONS_H
#define DEVICES_USB_USB_OPTIONS_H

#include "vmm/core/device.h"

#define USB_MOST 15u /* pairs of ports of a controller */

/* env.usb has the ports of the machine. */
extern const struct device_class usb_class;

struct usb_wish;

/* What an option asks for. False: only the controller. */
bool usb_options_wish(const struct device *, struct usb_wish *);
/* How many pairs of ports the machine's controller needs, for --usb and --input; 0: the machine
 * needs no controller. */
unsigned usb_options_ports(const struct device_list *);
/* Takes a device that was plugged out of the guest, gives it back to its drivers, and calls done()
 * on a thread of usb_ports. Afterwards close() does nothing. */
void usb_options_remove(struct device *, void (*done)(void *), void *arg);

#endif
