// SPDX-License-Identifier: BSD-2-Clause
/* A network card under a hostile guest and a hostile network. The tap device is a socket, linked in
 * by --wrap; one of two cards has lost it. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/backend/tap.h"
#include "devices/virtio/virtio_net.h"
#include "tests/fuzz/virtio_guest.h"
#include "vmm/core/error.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int __wrap_tap_open(const char *ifname, char name[TAP_NAME], struct error *err);

static int networks[2], network = -1; /* the other ends */

int __wrap_tap_open(const char *ifname, char name[TAP_NAME], struct error *err)
{
	int s[2];

	(void)ifname;
	(void)err;
	strcpy(name, "fuzz0");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s))
		abort();
	network = s[1];
	return s[0];
}

static struct virtio_net *make(struct fake_driver *d)
{
	struct net_config c = { .no_vhost = true };
	struct error err = { 0 };
	struct virtio_net *n;

	if (fake_driver_init(d))
		abort();
	n = virtio_net_open(&c, &err);
	if (!n || virtio_net_plug(n, d->root, &d->root->bus, FAKE_DEVFN, &c, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return n;
}

static void drain(void)
{
	char frame[16];

	while (recv(network, frame, sizeof(frame), MSG_DONTWAIT) > 0)
		;
}

/* Frames from the network, and buffers for them or with them. */
static void other_step(struct fake_driver *d, const uint8_t *s)
{
	static char frame[70000];
	size_t n = (s[2] | s[3] << 8) >> (s[1] & 3) * 4;
	uint32_t at = RING_DATA + (s[4] | s[5] << 8) % 0x4000u;
	unsigned q = s[0] >> 4 & 1;

	if (s[1] & 4) {
		memcpy(frame, s, STEP_BYTES);
		(void)!send(network, frame, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (s[1] & 8)
		at = RING_MEM / 2 - s[4];
	driver_offer(d, q, s[6] % RING_SIZE, at, s[1] & 16 ? s[2] : (uint32_t)n,
		     s[1] & 32 ? (s[7] & 7)
		     : q       ? 0
			       : VRING_DESC_F_WRITE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fake_driver drivers[2];
	static struct virtio_net *cards[2];
	struct fake_driver *d;
	unsigned which;

	if (len < STEP_BYTES)
		return 0;
	log_set_level(LOG_ERROR);
	threads_poll = true;
	which = (data[0] & 7) == 7; /* the one that has lost its network */
	d = &drivers[which];
	/* To make one takes much longer than a run. */
	if (cards[which] && (data[0] & 0xc0) == 0xc0 && data[1] == 0xa5) {
		virtio_net_free(cards[which]);
		fake_driver_free(d);
		close(networks[which]);
		cards[which] = NULL;
	}
	if (!cards[which]) {
		cards[which] = make(d);
		networks[which] = network;
		if (which)
			shutdown(network, SHUT_RDWR);
	}
	network = networks[which];
	virtio_begin(d, (data[0] & 8 ? 1u << 15 /* MRG_RXBUF */ : 0) |
				(data[0] & 16 ? 1u << 28 | 1u << 29 : 0) |
				(data[0] & 32 ? 1u << 1 | 1u << 7 | 1u << 8 | 1u << 9 : 0));
	for (size_t i = 2; i + STEP_BYTES <= len && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES) {
		if ((data[i] & 15) >= STEP_OTHER)
			other_step(d, data + i);
		else
			virtio_step(d, data + i);
	}
	driver_kick(d, 1);
	threads_run();
	threads_run();
	drain();
	return 0;
}
