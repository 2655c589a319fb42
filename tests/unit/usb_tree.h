/* SPDX-License-Identifier: BSD-2-Clause */
/* USB devices in the fake host's sysfs (fake_host.h), for tests. */
#ifndef USB_TREE_H
#define USB_TREE_H

#include "tests/unit/fake_host.h"

#define USB_AT "/sys/devices/pci0000:00/0000:00:14.0/usb1/"

/* The files of a device "1-4" or "1-4.2" of bus 1. It cannot be found before it has its link. */
static inline void put_usb_files(const char *name, const char *id, unsigned addr)
{
	put_host("file " USB_AT "%s/idVendor %.4s\n"
		 "file " USB_AT "%s/idProduct %s\n"
		 "file " USB_AT "%s/busnum 1\n"
		 "file " USB_AT "%s/devnum %u\n"
		 "file " USB_AT "%s/speed 480\n"
		 "file " USB_AT "%s/bDeviceClass 00\n"
		 "file /dev/bus/usb/001/%03u x\n",
		 name, id, name, id + 5, name, name, addr, name, name, addr);
}

static inline void put_usb_link(const char *name)
{
	put_host("link /sys/bus/usb/devices/%s ../../../devices/pci0000:00/0000:00:14.0/usb1/%s\n",
		 name, name);
}

/* One more device with that name, without interfaces. */
static inline void put_usb(const char *name, const char *id, unsigned addr, const char *files)
{
	put_usb_files(name, id, addr);
	put_host("%s", files);
	put_usb_link(name);
}

/* kind: class, subclass and protocol, as in "08/06/50". driver "": none. */
static inline void put_usb_iface(const char *name, unsigned number, const char *kind,
				 const char *driver)
{
	char at[128];

	snprintf(at, sizeof(at), USB_AT "%s/%s:1.%u", name, name, number);
	put_host("file %s/bInterfaceNumber %02u\nfile %s/bInterfaceClass %.2s\n"
		 "file %s/bInterfaceSubClass %.2s\nfile %s/bInterfaceProtocol %.2s\n",
		 at, number, at, kind, at, kind + 3, at, kind + 6);
	put_nothing("%s/driver", at + 1);
	if (driver[0])
		put_host("link %s/driver ../../../../../../../bus/usb/drivers/%s\n", at, driver);
}

/* A hub of the host, a receiver for keyboard and mouse, a stick behind a hub, two equal cameras. */
static inline int make_usb(void **state)
{
	make_root(state);
	put_usb("usb1", "1d6b:0002", 1, "file " USB_AT "usb1/bDeviceClass 09\n");
	put_usb("1-1", "046d:c52b", 7,
		"file " USB_AT "1-1/manufacturer Logitech\n"
		"file " USB_AT "1-1/product USB Receiver\nfile " USB_AT "1-1/speed 12\n");
	put_usb_iface("1-1", 0, "03/01/01", "usbhid");
	put_usb_iface("1-1", 1, "03/01/02", "usbhid");
	put_usb("1-4", "05e3:0610", 3, "file " USB_AT "1-4/bDeviceClass 09\n");
	put_usb("1-4.2", "0781:5567", 9,
		"file " USB_AT "1-4.2/manufacturer SanDisk\n"
		"file " USB_AT "1-4.2/product SanDisk Cruzer\x1b[2J\n");
	put_usb_iface("1-4.2", 0, "08/06/50", "usb-storage");
	put_usb("1-5", "046d:0825", 11, "");
	put_usb_iface("1-5", 0, "0e/01/00", "uvcvideo");
	put_usb("1-6", "046d:0825", 12, "");
	put_usb_iface("1-6", 0, "0e/01/00", "");
	return 0;
}

#endif
