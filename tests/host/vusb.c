/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vusb PORT high|full: a USB device in this program, plugged into a port of vhci_hcd, with an
 * isochronous endpoint in each direction, of one packet every 32 ms. It ends when the port is
 * detached.
 *
 * It has a clock of its own, as a real device has. Once a stream has begun, a packet is due every 4
 * ms: one that nobody fetches or sends in time is lost, and is counted (usbiso.h).
 *
 * The kernel's side is drivers/usb/usbip (and Documentation/usb/usbip_protocol.rst): a header of 48
 * bytes for each URB; what is sent follows it, then 16 bytes for each packet; all big-endian.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guest-tests/usbiso.h"

#define ATTACH		"/sys/devices/platform/vhci_hcd.0/attach"
#define DEVID		0x10002
#define US		32000u /* between two packets */
#define DATA_MAX	(1u << 20)
#define ISO_PACKETS_MAX 256u

enum { CMD_SUBMIT = 1, CMD_UNLINK, RET_SUBMIT, RET_UNLINK };

struct header {
	uint32_t command, seqnum, devid, direction, ep;
	union {
		struct {
			uint32_t flags, length, start, packets, interval;
			uint8_t setup[8];
		} submit;
		struct {
			uint32_t status, length, start, packets, errors;
		} done;
		uint32_t unlink_seqnum, unlink_status;
		uint8_t bytes[28];
	};
};
_Static_assert(sizeof(struct header) == 48, "struct usbip_header");

struct packet {
	uint32_t offset, length, actual, status;
};

struct urb {
	struct urb *next;
	uint32_t seqnum, packets, length;
	uint64_t due;
	struct packet packet[ISO_PACKETS_MAX];
	uint8_t data[];
};

struct endpoint {
	int runs;
	uint64_t next_us; /* when the packet behind the last URB is due */
	uint32_t number;  /* of the next packet that is due; of the one that is expected */
	struct urb *first;
};

struct device {
	int fd;
	struct endpoint in, out;
	struct iso_counts counts;
};

/* clang-format off */
static const uint8_t device_desc[] = {
	18, 1, 0x00, 0x02, 0xff, 0, 0, 64,
	ISO_VENDOR & 0xff, ISO_VENDOR >> 8, ISO_PRODUCT, 0, 0x00, 0x01, 0, 0, 0, 1,
};
static uint8_t config_desc[] = {
	9, 2, 9 + 9 + 9 + 7 + 7, 0, 1, 1, 0, 0x80, 50,
	9, 4, 0, 0, 0, 0xff, 0, 0, 0, /* alternate setting 0: no endpoints */
	9, 4, 0, 1, 2, 0xff, 0, 0, 0, /* alternate setting 1 */
	7, 5, ISO_IN, 0x05, ISO_MAX, 0, 0,
	7, 5, ISO_OUT, 0x05, ISO_MAX, 0, 0,
};
/* clang-format on */

static void die(const char *what)
{
	fprintf(stderr, "vusb: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void send_all(const struct device *d, const void *buf, size_t len)
{
	if (len && send(d->fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
		exit(0); /* it was detached */
}

static void recv_all(const struct device *d, void *buf, size_t len)
{
	if (len && recv(d->fd, buf, len, MSG_WAITALL) != (ssize_t)len)
		exit(0);
}

static void send_done(const struct device *d, uint32_t seqnum, int status, uint32_t length,
		      uint32_t packets)
{
	struct header h = { .command = htonl(RET_SUBMIT), .seqnum = htonl(seqnum) };

	h.done.status = htonl((uint32_t)status);
	h.done.length = htonl(length);
	h.done.packets = htonl(packets);
	send_all(d, &h, sizeof(h));
}

/* ---- control ---- */

static void streams_stop(struct device *d)
{
	d->in.runs = d->out.runs = 0;
	d->in.number = d->out.number = 0;
	d->counts = (struct iso_counts){ 0 };
}

/* The data of a request; -EPIPE: there is no such request. */
static int request_data(struct device *d, const uint8_t *setup, const void **data)
{
	static const uint8_t zero[2];

	switch (setup[0] << 8 | setup[1]) {
	case 0x8006: /* GET_DESCRIPTOR */
		*data = setup[3] == 1 ? device_desc : config_desc;
		return setup[3] == 1   ? (int)sizeof(device_desc)
		       : setup[3] == 2 ? (int)sizeof(config_desc)
				       : -EPIPE;
	case 0x8000: /* GET_STATUS */
	case 0x8100:
	case 0x8200:
		*data = zero;
		return 2;
	case 0x010b: /* SET_INTERFACE */
		if (setup[2])
			streams_stop(d);
		return 0;
	case 0x0009: /* SET_CONFIGURATION */
	case 0x0201: /* CLEAR_FEATURE */
		return 0;
	case 0xc001:
		*data = &d->counts;
		return sizeof(d->counts);
	}
	return -EPIPE;
}

static void control(struct device *d, uint32_t seqnum, const struct header *h)
{
	const void *data = NULL;
	uint32_t length = ntohl(h->submit.length);
	int n = request_data(d, h->submit.setup, &data);

	if (n < 0 || !data)
		length = 0;
	if (n >= 0 && length > (uint32_t)n)
		length = (uint32_t)n;
	send_done(d, seqnum, n < 0 ? n : 0, length, 0);
	send_all(d, data, data ? length : 0);
}

/* ---- isochronous ---- */

/* Begins a stream. Returns how many packets were due while there was no URB: they are lost. */
static uint32_t stream_miss(struct endpoint *e, uint64_t now)
{
	uint32_t n;

	if (!e->runs) {
		e->runs = 1;
		e->next_us = now;
	}
	if (e->next_us >= now)
		return 0;
	n = (uint32_t)((now - e->next_us + US - 1) / US);
	e->next_us += (uint64_t)n * US;
	return n;
}

static void urb_done_in(struct device *d, struct urb *u)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < u->packets; i++) {
		uint32_t n = d->in.number++;

		iso_fill(u->data + at, n); /* one behind the other, wherever they will lie */
		at += iso_len(n);
		u->packet[i].actual = htonl(iso_len(n));
		u->packet[i].status = 0;
	}
	d->counts.in += u->packets;
	send_done(d, u->seqnum, 0, at, u->packets);
	send_all(d, u->data, at);
	send_all(d, u->packet, u->packets * sizeof(u->packet[0]));
}

static void urb_done_out(struct device *d, struct urb *u)
{
	for (uint32_t i = 0; i < u->packets; i++) {
		uint32_t offset = ntohl(u->packet[i].offset), len = ntohl(u->packet[i].length);
		const uint8_t *p = u->data + offset;

		if (offset > u->length || len > u->length - offset || !iso_ok(p, len) ||
		    iso_number(p) != d->out.number)
			d->counts.out_wrong++;
		d->out.number++;
		u->packet[i].actual = u->packet[i].length;
		u->packet[i].status = 0;
	}
	d->counts.out += u->packets;
	send_done(d, u->seqnum, 0, u->length, u->packets);
	send_all(d, u->packet, u->packets * sizeof(u->packet[0]));
}

static void stream_work(struct device *d, struct endpoint *e, uint64_t now)
{
	struct urb *u;

	while ((u = e->first) && u->due <= now) {
		e->first = u->next;
		if (e == &d->in)
			urb_done_in(d, u);
		else
			urb_done_out(d, u);
		free(u);
	}
}

static void urb_add(struct device *d, struct endpoint *e, struct urb *u)
{
	struct urb **at = &e->first;
	uint64_t now = now_us();
	uint32_t lost;

	stream_work(d, e, now);
	lost = stream_miss(e, now);
	if (e == &d->in) {
		d->counts.in_lost += lost;
		e->number += lost;
	} else {
		d->counts.out_lost += lost;
	}
	e->next_us += (uint64_t)u->packets * US;
	u->due = e->next_us;
	while (*at)
		at = &(*at)->next;
	*at = u;
}

/* ---- what comes from the kernel ---- */

static void submit(struct device *d, uint32_t seqnum, const struct header *h)
{
	uint32_t ep = ntohl(h->ep), length = ntohl(h->submit.length);
	uint32_t packets = ntohl(h->submit.packets);
	struct urb *u;

	if (length > DATA_MAX)
		exit(1);
	u = calloc(1, sizeof(*u) + length);
	if (!u)
		die("memory");
	u->seqnum = seqnum;
	u->length = length;
	if (!ntohl(h->direction))
		recv_all(d, u->data, length);
	if (ep == 0) {
		control(d, seqnum, h);
		free(u);
		return;
	}
	if (packets > ISO_PACKETS_MAX)
		exit(1);
	u->packets = packets;
	recv_all(d, u->packet, packets * sizeof(u->packet[0]));
	urb_add(d, ep == 1 ? &d->in : &d->out, u);
}

static int urb_remove(struct endpoint *e, uint32_t seqnum)
{
	for (struct urb **at = &e->first; *at; at = &(*at)->next) {
		struct urb *u = *at;

		if (u->seqnum != seqnum)
			continue;
		*at = u->next;
		free(u);
		e->runs = 0;
		return 1;
	}
	return 0;
}

static void unlink_urb(struct device *d, uint32_t seqnum, uint32_t which)
{
	struct header h = { .command = htonl(RET_UNLINK), .seqnum = htonl(seqnum) };

	if (urb_remove(&d->in, which) || urb_remove(&d->out, which))
		h.unlink_status = htonl((uint32_t)-ECONNRESET);
	send_all(d, &h, sizeof(h));
}

static void read_one(struct device *d)
{
	struct header h;

	recv_all(d, &h, sizeof(h));
	if (ntohl(h.command) == CMD_SUBMIT)
		submit(d, ntohl(h.seqnum), &h);
	else if (ntohl(h.command) == CMD_UNLINK)
		unlink_urb(d, ntohl(h.seqnum), ntohl(h.unlink_seqnum));
	else
		exit(1);
}

static int wait_ms(const struct device *d, uint64_t now)
{
	uint64_t due = UINT64_MAX;

	if (d->in.first)
		due = d->in.first->due;
	if (d->out.first && d->out.first->due < due)
		due = d->out.first->due;
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int)((due - now + 999) / 1000);
}

/* The interval is 2 to the power of bInterval - 1: microframes, and frames at full speed. */
static unsigned choose_speed(const char *name)
{
	bool full = strcmp(name, "full") == 0;

	config_desc[sizeof(config_desc) - 1] = config_desc[sizeof(config_desc) - 8] = full ? 6 : 9;
	return full ? 2 : 3; /* enum usb_device_speed */
}

static void attach(const char *port, unsigned speed, int fd)
{
	int file = open(ATTACH, O_WRONLY);
	char text[64];
	int n = snprintf(text, sizeof(text), "%s %d %u %u", port, fd, DEVID, speed);

	if (file < 0 || write(file, text, (size_t)n) != n)
		die(ATTACH);
	close(file);
	close(fd);
}

int main(int argc, char **argv)
{
	struct device d = { 0 };
	int ends[2];

	if (argc != 3) {
		fprintf(stderr, "usage: vusb PORT high|full\n");
		return 2;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	d.fd = ends[0];
	attach(argv[1], choose_speed(argv[2]), ends[1]);
	for (;;) {
		struct pollfd p = { .fd = d.fd, .events = POLLIN };

		if (poll(&p, 1, wait_ms(&d, now_us())) < 0 && errno != EINTR)
			die("poll");
		if (p.revents)
			read_one(&d);
		stream_work(&d, &d.in, now_us());
		stream_work(&d, &d.out, now_us());
	}
}
