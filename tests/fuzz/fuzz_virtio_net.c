/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card with two pairs of queues and a control queue under a hostile guest and a hostile
 * network. Each queue of the tap device is a socket, linked in by --wrap; one of two cards has lost
 * them. The worker has no thread, so that what it is asked for is done at once. */
#include <linux/virtio_net.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/backend/tap.h"
#include "devices/backend/worker.h"
#include "devices/virtio/virtio_net.h"
#include "tests/fuzz/virtio_guest.h"
#include "vmm/core/error.h"
#include "vmm/core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int __wrap_tap_open(struct tap *, const struct tap_want *, struct error *);
int __wrap_tap_add_queue(const struct tap *);
int __wrap_tap_attach_queue(int fd, bool attached);
bool __wrap_worker_wake(struct worker *);

#define PAIRS 2

/* The other ends, of each card. */
static int networks[2][PAIRS];
static unsigned n_networks[2], which;

static int new_queue(void)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s) ||
	    n_networks[which] == PAIRS)
		abort();
	networks[which][n_networks[which]++] = s[1];
	if (which)
		shutdown(s[1], SHUT_RDWR);
	return s[0];
}

int __wrap_tap_open(struct tap *t, const struct tap_want *want, struct error *err)
{
	(void)want;
	(void)err;
	*t = (struct tap){ .name = "fuzz0", .multi_queue = true, .uso = true, .mtu = 1500 };
	return new_queue();
}

int __wrap_tap_add_queue(const struct tap *t)
{
	(void)t;
	return new_queue();
}

int __wrap_tap_attach_queue(int fd, bool attached)
{
	(void)fd;
	(void)attached;
	return 0;
}

bool __wrap_worker_wake(struct worker *w)
{
	(void)w;
	return false;
}

static struct virtio_net *make(struct fake_driver *d)
{
	struct net_config c = { .no_vhost = true, .queues = PAIRS };
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

	for (unsigned i = 0; i < n_networks[which]; i++)
		while (recv(networks[which][i], frame, sizeof(frame), MSG_DONTWAIT) > 0)
			;
}

/* A command: class and number, and data of as many bytes as the step's upper half says. */
static void command_step(struct fake_driver *d, const uint8_t *s)
{
	uint8_t command[2 + 16] = { s[1] & 7, s[2] & 3, s[3], s[4], s[5], s[6], s[7] };
	unsigned q = s[1] & 8 ? 2 : 2 * PAIRS;

	memcpy(d->r.ram + RING_DATA, command, sizeof(command));
	if (s[1] & 0x80) {
		driver_offer(d, q, s[1] >> 4 & 7, RING_DATA, s[5], s[4] & 7);
		driver_kick(d, q);
	} else {
		driver_command(d, q, RING_DATA, 2 + (s[0] >> 4), RING_DATA + 0x100);
	}
}

/* Frames from the network, and buffers for them or with them. */
static void other_step(struct fake_driver *d, const uint8_t *s)
{
	static char frame[70000];
	size_t n = (s[2] | s[3] << 8) >> (s[1] & 3) * 4;
	uint32_t at = RING_DATA + (s[4] | s[5] << 8) % 0x4000u;
	unsigned q = s[0] >> 4 & 3, to = s[1] >> 6 & 1;

	if (s[1] & 4) {
		memcpy(frame, s, STEP_BYTES);
		if (to < n_networks[which])
			(void)!send(networks[which][to], frame, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (s[1] & 8)
		at = RING_MEM / 2 - s[4];
	driver_offer(d, q, s[6] % RING_SIZE, at, s[1] & 16 ? s[2] : (uint32_t)n,
		     s[1] & 32 ? (s[7] & 7)
		     : q & 1   ? 0
			       : VRING_DESC_F_WRITE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fake_driver drivers[2];
	static struct virtio_net *cards[2];
	struct fake_driver *d;

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
		while (n_networks[which] > 0)
			close(networks[which][--n_networks[which]]);
		cards[which] = NULL;
	}
	if (!cards[which])
		cards[which] = make(d);
	virtio_begin(d, 2 * PAIRS + 1,
		     1u << VIRTIO_NET_F_CTRL_VQ | (data[1] & 1 ? 1u << VIRTIO_NET_F_MQ : 0) |
			     (data[1] & 2 ? 1u << 18 | 1u << 23 | 1u << 2 : 0) |
			     (data[0] & 8 ? 1u << 15 /* MRG_RXBUF */ : 0) |
			     (data[0] & 16 ? 1u << 28 | 1u << 29 : 0) |
			     (data[0] & 32 ? 1u << 1 | 1u << 7 | 1u << 8 | 1u << 9 : 0));
	for (size_t i = 2; i + STEP_BYTES <= len && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES) {
		if ((data[i] & 15) == 15)
			command_step(d, data + i);
		else if ((data[i] & 15) >= STEP_OTHER)
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
