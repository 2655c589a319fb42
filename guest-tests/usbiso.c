/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usbiso NODE PACKETS: isochronous transfers in both directions at the same time, with the device
 * of tests/host/vusb.c. Each packet has its number. Prints one line with what was lost, wrong, or
 * out of order, seen from here and from the device; exit status 0 if nothing was.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "usbiso.h"

#define PACKETS 16u /* in a URB */
#define URBS	8u  /* in flight, in each direction */
#define WAIT_MS 60000

struct stream {
	uint8_t endpoint;
	uint32_t total, sent, done; /* packets */
	uint32_t lost, wrong;
	uint32_t next; /* number of the next packet: to be sent, or expected */
};

struct flight {
	struct stream *stream;
	uint8_t data[PACKETS * ISO_MAX];
	struct usbdevfs_urb urb; /* with an array of packets behind it */
};

static void die(const char *what)
{
	printf("usbiso: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void send_flight(int fd, struct flight *f)
{
	struct stream *s = f->stream;
	struct usbdevfs_urb *u = &f->urb;
	uint32_t at = 0;

	if (s->sent >= s->total)
		return;
	u->type = USBDEVFS_URB_TYPE_ISO;
	u->endpoint = s->endpoint;
	u->flags = USBDEVFS_URB_ISO_ASAP;
	u->buffer = f->data;
	u->number_of_packets = PACKETS;
	u->usercontext = f;
	for (unsigned i = 0; i < PACKETS; i++) {
		unsigned len = ISO_MAX;

		if (s->endpoint == ISO_OUT) {
			iso_fill(f->data + at, s->next);
			len = iso_len(s->next++);
		}
		u->iso_frame_desc[i] = (struct usbdevfs_iso_packet_desc){ .length = len };
		at += len;
	}
	u->buffer_length = (int)at;
	if (ioctl(fd, USBDEVFS_SUBMITURB, u))
		die("SUBMITURB");
	s->sent += PACKETS;
}

static void take_packet(struct stream *s, const uint8_t *data,
			const struct usbdevfs_iso_packet_desc *d)
{
	if (d->status) {
		s->wrong++;
		return;
	}
	if (s->endpoint == ISO_OUT)
		return;
	if (!iso_ok(data, d->actual_length)) {
		s->wrong++;
		return;
	}
	if (iso_number(data) < s->next)
		s->wrong++;
	else
		s->lost += iso_number(data) - s->next;
	s->next = iso_number(data) + 1;
}

static void take_flight(struct flight *f)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < PACKETS; i++) {
		take_packet(f->stream, f->data + at, &f->urb.iso_frame_desc[i]);
		at += f->urb.iso_frame_desc[i].length;
	}
	f->stream->done += PACKETS;
}

static void run_streams(int fd, struct stream s[2])
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct usbdevfs_urb *u;

	for (unsigned i = 0; i < 2 * URBS; i++) {
		struct flight *f =
			calloc(1, sizeof(*f) + PACKETS * sizeof(struct usbdevfs_iso_packet_desc));

		if (!f)
			die("memory");
		f->stream = &s[i % 2];
		send_flight(fd, f);
	}
	while (s[0].done < s[0].total || s[1].done < s[1].total) {
		if (ioctl(fd, USBDEVFS_REAPURBNDELAY, &u) == 0) {
			take_flight(u->usercontext);
			send_flight(fd, u->usercontext);
		} else if (errno != EAGAIN) {
			die("REAPURB");
		} else if (poll(&p, 1, WAIT_MS) <= 0) {
			printf("usbiso: no packet for %d s, after %u in and %u out\n",
			       WAIT_MS / 1000, s[0].done, s[1].done);
			exit(1);
		}
	}
}

static void set_interface(int fd, unsigned alt)
{
	struct usbdevfs_setinterface set = { .interface = 0, .altsetting = alt };

	if (ioctl(fd, USBDEVFS_SETINTERFACE, &set))
		die("SETINTERFACE");
}

int main(int argc, char **argv)
{
	unsigned iface = 0, total = argc > 2 ? (unsigned)atoi(argv[2]) / PACKETS * PACKETS : 0;
	struct stream s[2] = { { .endpoint = ISO_IN, .total = total },
			       { .endpoint = ISO_OUT, .total = total } };
	struct iso_counts c = { 0 };
	struct usbdevfs_ctrltransfer get = { .bRequestType = 0xc0,
					     .bRequest = 1,
					     .wLength = sizeof(c),
					     .timeout = 10000,
					     .data = &c };
	int fd = argc > 2 ? open(argv[1], O_RDWR) : -1;

	if (!total) {
		fprintf(stderr, "usage: usbiso NODE PACKETS\n");
		return 2;
	}
	if (fd < 0)
		die(argv[1]);
	if (ioctl(fd, USBDEVFS_CLAIMINTERFACE, &iface))
		die("CLAIMINTERFACE");
	set_interface(fd, 1);
	run_streams(fd, s);
	if (ioctl(fd, USBDEVFS_CONTROL, &get) != sizeof(c))
		die("CONTROL");
	set_interface(fd, 0);
	printf("%u packets in: %u lost, %u wrong; %u out: %u lost, %u wrong; the device: %u in, %u "
	       "not "
	       "fetched, %u out, %u late, %u wrong\n",
	       s[0].done, s[0].lost, s[0].wrong, s[1].done, s[1].lost, s[1].wrong, c.in, c.in_lost,
	       c.out, c.out_lost, c.out_wrong);
	return s[0].lost || s[0].wrong || s[1].wrong || c.in_lost || c.out_lost || c.out_wrong ||
	       c.in != s[0].done || c.out != s[1].done;
}
