/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread for a pair of queues. It sleeps in poll() on the tap device and both kicks. A frame that
 * was read but finds no buffers waits in `rx`, and the tap device is not polled meanwhile: the
 * host's queue then fills and drops, as a network does.
 *
 * Threads: the thread owns both virtqs between start and stop.
 */
#include "devices/virtio/net_queues.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/iothread.h"
#include "devices/backend/tap.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/iov.h"

#define FRAME_MAX (65536 + TAP_HDR)
#define TURN	  64 /* frames in one direction before the other gets its turn */

static_assert(sizeof(struct virtio_net_hdr_v1) == TAP_HDR, "VIRTIO 1.2 5.1.6");

struct net_queues {
	struct net_queues_config cfg;
	int wake;
	struct iothread *thread;
	/* the thread's */
	bool dead;	/* a ring is broken */
	bool gone;	/* the tap device is */
	size_t rx_len;	/* a frame waits in rx */
	unsigned stuck; /* for more buffers than these */
	struct virtq_chain chain;
	uint16_t heads[VIRTQ_MAX_SIZE];
	uint32_t lens[VIRTQ_MAX_SIZE];
	char rx[FRAME_MAX];
};

static void publish(struct virtio_queue *q)
{
	if (virtq_flush(&q->vq))
		virtio_notify_queue(q);
}

static void broken(struct net_queues *n)
{
	n->dead = true;
	virtio_broken(n->cfg.rx->vdev, "a ring entry is not valid");
}

/* Copies the waiting frame into as many buffers as it takes (one, without MRG_RXBUF). 1: done or
 * dropped; 0: not enough buffers yet; -EINVAL. */
static int rx_deliver(struct net_queues *n)
{
	const unsigned max = virtio_has(n->cfg.rx->vdev, VIRTIO_NET_F_MRG_RXBUF) ? VIRTQ_MAX_SIZE
										 : 1;
	struct virtq *vq = &n->cfg.rx->vq;
	size_t off = 0;
	unsigned bufs = 0;
	struct iovec hdr[VIRTQ_MAX_IOV];
	unsigned nhdr = 0;
	__le16 count;

	while (off < n->rx_len && bufs < max) {
		struct virtq_chain *c = &n->chain;
		int ret = virtq_pop(vq, c);

		if (ret <= 0) {
			virtq_unpop(vq, bufs);
			n->stuck = bufs;
			return ret;
		}
		if (bufs == 0) {
			nhdr = c->nr_in;
			memcpy(hdr, &c->iov[c->nr_out], nhdr * sizeof(hdr[0]));
		}
		n->heads[bufs] = c->head;
		n->lens[bufs] = (uint32_t)iov_write(&c->iov[c->nr_out], c->nr_in, 0, n->rx + off,
						    n->rx_len - off);
		off += n->lens[bufs++];
	}
	if (off < n->rx_len || bufs == 0) {
		virtq_unpop(vq, bufs); /* it does not fit, ever: dropped, the buffers stay */
		return 1;
	}
	count = htole16((uint16_t)bufs);
	iov_write(hdr, nhdr, offsetof(struct virtio_net_hdr_v1, num_buffers), &count, 2);
	for (unsigned i = 0; i < bufs; i++)
		virtq_push(vq, n->heads[i], n->lens[i]);
	return 1;
}

/* True when there may be more to do at once. */
static bool rx_turn(struct net_queues *n)
{
	for (unsigned i = 0; i < TURN; i++) {
		int ret;

		if (n->rx_len == 0) {
			ssize_t len = read(n->cfg.tap, n->rx, sizeof(n->rx));

			if (len <= 0)
				return false;
			n->rx_len = len < TAP_HDR ? 0 : (size_t)len;
		}
		ret = rx_deliver(n);
		if (ret < 0)
			broken(n);
		if (ret <= 0)
			return false;
		n->rx_len = 0;
	}
	return true;
}

/* A frame the tap device refuses is a frame lost, as on a wire. */
static bool tx_turn(struct net_queues *n)
{
	struct virtq *vq = &n->cfg.tx->vq;

	for (unsigned i = 0; i < TURN; i++) {
		struct virtq_chain *c = &n->chain;
		int ret = virtq_pop(vq, c);

		if (ret < 0)
			broken(n);
		if (ret <= 0)
			return false;
		if (c->out_len >= TAP_HDR)
			(void)!writev(n->cfg.tap, c->iov, c->nr_out); /* what is lost is lost */
		virtq_push(vq, c->head, 0);
	}
	return true;
}

static void net_wait(struct net_queues *n)
{
	/* With a frame in hand only new buffers help. That the tap device goes is to be seen even
	 * then: its driver wakes who waits for urgent data, too (sock_def_readable), of which it
	 * has none. */
	struct pollfd p[4] = { { n->wake, POLLIN, 0 },
			       { n->dead ? -1 : n->cfg.rx->kick_fd, POLLIN, 0 },
			       { n->dead ? -1 : n->cfg.tx->kick_fd, POLLIN, 0 },
			       { n->dead || n->gone ? -1 : n->cfg.tap, n->rx_len ? POLLPRI : POLLIN,
				 0 } };

	if (poll(p, 4, -1) <= 0)
		return;
	for (unsigned i = 0; i < 3; i++)
		if (p[i].revents)
			eventfd_drain(p[i].fd);
	if (p[3].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		/* It does not come back: what the guest sends is lost from now on. */
		n->gone = true;
		n->cfg.gone(n->cfg.arg);
	}
}

static void net_loop(void *arg)
{
	struct net_queues *n = arg;

	while (iothread_wanted(n->thread)) {
		bool more = false;

		if (!n->dead)
			more |= tx_turn(n);
		if (!n->dead)
			more |= rx_turn(n);
		publish(n->cfg.tx);
		publish(n->cfg.rx);
		if (more && !n->dead)
			continue;
		if (virtq_enable_kicks(&n->cfg.tx->vq) && !n->dead)
			continue;
		/* Buffers matter only to a frame that waits for them; `stuck` ones are too few. */
		if (virtq_enable_kicks(&n->cfg.rx->vq) && n->rx_len && !n->dead &&
		    virtq_pending(&n->cfg.rx->vq) != n->stuck)
			continue;
		net_wait(n);
	}
	n->rx_len = 0;
}

static const struct iothread_ops thread_ops = { .run = net_loop };

struct net_queues *net_queues_new(const struct net_queues_config *cfg, struct error *err)
{
	struct net_queues *n = calloc(1, sizeof(*n));

	if (!n) {
		error_set(err, -ENOMEM, "%s: out of memory", cfg->name);
		return NULL;
	}
	n->cfg = *cfg;
	n->cfg.name = NULL; /* the caller's */
	n->wake = eventfd_new();
	if (n->wake >= 0)
		n->thread = iothread_new(cfg->name, n->wake, &thread_ops, n, err);
	else
		error_set(err, -errno, "%s: eventfd: %s", cfg->name, strerror(errno));
	if (n->thread)
		return n;
	net_queues_free(n);
	return NULL;
}

void net_queues_start(struct net_queues *n)
{
	n->dead = false;
	iothread_resume(n->thread);
}

void net_queues_stop(struct net_queues *n)
{
	iothread_pause(n->thread);
}

void net_queues_free(struct net_queues *n)
{
	if (!n)
		return;
	iothread_free(n->thread);
	if (n->wake >= 0)
		close(n->wake);
	free(n);
}
