/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URBs: how a transfer is handed to the kernel, and what comes back.
 *
 * A URB of a bulk endpoint that follows another one has USBDEVFS_URB_BULK_CONTINUATION. When an
 * earlier one fails, the kernel cancels those with this flag before the host's controller starts
 * them, and refuses further ones (EREMOTEIO) until one comes without the flag. This is how a halted
 * endpoint of the guest's controller behaves. The first URB on an idle endpoint has no flag.
 *
 * The kernel copies the data from and to a buffer of ours, because pages of the guest cannot be
 * used. Where the host's controller cannot gather pages, the kernel needs a contiguous buffer; then
 * a transfer is a row of URBs, and each is submitted when the one before it is done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "devices/usb/usb_host_parts.h"
#include "vmm/core/iov.h"

#define CONTIGUOUS_MAX (64u << 10)

static bool xfer_is_in(const struct usb_xfer *x)
{
	return (x->endpoint & 0xf) == 0 ? x->setup[0] & 0x80 : x->endpoint & 0x80;
}

static uint32_t setup_length(const struct usb_xfer *x)
{
	return (uint32_t)(x->setup[6] | x->setup[7] << 8);
}

/* ---- a job from a transfer ---- */

/* The sum of all packets; -1: it is more than the transfer has, or the kernel takes. */
static int64_t packets_len(const struct usb_xfer *x)
{
	uint64_t sum = 0;

	if (!x->n_packets || x->n_packets > USB_PACKETS_MAX)
		return -1;
	for (unsigned i = 0; i < x->n_packets; i++) {
		if (x->packet[i].len > USB_PACKET_MAX)
			return -1;
		sum += x->packet[i].len;
	}
	return sum > x->len ? -1 : (int64_t)sum;
}

static bool xfer_ok(const struct usb_host *h, const struct usb_xfer *x, unsigned slot)
{
	const struct usb_ep *ep = &h->ep[slot];

	if (x->len > USB_XFER_MAX || (x->endpoint & 0x70) || ep->info.type == USB_EP_NONE)
		return false;
	if (slot == 0) /* a device must not be sent less than the setup packet promises */
		return xfer_is_in(x) || x->len >= setup_length(x);
	if (ep->info.type == USB_EP_ISO)
		return packets_len(x) >= 0;
	return !x->n_packets;
}

/* An endpoint that a request of the guest makes later is not there yet, so this is asked when the
 * transfer is submitted; requests before it have run then, but for those that still wait. */
struct usb_job *usb_job_new(struct usb_host *h, struct usb_xfer *x, enum usb_status *status)
{
	unsigned slot = (x->endpoint & 0xf) ? usb_ep_slot(x->endpoint) : 0;
	struct usb_job *job;

	*status = USB_ERROR;
	if (!xfer_ok(h, x, slot))
		return NULL;
	job = calloc(1, sizeof(*job) + x->n_packets * sizeof(job->urb.iso_frame_desc[0]));
	if (!job) {
		*status = USB_BUSY;
		return NULL;
	}
	job->xfer = x;
	job->slot = (uint8_t)slot;
	job->chunk = UINT32_MAX;
	if (h->ep[slot].info.type == USB_EP_BULK && !(h->caps & USBDEVFS_CAP_BULK_SCATTER_GATHER) &&
	    !x->stream)
		job->chunk = CONTIGUOUS_MAX;
	return job;
}

void usb_job_free(struct usb_job *job)
{
	free(job->buf);
	free(job);
}

/* ---- to the kernel ---- */

static uint32_t urb_bytes(const struct usb_job *job)
{
	uint32_t left = job->xfer->len - job->xfer->done;

	return left < job->chunk ? left : job->chunk;
}

static void fill_packets(struct usb_job *job)
{
	const struct usb_xfer *x = job->xfer;

	job->urb.type = USBDEVFS_URB_TYPE_ISO;
	job->urb.flags = USBDEVFS_URB_ISO_ASAP;
	job->urb.number_of_packets = (int)x->n_packets;
	job->urb.buffer_length = (int)packets_len(x);
	for (unsigned i = 0; i < x->n_packets; i++)
		job->urb.iso_frame_desc[i].length = x->packet[i].len;
}

static void fill_bulk(const struct usb_host *h, struct usb_job *job)
{
	job->urb.type = USBDEVFS_URB_TYPE_BULK;
	if (h->ep[job->slot].flying > 1)
		job->urb.flags = USBDEVFS_URB_BULK_CONTINUATION;
	job->urb.stream_id = job->xfer->stream;
}

/* -errno: it cannot be filled. */
static int urb_fill(const struct usb_host *h, struct usb_job *job)
{
	const struct usb_xfer *x = job->xfer;
	uint32_t len = job->slot ? urb_bytes(job) : setup_length(x);
	uint32_t head = job->slot ? 0 : USB_SETUP_SIZE;

	if (!job->buf)
		job->buf = malloc(head + len + !len);
	if (!job->buf)
		return -ENOMEM;
	memset(&job->urb, 0, sizeof(job->urb));
	memcpy(job->buf, x->setup, head);
	if (!xfer_is_in(x))
		iov_read(x->iov, x->niov, x->done, job->buf + head, len);
	job->urb.endpoint = x->endpoint;
	job->urb.buffer = job->buf;
	job->urb.buffer_length = (int)(head + len);
	job->urb.usercontext = job;
	switch (h->ep[job->slot].info.type) {
	case USB_EP_CONTROL:
		job->urb.type = USBDEVFS_URB_TYPE_CONTROL;
		job->urb.endpoint = 0;
		break;
	case USB_EP_ISO:
		fill_packets(job);
		break;
	case USB_EP_BULK:
		fill_bulk(h, job);
		break;
	default:
		job->urb.type = USBDEVFS_URB_TYPE_INTERRUPT;
	}
	return 0;
}

/* Streams are allocated when they are first used: the guest has then chosen the setting that has
 * them. The kernel frees them with the setting. */
static int ensure_streams(struct usb_host *h, const struct usb_job *job)
{
	struct usb_ep *ep = &h->ep[job->slot];
	union {
		struct usbdevfs_streams s;
		uint8_t bytes[sizeof(struct usbdevfs_streams) + 1];
	} u = { .s = { .num_streams = ep->info.streams, .num_eps = 1 } };
	int ret;

	if (!job->xfer->stream)
		return 0;
	u.s.eps[0] = job->xfer->endpoint;
	if (!ep->streams && ep->info.streams >= 2) {
		ret = usb_host_ioctl(h, USBDEVFS_ALLOC_STREAMS, &u.s);
		if (ret < 0)
			return ret;
		ep->streams = (uint16_t)ret;
	}
	return job->xfer->stream <= ep->streams ? 0 : -EINVAL;
}

/* Why the kernel refuses a URB. */
static enum usb_status submit_status(int ret, const struct usb_job *job)
{
	switch (ret) {
	case -ENOMEM:
		/* Part of the transfer may have been sent, so it cannot be repeated. */
		return job->xfer->done ? USB_ERROR : USB_BUSY;
	case -EREMOTEIO:
		return USB_CANCELLED;
	case -ENODEV:
	case -ESHUTDOWN:
		return USB_GONE;
	case -EPIPE:
		return USB_STALL;
	}
	return job->slot ? USB_ERROR : USB_STALL;
}

int usb_urb_start(struct usb_host *h, struct usb_job *job)
{
	int ret = ensure_streams(h, job);

	if (ret == 0)
		ret = urb_fill(h, job);
	if (ret == 0)
		ret = usb_host_ioctl(h, USBDEVFS_SUBMITURB, &job->urb);
	return ret < 0 ? (int)submit_status(ret, job) : USB_JOB_RUNS;
}

/* EINVAL means that it is done already. */
void usb_urb_discard(struct usb_host *h, struct usb_job *job)
{
	usb_host_ioctl(h, USBDEVFS_DISCARDURB, &job->urb);
}

/* ---- from the kernel ---- */

static enum usb_status urb_status(int status)
{
	switch (status) {
	case 0:
		return USB_OK;
	case -EPIPE:
		return USB_STALL;
	case -EOVERFLOW:
		return USB_BABBLE;
	case -ENOENT:	  /* discarded by us */
	case -ECONNRESET: /* cancelled behind an error */
		return USB_CANCELLED;
	case -ENODEV:
		return USB_GONE;
	}
	return USB_ERROR;
}

/* The kernel is trusted, but a fault there should not become one here. */
static uint32_t bounded(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

static void take_packets(struct usb_job *job)
{
	const struct usb_xfer *x = job->xfer;
	uint32_t at = 0;

	for (unsigned i = 0; i < x->n_packets; i++) {
		const struct usbdevfs_iso_packet_desc *d = &job->urb.iso_frame_desc[i];
		struct usb_packet *p = &x->packet[i];

		p->done = bounded(d->actual_length, p->len);
		p->status = urb_status((int)d->status);
		if (xfer_is_in(x))
			iov_write(x->iov, x->niov, at, job->buf + at, p->done);
		at += p->len;
		job->xfer->done += p->done;
	}
}

static void take_data(struct usb_job *job)
{
	struct usb_xfer *x = job->xfer;
	uint32_t head = job->slot ? 0 : USB_SETUP_SIZE;
	uint32_t got = bounded((uint32_t)job->urb.actual_length,
			       (uint32_t)job->urb.buffer_length - head);

	got = bounded(got, x->len - x->done);
	if (job->config_desc)
		usb_desc_clear_wakeup(job->buf + head, got);
	if (xfer_is_in(x))
		iov_write(x->iov, x->niov, x->done, job->buf + head, got);
	x->done += got;
}

static int urb_done(struct usb_host *h, struct usb_job *job)
{
	enum usb_status status = urb_status(job->urb.status);
	bool whole = job->urb.actual_length == job->urb.buffer_length;

	if (h->ep[job->slot].info.type == USB_EP_ISO && job->xfer->n_packets)
		take_packets(job);
	else
		take_data(job);
	if (job->chunk < job->xfer->len && status == USB_OK && whole && !job->cancelled &&
	    job->xfer->done < job->xfer->len)
		return usb_urb_start(h, job);
	return (int)status;
}

int usb_urb_reap(struct usb_host *h, struct usb_job **job, int *status)
{
	struct usbdevfs_urb *urb = NULL;
	int ret = usb_host_ioctl(h, USBDEVFS_REAPURBNDELAY, &urb);

	if (ret < 0)
		return ret;
	*job = urb->usercontext;
	*status = urb_done(h, *job);
	return 0;
}
