/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control requests that the kernel must know of (USB 3.2, 9.4).
 *
 * SET_CONFIGURATION, SET_INTERFACE and CLEAR_FEATURE(ENDPOINT_HALT) change what the host's own
 * controller must do, so each has an ioctl. The power management of the link belongs to the host:
 * such requests are answered and not forwarded. The device has its address from the host.
 */
#include <errno.h>
#include <linux/usb/ch9.h>
#include <string.h>
#include <sys/ioctl.h>

#include "devices/usb/usb_host_parts.h"

struct request {
	uint8_t type, request;
	unsigned value, index;
};

static struct request request_of(const struct usb_xfer *x)
{
	const uint8_t *s = x->setup;

	return (struct request){
		.type = s[0],
		.request = s[1],
		.value = (unsigned)(s[2] | s[3] << 8),
		.index = (unsigned)(s[4] | s[5] << 8),
	};
}

/* ---- work: on a thread of its own ---- */

/* The kernel refuses a new configuration while an interface is claimed. */
static int work_config(struct usb_host *h)
{
	uint32_t ifaces;
	int ret = usb_desc_ifaces(h->desc, h->desc_len, (uint8_t)h->work.value, &ifaces);

	if (ret < 0)
		return error_set(&h->work.err, ret, "there is no configuration %u", h->work.value);
	usbfs_release(h->cfg.fs, h->fd, h->claimed);
	h->claimed = 0;
	ret = usb_host_ioctl(h, USBDEVFS_SETCONFIGURATION, &h->work.value);
	if (ret < 0) {
		error_set(&h->work.err, ret, "configuration %u: %s", h->work.value, strerror(-ret));
		/* The old one stays. */
		usb_desc_ifaces(h->desc, h->desc_len, (uint8_t)h->config, &ifaces);
		usbfs_claim(h->cfg.fs, h->fd, ifaces, &h->claimed, NULL);
		return ret;
	}
	h->config = h->work.value;
	return usbfs_claim(h->cfg.fs, h->fd, ifaces, &h->claimed, &h->work.err);
}

static int set_interface(struct usb_host *h, unsigned iface, unsigned alt)
{
	struct usbdevfs_setinterface s = { .interface = iface, .altsetting = alt };
	int ret = usb_host_ioctl(h, USBDEVFS_SETINTERFACE, &s);

	if (ret < 0)
		error_set(&h->work.err, ret, "interface %u, setting %u: %s", iface, alt,
			  strerror(-ret));
	return ret;
}

/* The same configuration again: only the alternate settings change. */
static int work_alts(struct usb_host *h)
{
	int ret = 0;

	for (unsigned i = 0; i < USB_IFACES_MAX && ret == 0; i++)
		if (h->work.reset_alts & 1u << i)
			ret = set_interface(h, i, 0);
	return ret;
}

/* The interfaces are let go of, because the kernel would do it, too; afterwards a driver may have
 * been faster than we are. -ENODEV: the device is gone, or it has come back as another one. */
static int work_reset(struct usb_host *h)
{
	uint32_t ifaces = h->claimed;
	int ret;

	usbfs_release(h->cfg.fs, h->fd, ifaces);
	h->claimed = 0;
	ret = usb_host_ioctl(h, USBDEVFS_RESET, NULL);
	if (ret < 0)
		error_set(&h->work.err, ret, "reset: %s", strerror(-ret));
	if (ret == -ENODEV)
		return ret;
	if (usbfs_claim(h->cfg.fs, h->fd, ifaces, &h->claimed, &h->work.err) < 0)
		return h->work.err.code;
	return ret;
}

void usb_work_run(struct usb_host *h)
{
	struct usb_work *w = &h->work;

	w->err = (struct error){ 0 };
	switch (w->kind) {
	case USB_WORK_CONFIG:
		w->ret = w->reset_alts ? work_alts(h) : work_config(h);
		break;
	case USB_WORK_IFACE:
		w->ret = set_interface(h, w->iface, w->value);
		break;
	case USB_WORK_CLEAR_HALT:
		w->ret = usb_host_ioctl(h, USBDEVFS_CLEAR_HALT, &w->value);
		break;
	case USB_WORK_RESET:
		w->ret = work_reset(h);
		break;
	}
}

/* ---- work: afterwards ---- */

void usb_host_endpoints(struct usb_host *h)
{
	struct usb_ep_info now[USB_EP_SLOTS];

	usb_desc_endpoints(h->desc, h->desc_len, (uint8_t)h->config, h->alt, now);
	for (unsigned i = 0; i < USB_EP_SLOTS; i++)
		h->ep[i].info = now[i];
}

enum usb_status usb_work_apply(struct usb_host *h)
{
	const struct usb_work *w = &h->work;

	if (w->kind == USB_WORK_IFACE && w->ret == 0)
		h->alt[w->iface] = (uint8_t)w->value;
	else if (w->kind == USB_WORK_CONFIG || w->kind == USB_WORK_RESET)
		memset(h->alt, 0, sizeof(h->alt));
	for (unsigned i = 0; i < USB_EP_SLOTS; i++)
		if (w->kind != USB_WORK_CLEAR_HALT &&
		    (w->kind != USB_WORK_IFACE || h->ep[i].info.iface == w->iface))
			h->ep[i].streams = 0;
	usb_host_endpoints(h);
	return w->ret == 0 ? USB_OK : w->ret == -ENODEV ? USB_GONE : USB_STALL;
}

/* ---- requests ---- */

static uint32_t changed_alts(const struct usb_host *h)
{
	uint32_t set = 0;

	for (unsigned i = 0; i < USB_IFACES_MAX; i++)
		if (h->alt[i])
			set |= 1u << i;
	return set;
}

/* The kernel has chosen a configuration already, which most guests choose, too. It is set again
 * only if the device has several: their drivers may rely on it. Configuration 0 stops the use of
 * the device for a while; it keeps the real one. */
static int start_config(const struct usb_host *h, unsigned config, struct usb_work *w)
{
	*w = (struct usb_work){ .kind = USB_WORK_CONFIG, .value = config };
	if (config == 0)
		return USB_OK;
	if (config != h->config || usb_desc_configs(h->desc, h->desc_len) > 1)
		return USB_JOB_RUNS;
	w->reset_alts = changed_alts(h);
	return w->reset_alts ? USB_JOB_RUNS : USB_OK;
}

static int start_interface(const struct usb_host *h, const struct request *r, struct usb_work *w)
{
	*w = (struct usb_work){ .kind = USB_WORK_IFACE, .value = r->value, .iface = r->index };
	return r->index >= USB_IFACES_MAX || !(h->claimed & 1u << r->index) || r->value > 0xff
		       ? USB_STALL
		       : USB_JOB_RUNS;
}

/* Features of a device that are the host's business. */
static bool is_of_the_host(unsigned feature)
{
	return feature == USB_DEVICE_REMOTE_WAKEUP || feature == USB_DEVICE_U1_ENABLE ||
	       feature == USB_DEVICE_U2_ENABLE || feature == USB_DEVICE_LTM_ENABLE;
}

static int start_feature(const struct request *r, struct usb_work *w)
{
	unsigned recipient = r->type & USB_RECIP_MASK;

	*w = (struct usb_work){ .kind = USB_WORK_CLEAR_HALT, .value = r->index & 0x8f };
	if (recipient == USB_RECIP_ENDPOINT && r->request == USB_REQ_CLEAR_FEATURE &&
	    r->value == USB_ENDPOINT_HALT && (r->index & 0xf))
		return USB_JOB_RUNS;
	if (recipient == USB_RECIP_DEVICE && r->value == USB_DEVICE_TEST_MODE)
		return USB_STALL; /* only a power cycle would end it */
	return (recipient == USB_RECIP_DEVICE && is_of_the_host(r->value)) ||
			       (recipient == USB_RECIP_INTERFACE &&
				r->value == USB_INTRF_FUNC_SUSPEND)
		       ? (int)USB_OK
		       : USB_REQUEST_FORWARD;
}

int usb_request_start(const struct usb_host *h, struct usb_job *job, struct usb_work *w)
{
	struct request r = request_of(job->xfer);

	if ((r.type & USB_TYPE_MASK) != USB_TYPE_STANDARD)
		return USB_REQUEST_FORWARD;
	if (r.request == USB_REQ_GET_DESCRIPTOR)
		job->config_desc = r.type == USB_DIR_IN && r.value >> 8 == USB_DT_CONFIG;
	if (r.type & USB_DIR_IN)
		return USB_REQUEST_FORWARD;
	switch (r.request) {
	case USB_REQ_SET_CONFIGURATION:
		return start_config(h, r.value & 0xff, w);
	case USB_REQ_SET_INTERFACE:
		return start_interface(h, &r, w);
	case USB_REQ_SET_FEATURE:
	case USB_REQ_CLEAR_FEATURE:
		return start_feature(&r, w);
	case USB_REQ_SET_ADDRESS:
		return USB_STALL;
	case USB_REQ_SET_SEL:
	case USB_REQ_SET_ISOCH_DELAY:
		job->xfer->done = job->xfer->len;
		return USB_OK;
	}
	return USB_REQUEST_FORWARD;
}
