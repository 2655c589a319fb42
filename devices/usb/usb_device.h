/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the controller and a device that is plugged into it know of each other.
 *
 * The controller turns what is on the guest's rings into transfers. A device carries them out, in
 * the order of each endpoint, and completes each of them once. It sees SET_CONFIGURATION and
 * SET_INTERFACE as control transfers. SET_ADDRESS never reaches it.
 *
 * After an error of a transfer on a bulk or interrupt endpoint (USB_STALL, USB_ERROR, USB_BABBLE),
 * those behind it on the same endpoint complete as USB_CANCELLED with done = 0: they did not run.
 * The controller may submit them again when it has seen all of them complete.
 *
 * Threads: all of ops, and complete(), run on the controller's thread, which runs `loop`.
 */
#ifndef DEVICES_USB_USB_DEVICE_H
#define DEVICES_USB_USB_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct evloop;
struct usb_device;

/* The numbers of PORTSC (xHCI 1.2, 7.2.1). Faster devices are shown as USB_SUPER. */
enum usb_speed { USB_FULL = 1, USB_LOW, USB_HIGH, USB_SUPER };

enum usb_status {
	USB_OK, /* also a short transfer: done < len */
	USB_STALL,
	USB_ERROR, /* transaction error */
	USB_BABBLE,
	USB_CANCELLED, /* done has what was transferred before */
	USB_GONE,      /* the device was unplugged */
	USB_BUSY,      /* the host lacks memory now; the transfer may be submitted again later */
};

/* A packet of an isochronous transfer. Its data begins where that of the packet before it would
 * end if it had all its bytes. */
struct usb_packet {
	uint32_t len, done;
	enum usb_status status;
};

/* Owned by the controller, which keeps it and the memory that it points to until it is complete. */
struct usb_xfer {
	uint8_t endpoint; /* address: 0 is control, with setup; 0x80: IN */
	uint16_t stream;  /* 0: none */
	uint8_t setup[8];
	const struct iovec *iov; /* the data, in guest memory */
	unsigned niov;
	uint32_t len;		   /* bytes of iov that are to be used */
	struct usb_packet *packet; /* isochronous endpoints only */
	unsigned n_packets;
	/* The result. */
	uint32_t done;
	enum usb_status status;
	/* For the device, while it has the transfer. */
	void *priv;
};

struct usb_device_ops {
	/* The device is in a port now. -errno: it cannot be used. */
	int (*attached)(struct usb_device *, struct evloop *);
	/* Begins a transfer; never waits. It may complete during the call. */
	void (*submit)(struct usb_device *, struct usb_xfer *);
	/* Ends a transfer soon. It may complete during the call. Of several, the newest should be
	 * cancelled first, or the next one begins. */
	void (*cancel)(struct usb_device *, struct usb_xfer *);
	/* The guest resets the device: its configuration and settings are those of power-on. Never
	 * waits; what is submitted afterwards runs afterwards. No transfer is in flight. */
	void (*reset)(struct usb_device *);
	/* It is out of its port, and no transfer is in flight. The controller has forgotten it. */
	void (*detached)(struct usb_device *);
};

struct usb_device {
	const struct usb_device_ops *ops;
	enum usb_speed speed;
	const char *name; /* for messages */
	/* Set by the controller before attached(). */
	void (*complete)(struct usb_device *, struct usb_xfer *);
	void *owner;
};

#endif
