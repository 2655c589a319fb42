// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-net: two queues and a tap device between them.
 *
 * The tap device speaks struct virtio_net_hdr itself (IFF_VNET_HDR), so checksum and segmentation
 * offloads pass through without our looking at a frame. With /dev/vhost-net the kernel serves the
 * queues; without it one thread does: it sleeps in poll() on the tap device and both kicks. A frame
 * that was read but finds no buffers waits in `rx`, and the tap device is not polled meanwhile:
 * the host's queue then fills and drops, as a network does.
 *
 * Threads: the data path (vhost or the thread) owns both virtqs between start and stop.
 */
#include "devices/virtio/virtio_net.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "devices/backend/iothread.h"
#include "devices/backend/tap.h"
#include "devices/virtio/vhost_net.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/core/device.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"

#define QUEUE_SIZE 256
#define RX	   0
#define TX	   1
#define FRAME_MAX  (65536 + TAP_HDR)
#define TURN	   64 /* frames in one direction before the other gets its turn */

static_assert(sizeof(struct virtio_net_hdr_v1) == TAP_HDR, "VIRTIO 1.2 5.1.6");
static_assert(offsetof(struct virtio_net_config, status) == 6, "VIRTIO 1.2 5.1.4");

#define BIT(n) (1ull << (n))
#define NET_FEATURES                                                                              \
	(BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) |           \
	 BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | \
	 BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |                             \
	 BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN))

struct virtio_net {
	struct virtio_device vdev;
	struct virtio_net_config config;
	char name[16], tap_name[TAP_NAME];
	int tap, vhost, wake;
	bool initialized; /* vdev */
	struct iothread *thread;
	/* the thread's */
	bool dead;	/* a ring is broken */
	bool gone;	/* the tap device is */
	size_t rx_len;	/* a frame waits in rx */
	unsigned stuck; /* for more buffers than these */
	struct virtq_chain chain;
	uint16_t heads[QUEUE_SIZE];
	uint32_t lens[QUEUE_SIZE];
	char rx[FRAME_MAX];
};

static struct virtq *vq_of(struct virtio_net *n, unsigned i)
{
	return &n->vdev.queues[i].vq;
}

static void publish(struct virtio_net *n, unsigned i)
{
	if (virtq_flush(vq_of(n, i)))
		virtio_notify_queue(&n->vdev.queues[i]);
}

static void broken(struct virtio_net *n)
{
	n->dead = true;
	virtio_broken(&n->vdev, "a ring entry is not valid");
}

/* Copies the waiting frame into as many buffers as it takes (one, without MRG_RXBUF). 1: done or
 * dropped; 0: not enough buffers yet; -EINVAL. */
static int rx_deliver(struct virtio_net *n)
{
	const unsigned max = virtio_has(&n->vdev, VIRTIO_NET_F_MRG_RXBUF) ? QUEUE_SIZE : 1;
	struct virtq *vq = vq_of(n, RX);
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
static bool rx_turn(struct virtio_net *n)
{
	for (unsigned i = 0; i < TURN; i++) {
		int ret;

		if (n->rx_len == 0) {
			ssize_t len = read(n->tap, n->rx, sizeof(n->rx));

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
static bool tx_turn(struct virtio_net *n)
{
	struct virtq *vq = vq_of(n, TX);

	for (unsigned i = 0; i < TURN; i++) {
		struct virtq_chain *c = &n->chain;
		int ret = virtq_pop(vq, c);

		if (ret < 0)
			broken(n);
		if (ret <= 0)
			return false;
		if (c->out_len >= TAP_HDR)
			(void)!writev(n->tap, c->iov, c->nr_out); /* what is lost is lost */
		virtq_push(vq, c->head, 0);
	}
	return true;
}

/* Somebody removed the tap device. It does not come back: what the guest sends is lost from now on,
 * and it is told that the cable is out. */
static void tap_gone(struct virtio_net *n)
{
	n->gone = true;
	log_warn("%s: the tap device %s is gone: the guest's link is down until minivmm ends",
		 n->name, n->tap_name);
	__atomic_store_n(&n->config.status, 0, __ATOMIC_RELEASE);
	virtio_config_changed(&n->vdev);
}

static void net_wait(struct virtio_net *n)
{
	const struct virtio_queue *q = n->vdev.queues;
	/* With a frame in hand only new buffers help. That the tap device goes is to be seen even
	 * then: its driver wakes who waits for urgent data, too (sock_def_readable), of which it
	 * has none. */
	struct pollfd p[4] = { { n->wake, POLLIN, 0 },
			       { n->dead ? -1 : q[RX].kick_fd, POLLIN, 0 },
			       { n->dead ? -1 : q[TX].kick_fd, POLLIN, 0 },
			       { n->dead || n->gone ? -1 : n->tap, n->rx_len ? POLLPRI : POLLIN,
				 0 } };

	if (poll(p, 4, -1) <= 0)
		return;
	for (unsigned i = 0; i < 3; i++)
		if (p[i].revents)
			eventfd_drain(p[i].fd);
	if (p[3].revents & (POLLERR | POLLHUP | POLLNVAL))
		tap_gone(n);
}

static void net_loop(void *arg)
{
	struct virtio_net *n = arg;

	while (iothread_wanted(n->thread)) {
		bool more = false;

		if (!n->dead)
			more |= tx_turn(n);
		if (!n->dead)
			more |= rx_turn(n);
		publish(n, TX);
		publish(n, RX);
		if (more && !n->dead)
			continue;
		if (virtq_enable_kicks(vq_of(n, TX)) && !n->dead)
			continue;
		/* Buffers matter only to a frame that waits for them; `stuck` ones are too few. */
		if (virtq_enable_kicks(vq_of(n, RX)) && n->rx_len && !n->dead &&
		    virtq_pending(vq_of(n, RX)) != n->stuck)
			continue;
		net_wait(n);
	}
	n->rx_len = 0;
}

static void net_paused(void *arg)
{
	struct virtio_net *n = arg;

	virtio_left(&n->vdev);
}

static const struct iothread_ops thread_ops = { .run = net_loop, .paused = net_paused };

static unsigned offloads(const struct virtio_device *v)
{
	unsigned f = 0;

	if (!virtio_has(v, VIRTIO_NET_F_GUEST_CSUM))
		return 0;
	f |= TUN_F_CSUM;
	f |= virtio_has(v, VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0;
	f |= virtio_has(v, VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0;
	if (f & (TUN_F_TSO4 | TUN_F_TSO6))
		f |= virtio_has(v, VIRTIO_NET_F_GUEST_ECN) ? TUN_F_TSO_ECN : 0;
	return f;
}

static int net_start(struct virtio_device *v)
{
	struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	if (!v->queues[RX].enabled || !v->queues[TX].enabled)
		return -EINVAL;
	tap_set_offload(n->tap, offloads(v));
	n->dead = false;
	if (n->vhost >= 0)
		return vhost_net_start(n->vhost, n->tap, v->pci.root->mem, v);
	iothread_resume(n->thread);
	return 0;
}

static unsigned net_stop(struct virtio_device *v)
{
	struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	if (n->vhost < 0)
		return iothread_leave(n->thread);
	vhost_net_stop(n->vhost, v);
	return 0;
}

static const struct virtio_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.class_code = 0x020000, /* network, Ethernet */
	.start = net_start,
	.stop = net_stop,
};

static void make_mac(uint8_t mac[6], const struct net_config *cfg)
{
	static const uint8_t local[3] = { 0x52, 0x54, 0x00 };

	if (cfg->has_mac) {
		memcpy(mac, cfg->mac, 6);
		return;
	}
	memcpy(mac, local, sizeof(local)); /* locally administered */
	if (getrandom(mac + 3, 3, GRND_NONBLOCK) != 3)
		memset(mac + 3, (int)cfg->index, 3);
}

static int open_path(struct virtio_net *n, const struct net_config *cfg, uint64_t *features,
		     struct error *err)
{
	uint64_t vhost = ~0ull;

	if (!cfg->no_vhost)
		n->vhost = vhost_net_open(&vhost);
	if (n->vhost >= 0) {
		/* Offloads are the tap device's; of ours vhost must know this one. */
		*features &= vhost | ~BIT(VIRTIO_NET_F_MRG_RXBUF);
		return 0;
	}
	n->wake = eventfd_new();
	if (n->wake < 0)
		return error_set(err, -errno, "%s: eventfd: %s", n->name, strerror(errno));
	n->thread = iothread_new(n->name, n->wake, &thread_ops, n, err);
	return n->thread ? 0 : -EAGAIN;
}

static void net_release(struct virtio_net *n)
{
	iothread_free(n->thread);
	if (n->tap >= 0)
		close(n->tap);
	if (n->vhost >= 0)
		close(n->vhost);
	if (n->wake >= 0)
		close(n->wake);
	free(n);
}

struct virtio_net *virtio_net_open(const struct net_config *cfg, struct error *err)
{
	struct virtio_net *n = calloc(1, sizeof(*n));

	if (!n) {
		error_set(err, -ENOMEM, "network: out of memory");
		return NULL;
	}
	n->vhost = n->wake = -1;
	snprintf(n->name, sizeof(n->name), "net%u", cfg->index);
	make_mac(n->config.mac, cfg);
	n->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	n->tap = tap_open(cfg->ifname, n->tap_name, err);
	if (n->tap >= 0)
		return n;
	net_release(n);
	return NULL;
}

int virtio_net_plug(struct virtio_net *n, struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
		    const struct net_config *cfg, struct error *err)
{
	uint64_t features = NET_FEATURES;
	int rc = open_path(n, cfg, &features, err);

	if (rc == 0)
		rc = virtio_init(&n->vdev, n->name, &net_ops, features, 2, QUEUE_SIZE, err);
	if (rc)
		return rc;
	n->initialized = true;
	n->vdev.config = &n->config;
	n->vdev.config_len = sizeof(n->config);
	return virtio_realize(&n->vdev, root, bus, devfn, err);
}

void virtio_net_free(struct virtio_net *n)
{
	if (!n)
		return;
	if (n->initialized && !virtio_destroy(&n->vdev))
		return; /* never: its thread waits for nobody but us */
	net_release(n);
}

/* ---- what a user asks for ---- */

struct net_opts {
	const char *kind, *ifname;
	uint8_t mac[6]; /* zeroes: make one up */
	unsigned vhost; /* 0: where the host has it, 1: not */
};

#define IN(field) offsetof(struct net_opts, field)
static const struct key net_keys[] = {
	{ "KIND", KEY_STRING, IN(kind), 0, 0, { 0 } },
	{ "ifname", KEY_STRING, IN(ifname), 0, IFNAMSIZ - 1, { 0 } },
	{ "mac", KEY_MAC, IN(mac), 0, 0, { 0 } },
	{ "vhost", KEY_CHOICE, IN(vhost), 0, 0, { "on", "off" } },
	{ 0 },
};

static struct net_config net_config(const struct device *d)
{
	static const uint8_t none[6];
	const struct net_opts *o = d->opts;
	struct net_config c = {
		.ifname = o->ifname,
		.has_mac = memcmp(o->mac, none, sizeof(none)) != 0,
		.no_vhost = o->vhost,
		.index = d->index,
	};

	memcpy(c.mac, o->mac, sizeof(c.mac));
	return c;
}

static int net_check(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct net_opts *o = d->opts;

	(void)l;
	if (strcmp(o->kind, "tap") == 0)
		return 0;
	return error_set(err, -EINVAL, "'%s' is not supported: use tap", o->kind);
}

static int net_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct net_config c = net_config(d);

	(void)env;
	d->state = virtio_net_open(&c, err);
	return d->state ? 0 : err->code;
}

static int net_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct net_config c = net_config(d);

	return virtio_net_plug(d->state, env->pci, env->bus, env->devfn, &c, err);
}

static bool net_close(struct device *d)
{
	virtio_net_free(d->state);
	return true;
}

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.option = "net",
	.arg = "tap[,...]",
	.help = "  --net tap[,ifname=I][,mac=M][,vhost=off]  virtio-net\n",
	.keys = net_keys,
	.positional = true,
	.pci = true,
	.most = 8,
	.opts_size = sizeof(struct net_opts),
	.check = net_check,
	.open = net_open,
	.plug = net_plug,
	.close = net_close,
};
