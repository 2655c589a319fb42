/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card that another process serves.
 *
 * The control queue is ours: its commands decide which pairs of queues the back end serves, and set
 * the address. Everything else about frames (offloads, merged buffers) is between the driver and
 * the back end.
 *
 * Back ends for network cards finish the buffers of a queue in their order, so after the death of
 * one, the next one goes on. A frame that was sent twice or never is what networks do anyway.
 *
 * Threads: `pairs` and the control queue belong to the thread of the device.
 */
#include "devices/virtio/vhost_user_net.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/net_command.h"
#include "devices/virtio/vhost_user_device.h"
#include "devices/virtio/virtio_net.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"

#define RING	     1024
#define CONTROL_RING 64

static_assert(2 * NET_MAX_PAIRS + 1 <= VIRTIO_MAX_QUEUES, "the control queue is the last");
static_assert(RING <= VIRTQ_MAX_SIZE, "a ring");

#define BIT(n) (1ull << (n))
#define NET_FEATURES                                                                               \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |    \
	 BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |                              \
	 BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
	 BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define OWN_FEATURES                                                                    \
	(BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | \
	 BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))

struct vhost_user_net {
	struct vhost_user_device dev;
	struct virtio_net_config config;
	uint8_t mac[6]; /* until the driver sets another */
	unsigned max_pairs;
	_Atomic unsigned pairs; /* that the driver uses; 1 after a reset */
	struct virtq_chain chain;
};

static struct vhost_user_net *net_of(const struct vhost_user_device *d)
{
	return (struct vhost_user_net *)(uintptr_t)d; /* its first member */
}

static_assert(offsetof(struct vhost_user_net, dev) == 0, "net_of()");

/* ---- the back end ---- */

static int net_connected(struct vhost_user_device *d, struct error *err)
{
	const struct vhost_user_net *n = net_of(d);

	if (n->max_pairs <= d->back.queues)
		return 0;
	return error_set(err, -EINVAL,
			 "the back end has %u pair%s of queues: use queues=%u, or give it more",
			 d->back.queues, d->back.queues == 1 ? "" : "s", d->back.queues);
}

/* §5.1.2: without MQ, the driver knows one pair. */
static unsigned net_rings(const struct vhost_user_device *d)
{
	return 2 * (virtio_has(&d->vdev, VIRTIO_NET_F_MQ) ? net_of(d)->max_pairs : 1);
}

static bool net_enabled(const struct vhost_user_device *d, unsigned queue)
{
	return queue / 2 < net_of(d)->pairs;
}

/* ---- the control queue ---- */

static int set_pairs(void *arg, unsigned want)
{
	struct vhost_user_net *n = arg;
	struct vhost_user_device *d = &n->dev;
	struct error err = { 0 };
	int ret = 0;

	if (want > n->max_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < 2 * want; i++)
		if (!d->vdev.queues[i].enabled)
			return -EINVAL;
	n->pairs = want;
	for (unsigned i = 0; d->running && i < net_rings(d) && !ret; i++)
		if (d->vdev.queues[i].enabled)
			ret = vhost_user_enable_ring(&d->back, i, net_enabled(d, i), &err);
	if (ret)
		vhost_user_device_lose(d, &err);
	return 0; /* the next back end is told, if this one is gone */
}

static void config_mac(struct vhost_user_net *n, const uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++)
		__atomic_store_n(&n->config.mac[i], mac[i], __ATOMIC_RELAXED);
	n->dev.vdev.generation++;
}

static int set_mac(void *arg, const uint8_t mac[6])
{
	config_mac(arg, mac);
	return 0;
}

/* Not offered (CTRL_GUEST_OFFLOADS): the protocol has no message for it. */
static int set_offloads(void *arg, uint64_t offloads)
{
	(void)arg;
	(void)offloads;
	return -EOPNOTSUPP;
}

static const struct net_command_ops command_ops = {
	.set_pairs = set_pairs,
	.set_mac = set_mac,
	.set_offloads = set_offloads,
};

/* However many the guest puts there: only this thread works for them, and it sees a stop. */
static void net_commands(struct vhost_user_device *d)
{
	struct vhost_user_net *n = net_of(d);
	struct virtio_queue *q = &d->vdev.queues[net_rings(d)];
	int ret = 0;

	do {
		while (!vhost_user_device_stops(d) && (ret = virtq_pop(&q->vq, &n->chain)) > 0) {
			virtq_push(&q->vq, n->chain.head,
				   net_command(&n->chain, d->vdev.guest_features, &command_ops, n));
			if (virtq_flush(&q->vq))
				virtio_notify_queue(q);
		}
	} while (ret == 0 && !vhost_user_device_stops(d) && virtq_enable_kicks(&q->vq));
	if (ret < 0)
		virtio_broken(&d->vdev, "an entry of the control queue is not valid");
}

static bool net_direct(const struct virtio_device *v, unsigned queue)
{
	const struct vhost_user_device *d = container_of(v, struct vhost_user_device, vdev);

	return virtio_has(v, VIRTIO_NET_F_CTRL_VQ) && queue == net_rings(d);
}

/* ---- the device ---- */

static void net_reset(struct virtio_device *v)
{
	struct vhost_user_net *n = net_of(vhost_user_of(v));

	vhost_user_device_reset(v);
	n->pairs = 1;
	if (memcmp(n->config.mac, n->mac, sizeof(n->mac)) != 0)
		config_mac(n, n->mac);
}

static int net_start(struct virtio_device *v)
{
	if (!v->queues[0].enabled || !v->queues[1].enabled)
		return -EINVAL;
	return vhost_user_device_start(v);
}

static const struct vhost_user_kind net_kind = {
	.option = "--vhost-user-net",
	.in_order = true,
	.connected = net_connected,
	.rings = net_rings,
	.enabled = net_enabled,
	.commands = net_commands,
};

static const struct virtio_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.class_code = 0x020000, /* network, Ethernet */
	.start = net_start,
	.stop = vhost_user_device_stop,
	.reset = net_reset,
	.direct = net_direct,
	.command = vhost_user_device_command,
};

/* ---- what a user asks for ---- */

struct net_opts {
	const char *path;
	uint8_t mac[6];	 /* zeroes: make one up */
	uint64_t queues; /* pairs; 0: one */
};

static_assert(offsetof(struct net_opts, path) == 0, "vhost_user_device_check()");

#define IN(field) offsetof(struct net_opts, field)
static const struct key net_keys[] = {
	{ "SOCKET", KEY_STRING, IN(path), 0, 0, { 0 } },
	{ "mac", KEY_MAC, IN(mac), 0, 0, { 0 } },
	{ "queues", KEY_NUMBER, IN(queues), 1, NET_MAX_PAIRS, { 0 } },
	{ 0 },
};

static int net_open(struct device *d, const struct device_env *env, struct error *err)
{
	const struct net_opts *o = d->opts;
	struct vhost_user_net *n = calloc(1, sizeof(*n));

	(void)env;
	if (!n)
		return error_set(err, -ENOMEM, "out of memory");
	d->state = n;
	snprintf(n->dev.name, sizeof(n->dev.name), "vunet%u", d->index);
	virtio_net_mac(n->mac, o->mac, d->index);
	memcpy(n->config.mac, n->mac, sizeof(n->mac));
	n->max_pairs = o->queues ? (unsigned)o->queues : 1;
	n->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	n->config.max_virtqueue_pairs = htole16((uint16_t)n->max_pairs);
	return vhost_user_device_open(&n->dev, &net_kind, o->path, err);
}

static int net_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct vhost_user_net *n = d->state;
	const struct vhost_user_plug p = {
		.ops = &net_ops,
		.features = NET_FEATURES,
		.own = OWN_FEATURES | (n->max_pairs > 1 ? BIT(VIRTIO_NET_F_MQ) : 0),
		.queues = 2 * n->max_pairs + 1,
		.queue_size = RING,
		.id = d->id,
	};
	struct virtio_queue *control;
	int ret;

	n->dev.vdev.config = &n->config;
	n->dev.vdev.config_len = sizeof(n->config);
	ret = vhost_user_device_plug(&n->dev, env, &p, err);
	if (ret)
		return ret;
	control = &n->dev.vdev.queues[2 * n->max_pairs];
	control->size = control->max_size = CONTROL_RING;
	return 0;
}

static void net_unplug(struct device *d)
{
	struct vhost_user_net *n = d->state;

	vhost_user_device_unplug(&n->dev);
}

static bool net_close(struct device *d)
{
	struct vhost_user_net *n = d->state;

	if (n && !vhost_user_device_free(&n->dev))
		return false;
	free(n);
	return true;
}

const struct device_class vhost_user_net_class = {
	.name = "vhost-user-net",
	.option = "vhost-user-net",
	.arg = "SOCKET[,...]",
	.help = "  --vhost-user-net SOCKET[,mac=M,queues=N]\n",
	.keys = net_keys,
	.positional = true,
	.shared_ram = true,
	.pci = true,
	.most = 8,
	.opts_size = sizeof(struct net_opts),
	.check = vhost_user_device_check,
	.open = net_open,
	.plug = net_plug,
	.unplug = net_unplug,
	.close = net_close,
};
