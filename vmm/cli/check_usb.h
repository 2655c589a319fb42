/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm check: USB devices and input devices. */
#ifndef VMM_CLI_CHECK_USB_H
#define VMM_CLI_CHECK_USB_H

struct device_list;
struct evdev_os;
struct preflight;

/* Checks each --usb and --input of the list as a run would. os: see devices/usb/evdev.h. */
void check_usb(struct preflight *, const struct device_list *, const struct evdev_os *os);

#endif
