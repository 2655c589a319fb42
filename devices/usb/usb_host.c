/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/usb/usb_host.h"

#include <errno.h>
#include <limits.h>
#include <linux/usb/ch9.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "devices/usb/usb_host_parts.h"
#include "devices/usb/usb_record.h"
#include "vmm/core/addr.h"
#include "vmm/core/hostfs.h"

#define DESC_MAX (64u << 10) /* bytes of all descriptors that are looked at */

/* ---- jobs ---- */

static void job_append(struct usb_job **list, struct usb_job *job)
{
	while (*list)
		list = &(*list)->next;
	job->next = NULL;
	*list = job;
}

static void job_remove(struct usb_job **list, struct usb_job *job)
{
	while (*list && *list != job)
		list = &(*list)->next;
	if (*list)
		*list = job->next;
}

/* The only way in which a transfer ends. Frees the job. */
static void job_complete(struct usb_host *h, struct usb_job *job, enum usb_status status)
{
	struct usb_xfer *x = job->xfer;

	if (job->flies) {
		job_remove(&h->flying, job);
		h->ep[job->slot].flying--;
		h->ep[job->slot].sole = false;
	}
	usb_job_free(job);
	x->priv = NULL;
	x->status = status;
	h->dev.complete(&h->dev, x);
}

/* What is behind a transfer that failed must not run. For bulk endpoints, the kernel sees to those
 * that fly. */
static void job_stop_others(struct usb_host *h, const struct usb_job *failed)
{
	bool discard = h->ep[failed->slot].info.type == USB_EP_INTERRUPT;
	struct usb_job *job;

	for (job = h->waiting; job; job = job->next)
		job->cancelled |= job->slot == failed->slot;
	for (job = h->flying; job && discard; job = job->next)
		if (job != failed && job->slot == failed->slot)
			usb_urb_discard(h, job);
}

static void job_end(struct usb_host *h, struct usb_job *job, enum usb_status status)
{
	if (job->slot &&
	    (status == USB_STALL || status == USB_ERROR || status == USB_BABBLE ||
	     status == USB_BUSY) &&
	    h->ep[job->slot].info.type != USB_EP_ISO)
		job_stop_others(h, job);
	job_complete(h, job, status);
}

/* A transfer of several URBs is alone on its endpoint, or the next transfer would come between
 * them. */
static bool job_may_start(const struct usb_host *h, const struct usb_job *job)
{
	const struct usb_ep *ep = &h->ep[job->slot];

	return !ep->flying || (!ep->sole && job->chunk >= job->xfer->len);
}

/* The first job of an endpoint that may start. The order within an endpoint is kept. */
static struct usb_job *job_next(struct usb_host *h)
{
	uint32_t blocked = 0;
	struct usb_job *job;

	for (job = h->waiting; job; job = job->next) {
		if (job->cancelled || (!(blocked & 1u << job->slot) && job_may_start(h, job)))
			return job;
		blocked |= 1u << job->slot;
	}
	return NULL;
}

/* ---- the descriptor and the worker ---- */

static void host_ready(void *arg, int fd, uint32_t events);

/* Watches the descriptor, or stops that. */
static void host_watch(struct usb_host *h, bool on)
{
	if (!on && h->source) {
		evloop_del_fd(h->source);
		h->source = NULL;
	} else if (on && !h->source) {
		h->source = evloop_add_fd(h->loop, h->fd, EPOLLOUT, host_ready, h);
		if (h->source)
			return;
		log_warn("usb %s: %s", h->info.name, strerror(errno));
		h->gone = true;
	}
}

static void host_work(void *arg)
{
	struct usb_host *h = arg;

	usb_work_run(h);
	evloop_call(h->loop, &h->work_done);
}

static void work_begin(struct usb_host *h, const struct usb_work *w, struct usb_job *job)
{
	h->work = *w;
	h->work.job = job;
	h->working = true;
	host_watch(h, false);
	if (!worker_wake(&h->worker)) /* no thread: the controller's waits */
		host_work(h);
}

/* ---- the order of things ---- */

static void job_start(struct usb_host *h, struct usb_job *job)
{
	int status = USB_REQUEST_FORWARD;
	struct usb_work w;

	h->used = true;
	if (h->gone)
		status = USB_GONE;
	else if (job->cancelled)
		status = USB_CANCELLED;
	else if (job->slot == 0)
		status = usb_request_start(h, job, &w);
	if (status == USB_JOB_RUNS) {
		work_begin(h, &w, job);
		return;
	}
	if (status == USB_REQUEST_FORWARD) {
		job->flies = true;
		h->ep[job->slot].flying++;
		h->ep[job->slot].sole = job->chunk < job->xfer->len;
		job_append(&h->flying, job);
		status = usb_urb_start(h, job);
	}
	if (status != USB_JOB_RUNS)
		job_end(h, job, (enum usb_status)status);
}

/* Starts what waits, as far as it may start. complete() may submit or cancel other transfers, and
 * so lead here again. */
static void host_pump(struct usb_host *h)
{
	struct usb_job *job;

	if (h->pumping)
		return;
	h->pumping = true;
	while (!h->working) {
		if (h->want_reset) {
			h->want_reset = false;
			work_begin(h, &(struct usb_work){ .kind = USB_WORK_RESET }, NULL);
			continue;
		}
		job = job_next(h);
		if (!job)
			break;
		job_remove(&h->waiting, job);
		job_start(h, job);
	}
	h->pumping = false;
}

/* The device is gone: all jobs end so. */
static void host_lost(struct usb_host *h)
{
	struct usb_job *job;

	h->gone = true;
	host_watch(h, false);
	while ((job = h->flying))
		job_complete(h, job, USB_GONE);
	host_pump(h);
}

static void host_ready(void *arg, int fd, uint32_t events)
{
	struct usb_host *h = arg;
	struct usb_job *job;
	int status, ret = 0;

	(void)fd;
	(void)events;
	while (!h->working && !h->gone) {
		ret = usb_urb_reap(h, &job, &status);
		if (ret < 0)
			break;
		if (status != USB_JOB_RUNS)
			job_end(h, job, (enum usb_status)status);
	}
	if (h->gone || (ret < 0 && ret != -EAGAIN))
		host_lost(h);
	else
		host_pump(h);
}

static void host_work_done(void *arg)
{
	struct usb_host *h = arg;
	struct usb_job *job = h->work.job, *next;
	enum usb_status status;

	if (!h->working)
		return;
	h->working = false;
	h->work.job = NULL;
	status = usb_work_apply(h);
	if (h->work.err.code)
		log_guest(&h->limit, "usb %s: %s", h->info.name, h->work.err.text);
	if (status != USB_GONE) {
		for (next = h->flying; next; next = next->next)
			if (next->cancelled)
				usb_urb_discard(h, next);
		host_watch(h, true);
	}
	h->gone |= status == USB_GONE;
	if (job)
		job_complete(h, job, status);
	if (h->gone)
		host_lost(h);
	else
		host_pump(h);
}

/* ---- for the controller ---- */

static struct usb_host *host_of(struct usb_device *d)
{
	return container_of(d, struct usb_host, dev);
}

static int host_attached(struct usb_device *d, struct evloop *loop)
{
	struct usb_host *h = host_of(d);

	h->loop = loop;
	worker_init(&h->worker, "usb-request", host_work, h);
	h->work_done = (struct ev_call){ .fn = host_work_done, .arg = h };
	host_watch(h, true);
	return h->source ? 0 : -ENOMEM;
}

static void host_submit(struct usb_device *d, struct usb_xfer *x)
{
	struct usb_host *h = host_of(d);
	enum usb_status status;
	struct usb_job *job;

	x->done = 0;
	x->priv = NULL;
	job = usb_job_new(h, x, &status);
	if (!job) {
		x->status = status;
		d->complete(d, x);
		return;
	}
	x->priv = job;
	job_append(&h->waiting, job);
	host_pump(h);
}

static void host_cancel(struct usb_device *d, struct usb_xfer *x)
{
	struct usb_host *h = host_of(d);
	struct usb_job *job = x->priv;

	if (!job || job == h->work.job)
		return;
	if (!job->flies) {
		job_remove(&h->waiting, job);
		job_complete(h, job, USB_CANCELLED);
		return;
	}
	job->cancelled = true;
	if (!h->working)
		usb_urb_discard(h, job);
}

static void host_reset(struct usb_device *d)
{
	struct usb_host *h = host_of(d);

	/* When the guest finds the device, it resets one that nobody has used since. */
	h->want_reset = h->used && h->cfg.reset && !h->gone;
	h->used = false;
	host_pump(h);
}

static void host_detached(struct usb_device *d)
{
	struct usb_host *h = host_of(d);

	/* Waits for the kernel only if the guest has just sent one of a few requests. */
	worker_end(&h->worker);
	evloop_cancel(h->loop, &h->work_done);
	host_watch(h, false);
	if (h->cfg.detached)
		h->cfg.detached(h->cfg.opaque, h);
}

static const struct usb_device_ops host_ops = {
	.attached = host_attached,
	.submit = host_submit,
	.cancel = host_cancel,
	.reset = host_reset,
	.detached = host_detached,
};

/* ---- open and close ---- */

static enum usb_speed host_speed(const struct usb_host *h)
{
	switch (usb_host_ioctl(h, USBDEVFS_GET_SPEED, NULL)) {
	case USB_SPEED_LOW:
		return USB_LOW;
	case USB_SPEED_FULL:
		return USB_FULL;
	case USB_SPEED_HIGH:
	case USB_SPEED_WIRELESS:
		return USB_HIGH;
	case USB_SPEED_SUPER:
	case USB_SPEED_SUPER_PLUS:
		return USB_SUPER;
	}
	/* A kernel before 4.18 does not tell. */
	return h->info.mbits >= 5000  ? USB_SUPER
	       : h->info.mbits >= 480 ? USB_HIGH
	       : h->info.mbits >= 12  ? USB_FULL
				      : USB_LOW;
}

static int host_read(struct usb_host *h, struct error *err)
{
	long n;

	h->desc = malloc(DESC_MAX);
	if (!h->desc)
		return error_set(err, -ENOMEM, "out of memory");
	n = h->cfg.fs->read(h->cfg.fs, h->fd, h->desc, DESC_MAX);
	if (n < 0)
		return error_set(err, (int)n, "its descriptors cannot be read: %s",
				 strerror((int)-n));
	h->desc_len = (size_t)n;
	if (!usb_desc_configs(h->desc, h->desc_len))
		return error_set(err, -EIO, "its descriptors are damaged");
	h->desc = realloc(h->desc, h->desc_len) ?: h->desc;
	h->config = (unsigned)hostfs_number(h->cfg.root, 0,
					    "/sys/bus/usb/devices/%s/bConfigurationValue",
					    h->info.name) &
		    0xff;
	h->dev.speed = host_speed(h);
	if (usb_host_ioctl(h, USBDEVFS_GET_CAPABILITIES, &h->caps) < 0)
		h->caps = 0;
	return 0;
}

/* A device without a configuration has no interfaces; the guest will choose one. */
static int host_claim(struct usb_host *h, struct error *err)
{
	uint32_t ifaces = 0;
	int ret = h->config ? usb_desc_ifaces(h->desc, h->desc_len, (uint8_t)h->config, &ifaces)
			    : 0;

	if (ret < 0)
		return error_set(err, ret, "its descriptors do not have its configuration %u",
				 h->config);
	ret = usbfs_claim(h->cfg.fs, h->fd, ifaces, &h->claimed, err);
	usb_host_endpoints(h);
	return ret;
}

static void host_record(struct usb_host *h)
{
	struct error err;

	h->recorded = usb_record_write(h->cfg.root, &h->info, &err) == 0;
	if (!h->recorded)
		log_info("usb %s: if minivmm is killed, `minivmm restore %s` gives it back to its "
			 "drivers (%s)",
			 h->info.name, h->info.name, err.text);
}

static int host_open(struct usb_host *h, struct error *err)
{
	char node[32], path[PATH_MAX];
	int ret;

	usb_info_node(&h->info, node, sizeof(node));
	snprintf(path, sizeof(path), "%s%s", h->cfg.root, node);
	h->fd = h->cfg.fs->open(h->cfg.fs, path);
	if (h->fd < 0)
		return error_set(err, h->fd, "%s: %s", node, strerror(-h->fd));
	ret = host_read(h, err);
	if (ret < 0)
		return ret;
	host_record(h);
	return host_claim(h, err);
}

struct usb_host *usb_host_open(const struct usb_host_config *cfg, const struct usb_info *info,
			       struct error *err)
{
	struct usb_host *h = calloc(1, sizeof(*h));

	if (!h) {
		error_set(err, -ENOMEM, "%s: out of memory", info->name);
		return NULL;
	}
	h->cfg = *cfg;
	h->info = *info;
	h->fd = -1;
	h->dev.ops = &host_ops;
	h->dev.name = h->info.name;
	if (host_open(h, err) == 0)
		return h;
	error_prefix(err, "%s", info->name);
	usb_host_close(h);
	return NULL;
}

void usb_host_on_detached(struct usb_host *h, void (*detached)(void *, struct usb_host *),
			  void *opaque)
{
	h->cfg.detached = detached;
	h->cfg.opaque = opaque;
}

struct usb_device *usb_host_device(struct usb_host *h)
{
	return &h->dev;
}

const struct usb_info *usb_host_info(const struct usb_host *h)
{
	return &h->info;
}

void usb_host_close(struct usb_host *h)
{
	if (!h)
		return;
	if (h->fd >= 0) {
		usbfs_release(h->cfg.fs, h->fd, h->claimed);
		usbfs_connect(h->cfg.fs, h->fd, h->claimed);
		h->cfg.fs->close(h->cfg.fs, h->fd);
	}
	if (h->recorded)
		usb_record_remove(h->cfg.root, h->info.name);
	free(h->desc);
	free(h);
}
