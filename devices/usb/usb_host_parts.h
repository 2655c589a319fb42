/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of usb_host share.
 *
 * A transfer becomes a job: first it waits, then it flies as a URB (the kernel's request), then it
 * is complete. Some requests (SET_CONFIGURATION, for example) are not URBs, but ioctls that may
 * wait for seconds. Such work is done by a thread that exists only meanwhile; the kernel would let
 * every other request for the device wait, so no job starts, and none is reaped, until it is done.
 */
#ifndef DEVICES_USB_USB_HOST_PARTS_H
#define DEVICES_USB_USB_HOST_PARTS_H

#include <linux/usbdevice_fs.h>

#include "devices/backend/worker.h"
#include "devices/usb/usb_desc.h"
#include "devices/usb/usb_host.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

#define USB_SETUP_SIZE	8
#define USB_XFER_MAX	(4u << 20) /* bytes of a transfer */
#define USB_PACKETS_MAX 128u	   /* of a URB, in the kernel */
#define USB_PACKET_MAX	98304u

struct usb_job {
	struct usb_job *next;
	struct usb_xfer *xfer;
	uint8_t slot;	  /* usb_ep_slot(); 0 for control in both directions */
	bool flies;	  /* else it waits, or is the work's */
	bool cancelled;	  /* to be discarded, or not to be started */
	bool config_desc; /* it reads a configuration descriptor */
	uint32_t chunk; /* bytes of one URB at most; less than the transfer: one after the other */
	uint8_t *buf;	/* the data of the URB, behind the setup packet of a control transfer */
	struct usbdevfs_urb urb; /* with an array of packets behind it */
};

struct usb_ep {
	struct usb_ep_info info;
	unsigned flying;
	bool sole;	  /* the job that flies consists of several URBs */
	uint16_t streams; /* that the host's controller has allocated */
};

enum usb_work_kind { USB_WORK_CONFIG, USB_WORK_IFACE, USB_WORK_CLEAR_HALT, USB_WORK_RESET };

struct usb_work {
	enum usb_work_kind kind;
	struct usb_job *job; /* that is complete with the work; NULL: none */
	unsigned value, iface;
	uint32_t reset_alts; /* interfaces that are not in alternate setting 0 */
	int ret;
	struct error err;
};

struct usb_host {
	struct usb_device dev;
	struct usb_host_config cfg;
	struct usb_info info;
	int fd;
	uint32_t caps;
	uint8_t *desc;
	size_t desc_len;
	unsigned config;
	uint8_t alt[USB_IFACES_MAX];
	uint32_t claimed;
	bool recorded;
	struct usb_ep ep[USB_EP_SLOTS];
	struct usb_job *flying, *waiting;
	bool pumping;
	bool gone;	 /* the kernel says so */
	bool used;	 /* by the guest, since the last reset */
	bool want_reset; /* before the next job */
	bool working;
	struct usb_work work;
	struct worker worker;
	struct ev_call work_done;
	struct evloop *loop;
	struct ev_source *source; /* NULL: the descriptor is not watched now */
	struct log_limit limit;
};

static inline int usb_host_ioctl(const struct usb_host *h, unsigned long request, void *arg)
{
	return h->cfg.fs->ioctl(h->cfg.fs, h->fd, request, arg);
}

/* What became of a job. */
#define USB_JOB_RUNS (-1) /* else an enum usb_status: it is to be completed */

/* ---- usb_urb.c ---- */

/* Makes a job of a transfer. NULL with *status set: it cannot become one. */
struct usb_job *usb_job_new(struct usb_host *, struct usb_xfer *, enum usb_status *status);
void usb_job_free(struct usb_job *);
/* Submits the job's URB. USB_JOB_RUNS, or a status. */
int usb_urb_start(struct usb_host *, struct usb_job *);
void usb_urb_discard(struct usb_host *, struct usb_job *);
/* Reaps one URB that the kernel has finished. 0, and *job with *status, which is USB_JOB_RUNS if
 * the transfer goes on; -EAGAIN: there are no more now; others: the device is gone. */
int usb_urb_reap(struct usb_host *, struct usb_job **job, int *status);

/* ---- usb_request.c ---- */

/* For a control transfer that is not simply forwarded. USB_JOB_RUNS: *w is the work to do. */
#define USB_REQUEST_FORWARD (-2)
int usb_request_start(const struct usb_host *, struct usb_job *, struct usb_work *w);
/* Does h->work on the worker's thread. */
void usb_work_run(struct usb_host *h);
/* Afterwards, on the controller's thread: what has changed by it. Returns the status for a job. */
enum usb_status usb_work_apply(struct usb_host *);
/* Reads the endpoints anew after a change of the configuration or of settings. */
void usb_host_endpoints(struct usb_host *);

#endif
