/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net: pairs of queues and a tap device behind them.
 *
 * The tap device speaks struct virtio_net_hdr itself (IFF_VNET_HDR), so checksum and segmentation
 * offloads pass through without our looking at a frame. With /dev/vhost-net the kernel serves the
 * queues (vhost_net.c); without it a thread for each pair does (net_queues.c).
 *
 * The driver begins with one pair and asks for more on the control queue (VIRTIO 1.2 §5.1.6.5.5).
 * What serves a pair besides the first (a queue of the tap device, vhost or a thread) is made when
 * the driver first asks for it. While it is not in use, its queue of the tap device is detached:
 * the kernel spreads the frames of the host over those that are attached. There is no RSS and no
 * hash (VIRTIO_NET_F_RSS): the tap device sends the frames of a connection to the queue from which
 * the guest sends its own.
 *
 * Starting, stopping and commands wait in the kernel: for frames in flight, for the lock of all
 * network devices. So a thread does it that is there only meanwhile (worker.c), and neither a vCPU
 * nor the main loop waits for it with the device's lock held.
 *
 * Threads: `asked` says what the worker has to do; the pairs belong to the worker. The data path
 * (vhost or the thread) owns the two virtqs of a pair while it is started.
 */
#include "devices/virtio/virtio_net.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "devices/backend/tap.h"
#include "devices/backend/worker.h"
#include "devices/virtio/net_command.h"
#include "devices/virtio/net_queues.h"
#include "devices/virtio/vhost_net.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/core/device.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/log.h"

#define RING_MIN     64
#define RING_DEFAULT 1024
#define CONTROL_RING 64
#define AUTO_PAIRS   8 /* at most, unless the user asks for more */

static_assert(offsetof(struct virtio_net_config, status) == 6, "VIRTIO 1.2 5.1.4");
static_assert(offsetof(struct virtio_net_config, mtu) == 10, "VIRTIO 1.2 5.1.4");
static_assert(2 * NET_MAX_PAIRS + 1 <= VIRTIO_MAX_QUEUES, "the control queue is the last");
static_assert(RING_DEFAULT <= VIRTQ_MAX_SIZE, "a ring");

#define BIT(n) (1ull << (n))
#define NET_FEATURES                                                                               \
	(BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) |            \
	 BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |  \
	 BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |                              \
	 BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) |  \
	 BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | \
	 BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
/* <linux/virtio_net.h> has them since Linux 6.2. */
#define GUEST_USO4   54
#define GUEST_USO6   55
#define HOST_USO     56
#define USO_FEATURES (BIT(GUEST_USO4) | BIT(GUEST_USO6) | BIT(HOST_USO))

/* What the worker is asked for. */
#define ASK_START    1u
#define ASK_STOP     2u
#define ASK_COMMANDS 4u

struct net_pair {
	int tap, vhost;		   /* -1: not open; the first pair's is open from the beginning */
	struct net_queues *queues; /* without vhost */
	bool attached, started;
};

static_assert(NET_MAX_PAIRS <= VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX, "VIRTIO 1.2 5.1.6.5.5");

struct virtio_net {
	struct virtio_device vdev;
	struct virtio_net_config config;
	uint8_t mac[6]; /* until the driver sets another */
	char name[16];
	struct tap tap;
	bool initialized; /* vdev */
	bool no_vhost;
	unsigned max_pairs;
	_Atomic unsigned asked;
	struct worker worker;
	/* what the driver asked for by commands, until it resets the device */
	unsigned wanted_pairs;
	uint64_t wanted_offloads;
	/* the worker's */
	bool running;
	unsigned pairs; /* in use */
	struct log_limit limit;
	struct virtq_chain chain;
	struct net_pair pair[NET_MAX_PAIRS];
};

/* ---- a pair ---- */

/* Somebody removed the tap device. It does not come back; the guest is told that the cable is out.
 * Each pair's thread sees it. */
static void tap_gone(void *arg)
{
	struct virtio_net *n = arg;

	if (!__atomic_exchange_n(&n->config.status, 0, __ATOMIC_ACQ_REL))
		return;
	log_warn("%s: the tap device %s is gone: the guest's link is down until minivmm ends",
		 n->name, n->tap.name);
	virtio_config_changed(&n->vdev);
}

static int pair_open_path(struct virtio_net *n, unsigned i, struct error *err)
{
	char name[2 * sizeof(n->name)];
	struct net_queues_config c = {
		.name = name,
		.rx = &n->vdev.queues[2 * i],
		.tx = &n->vdev.queues[2 * i + 1],
		.tap = n->pair[i].tap,
		.gone = tap_gone,
		.arg = n,
	};
	uint64_t features;

	if (!n->no_vhost) {
		n->pair[i].vhost = vhost_net_open(&features);
		return n->pair[i].vhost < 0 ? error_set(err, n->pair[i].vhost, "/dev/vhost-net: %s",
							strerror(-n->pair[i].vhost))
					    : 0;
	}
	snprintf(name, sizeof(name), i ? "%s.%u" : "%s", n->name, i);
	n->pair[i].queues = net_queues_new(&c, err);
	return n->pair[i].queues ? 0 : err->code;
}

/* What is open stays so. */
static int pair_open(struct virtio_net *n, unsigned i, struct error *err)
{
	struct net_pair *p = &n->pair[i];

	if (p->tap < 0) {
		p->tap = tap_add_queue(&n->tap);
		if (p->tap < 0)
			return error_set(err, p->tap, "the tap device %s: %s", n->tap.name,
					 p->tap == -E2BIG ? "it has no more queues"
							  : strerror(-p->tap));
		p->attached = true;
	}
	return p->vhost >= 0 || p->queues ? 0 : pair_open_path(n, i, err);
}

static void pair_attach(struct net_pair *p, bool attached)
{
	if (p->tap >= 0 && p->attached != attached && tap_attach_queue(p->tap, attached) == 0)
		p->attached = attached;
}

static void pair_stop(struct virtio_net *n, unsigned i)
{
	struct net_pair *p = &n->pair[i];

	if (p->started && p->vhost >= 0)
		vhost_net_stop(p->vhost, &n->vdev, 2 * i);
	else if (p->started)
		net_queues_stop(p->queues);
	p->started = false;
	if (i > 0)
		pair_attach(p, false);
}

static int pair_start(struct virtio_net *n, unsigned i, struct error *err)
{
	struct net_pair *p = &n->pair[i];
	int ret = pair_open(n, i, err);

	if (ret)
		return ret;
	pair_attach(p, true);
	if (!p->attached)
		return error_set(err, -EINVAL, "%s: its queue cannot be attached", n->tap.name);
	if (p->vhost >= 0)
		ret = vhost_net_start(p->vhost, p->tap, n->vdev.mem, &n->vdev, 2 * i);
	else
		net_queues_start(p->queues);
	p->started = ret == 0;
	return ret ? error_set(err, ret, "vhost-net: %s", strerror(-ret)) : 0;
}

static void pair_close(struct net_pair *p)
{
	net_queues_free(p->queues);
	if (p->vhost >= 0)
		close(p->vhost);
	if (p->tap >= 0)
		close(p->tap);
}

/* ---- the worker ---- */

static void pairs_stop(struct virtio_net *n, unsigned keep)
{
	while (n->pairs > keep)
		pair_stop(n, --n->pairs);
}

/* All of them, or none more than before. */
static int pairs_start(struct virtio_net *n, unsigned want)
{
	unsigned before = n->pairs;
	struct error err = { 0 };

	while (n->pairs < want && pair_start(n, n->pairs, &err) == 0)
		n->pairs++;
	if (n->pairs == want)
		return 0;
	log_guest(&n->limit, "%s: queue pair %u cannot be used: %s", n->name, n->pairs, err.text);
	pair_stop(n, n->pairs);
	pairs_stop(n, before);
	return err.code;
}

static unsigned offloads(uint64_t features)
{
	const uint64_t uso = BIT(GUEST_USO4) | BIT(GUEST_USO6);
	unsigned f = TUN_F_CSUM;

	if (!(features & BIT(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	f |= features & BIT(VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0;
	f |= features & BIT(VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0;
	if (f & (TUN_F_TSO4 | TUN_F_TSO6))
		f |= features & BIT(VIRTIO_NET_F_GUEST_ECN) ? TUN_F_TSO_ECN : 0;
	/* The kernel takes both or none. */
	f |= (features & uso) == uso ? TAP_OFFLOAD_USO : 0;
	return f;
}

static void work_start(struct virtio_net *n)
{
	tap_set_offload(n->pair[0].tap, offloads(n->vdev.guest_features & n->wanted_offloads));
	if (pairs_start(n, n->wanted_pairs))
		virtio_broken(&n->vdev, "it cannot start");
	n->running = true;
}

/* Commands set one of these. */

static int set_pairs(void *arg, unsigned want)
{
	struct virtio_net *n = arg;
	int ret;

	if (want > n->max_pairs)
		return -EINVAL;
	for (unsigned i = 0; i < 2 * want; i++)
		if (!n->vdev.queues[i].enabled)
			return -EINVAL;
	pairs_stop(n, want);
	ret = pairs_start(n, want);
	if (!ret)
		n->wanted_pairs = want;
	return ret;
}

static void config_mac(struct virtio_net *n, const uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++)
		__atomic_store_n(&n->config.mac[i], mac[i], __ATOMIC_RELAXED);
	n->vdev.generation++;
}

static int set_mac(void *arg, const uint8_t mac[6])
{
	config_mac(arg, mac);
	return 0;
}

static int set_offloads(void *arg, uint64_t features)
{
	struct virtio_net *n = arg;
	int ret = tap_set_offload(n->pair[0].tap, offloads(features));

	if (!ret)
		n->wanted_offloads = features;
	return ret;
}

static const struct net_command_ops command_ops = {
	.set_pairs = set_pairs,
	.set_mac = set_mac,
	.set_offloads = set_offloads,
};

/* §5.1.2: behind the pairs, of which there is one if the driver does not take more. */
static unsigned control_queue(const struct virtio_device *v)
{
	const struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	return 2 * (virtio_has(v, VIRTIO_NET_F_MQ) ? n->max_pairs : 1);
}

/* However many the guest puts there: only this thread works for them, and it sees a stop. */
static void work_commands(struct virtio_net *n)
{
	struct virtio_queue *q = &n->vdev.queues[control_queue(&n->vdev)];
	int ret = 0;

	do {
		while (!(n->asked & ASK_STOP) && (ret = virtq_pop(&q->vq, &n->chain)) > 0) {
			virtq_push(&q->vq, n->chain.head,
				   net_command(&n->chain, n->vdev.guest_features, &command_ops, n));
			if (virtq_flush(&q->vq))
				virtio_notify_queue(q);
		}
	} while (ret == 0 && !(n->asked & ASK_STOP) && virtq_enable_kicks(&q->vq));
	if (ret < 0)
		virtio_broken(&n->vdev, "an entry of the control queue is not valid");
}

static void work_stop(struct virtio_net *n)
{
	pairs_stop(n, 0);
	n->running = false;
}

static void net_work(void *arg)
{
	struct virtio_net *n = arg;
	unsigned asked = atomic_exchange(&n->asked, 0);

	if (asked & ASK_STOP) {
		work_stop(n);
		virtio_left(&n->vdev); /* may ask for a start */
		return;
	}
	if (asked & ASK_START)
		work_start(n);
	if ((asked & ASK_COMMANDS) && n->running)
		work_commands(n);
}

/* ---- the device ---- */

/* Without a thread to be had, the caller waits for it. */
static int net_start(struct virtio_device *v)
{
	struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	if (!v->queues[0].enabled || !v->queues[1].enabled)
		return -EINVAL;
	atomic_fetch_or(&n->asked, ASK_START);
	if (!worker_wake(&n->worker))
		net_work(n);
	return 0;
}

static void net_command_kick(struct virtio_device *v, struct virtio_queue *q)
{
	struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	(void)q;
	atomic_fetch_or(&n->asked, ASK_COMMANDS);
	if (!worker_wake(&n->worker))
		net_work(n);
}

static unsigned net_stop(struct virtio_device *v)
{
	struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	/* What else it was asked for is of no use any more. */
	atomic_store(&n->asked, ASK_STOP);
	if (worker_wake(&n->worker))
		return 1;
	atomic_store(&n->asked, 0);
	work_stop(n);
	return 0;
}

static void net_reset(struct virtio_device *v)
{
	struct virtio_net *n = container_of(v, struct virtio_net, vdev);

	n->wanted_pairs = 1;
	n->wanted_offloads = net_offload_features;
	if (memcmp(n->config.mac, n->mac, sizeof(n->mac)) != 0)
		config_mac(n, n->mac);
}

static bool net_direct(const struct virtio_device *v, unsigned queue)
{
	return virtio_has(v, VIRTIO_NET_F_CTRL_VQ) && queue == control_queue(v);
}

static const struct virtio_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.class_code = 0x020000, /* network, Ethernet */
	.start = net_start,
	.stop = net_stop,
	.reset = net_reset,
	.direct = net_direct,
	.command = net_command_kick,
};

void virtio_net_mac(uint8_t mac[6], const uint8_t asked[6], unsigned index)
{
	static const uint8_t local[3] = { 0x52, 0x54, 0x00 }, none[6];

	memcpy(mac, asked, 6);
	if (memcmp(asked, none, sizeof(none)) != 0)
		return;
	memcpy(mac, local, sizeof(local)); /* locally administered */
	if (getrandom(mac + 3, 3, GRND_NONBLOCK) != 3)
		memset(mac + 3, (int)index, 3);
}

/* Offloads are the tap device's; of ours vhost must know only how frames lie in buffers. */
static uint64_t net_features(const struct virtio_net *n, uint64_t vhost)
{
	uint64_t f = NET_FEATURES;

	f |= n->max_pairs > 1 ? BIT(VIRTIO_NET_F_MQ) : 0;
	f |= n->config.mtu ? BIT(VIRTIO_NET_F_MTU) : 0;
	f |= n->tap.uso ? USO_FEATURES : 0;
	return f & (vhost | ~BIT(VIRTIO_NET_F_MRG_RXBUF));
}

/* The first pair's. Without vhost-net there is a thread for a pair, and one has to do unless the
 * user asks for more. */
static void open_path(struct virtio_net *n, const struct net_config *cfg, uint64_t *vhost)
{
	n->no_vhost = cfg->no_vhost;
	if (!n->no_vhost)
		n->pair[0].vhost = vhost_net_open(vhost);
	n->no_vhost |= n->pair[0].vhost < 0;
	if (n->no_vhost && !cfg->queues)
		n->max_pairs = 1;
}

static void net_release(struct virtio_net *n)
{
	worker_end(&n->worker);
	tap_restore(&n->tap);
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		pair_close(&n->pair[i]);
	free(n);
}

static unsigned pairs_wanted(const struct net_config *cfg)
{
	if (cfg->queues)
		return cfg->queues;
	if (cfg->no_vhost || cfg->cpus == 0)
		return 1;
	return cfg->cpus < AUTO_PAIRS ? cfg->cpus : AUTO_PAIRS;
}

static int open_tap(struct virtio_net *n, const struct net_config *cfg, struct error *err)
{
	const struct tap_want want = {
		.ifname = cfg->ifname,
		.multi_queue = pairs_wanted(cfg) > 1,
		.mtu = cfg->mtu,
	};

	n->pair[0].tap = tap_open(&n->tap, &want, err);
	if (n->pair[0].tap < 0)
		return n->pair[0].tap;
	n->pair[0].attached = true;
	n->max_pairs = pairs_wanted(cfg);
	n->config.mtu = htole16((uint16_t)n->tap.mtu);
	if (n->max_pairs == 1 || n->tap.multi_queue)
		return 0;
	n->max_pairs = 1;
	if (cfg->queues)
		return error_set(err, -EINVAL,
				 "network: %s was made for one queue: make it with `ip tuntap add "
				 "dev %s mode tap multi_queue`, or leave queues= out",
				 n->tap.name, n->tap.name);
	log_info("%s: one pair of queues, because the tap device %s was made for one: `ip tuntap "
		 "add dev %s mode tap multi_queue` makes one for a pair a processor",
		 n->name, n->tap.name, n->tap.name);
	return 0;
}

struct virtio_net *virtio_net_open(const struct net_config *cfg, struct error *err)
{
	struct virtio_net *n = calloc(1, sizeof(*n));

	if (!n) {
		error_set(err, -ENOMEM, "network: out of memory");
		return NULL;
	}
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		n->pair[i].tap = n->pair[i].vhost = -1;
	snprintf(n->name, sizeof(n->name), "net%u", cfg->index);
	worker_init(&n->worker, n->name, net_work, n);
	virtio_net_mac(n->mac, cfg->mac, cfg->index);
	memcpy(n->config.mac, n->mac, sizeof(n->mac));
	n->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	if (open_tap(n, cfg, err) == 0)
		return n;
	net_release(n);
	return NULL;
}

int virtio_net_plug(struct virtio_net *n, struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
		    const struct net_config *cfg, struct error *err)
{
	uint16_t ring = (uint16_t)(cfg->ring ? cfg->ring : RING_DEFAULT);
	uint64_t vhost = ~0ull;
	struct virtio_queue *control;
	int ret;

	open_path(n, cfg, &vhost);
	n->config.max_virtqueue_pairs = htole16((uint16_t)n->max_pairs);
	ret = virtio_init(&n->vdev, n->name, &net_ops, net_features(n, vhost), 2 * n->max_pairs + 1,
			  ring, err);
	if (ret)
		return ret;
	n->initialized = true;
	control = &n->vdev.queues[2 * n->max_pairs];
	control->size = control->max_size = CONTROL_RING;
	n->vdev.config = &n->config;
	n->vdev.config_len = sizeof(n->config);
	if (n->no_vhost)
		ret = pair_open_path(n, 0, err);
	return ret ? ret : virtio_realize(&n->vdev, root, bus, devfn, err);
}

bool virtio_net_free(struct virtio_net *n)
{
	if (!n)
		return true;
	if (n->initialized && !virtio_destroy(&n->vdev))
		return false;
	net_release(n);
	return true;
}

/* ---- what a user asks for ---- */

struct net_opts {
	const char *kind, *ifname;
	uint8_t mac[6];		    /* zeroes: make one up */
	unsigned vhost;		    /* 0: where the host has it, 1: not */
	uint64_t queues, ring, mtu; /* 0: chosen by us */
};

#define IN(field) offsetof(struct net_opts, field)
static const struct key net_keys[] = {
	{ "KIND", KEY_STRING, IN(kind), 0, 0, { "tap" } },
	{ "ifname", KEY_STRING, IN(ifname), 0, IFNAMSIZ - 1, { 0 } },
	{ "mac", KEY_MAC, IN(mac), 0, 0, { 0 } },
	{ "vhost", KEY_CHOICE, IN(vhost), 0, 0, { "on", "off" } },
	{ "queues", KEY_NUMBER, IN(queues), 1, NET_MAX_PAIRS, { 0 } },
	{ "ring", KEY_NUMBER, IN(ring), RING_MIN, VIRTQ_MAX_SIZE, { 0 } },
	{ "mtu", KEY_NUMBER, IN(mtu), TAP_MTU_MIN, TAP_MTU_MAX, { 0 } },
	{ 0 },
};

static struct net_config net_config(const struct device *d, const struct device_env *env)
{
	const struct net_opts *o = d->opts;
	struct net_config c = {
		.ifname = o->ifname,
		.no_vhost = o->vhost,
		.queues = (unsigned)o->queues,
		.cpus = env->cpus,
		.ring = (unsigned)o->ring,
		.mtu = (unsigned)o->mtu,
		.index = d->index,
	};

	memcpy(c.mac, o->mac, sizeof(c.mac));
	return c;
}

/* Two cards with one address on a bridge would take each other's frames. */
static int mac_check(const struct net_opts *o, const struct device_list *l, struct error *err)
{
	static const uint8_t none[6];
	const struct device *other = NULL;

	while (memcmp(o->mac, none, 6) != 0 && (other = device_next(l, &virtio_net_class, other)))
		if (memcmp(((const struct net_opts *)other->opts)->mac, o->mac, 6) == 0)
			return error_set(err, -EINVAL,
					 "mac=%02x:%02x:%02x:%02x:%02x:%02x is given twice: each "
					 "card needs an address of its own",
					 o->mac[0], o->mac[1], o->mac[2], o->mac[3], o->mac[4],
					 o->mac[5]);
	return 0;
}

static int net_check(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct net_opts *o = d->opts;

	if (o->ring && !is_pow2(o->ring))
		return error_set(err, -EINVAL, "ring=%u: use a power of two from %u to %u",
				 (unsigned)o->ring, RING_MIN, VIRTQ_MAX_SIZE);
	return mac_check(o, l, err);
}

static int net_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct net_config c = net_config(d, env);

	d->state = virtio_net_open(&c, err);
	return d->state ? 0 : err->code;
}

static int net_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct net_config c = net_config(d, env);

	return virtio_net_plug(d->state, env->pci, env->bus, env->devfn, &c, err);
}

static void net_unplug(struct device *d)
{
	virtio_unplug(&((struct virtio_net *)d->state)->vdev);
}

static bool net_close(struct device *d)
{
	const struct virtio_net *n = d->state;

	if (virtio_net_free(d->state))
		return true;
	if (!d->hung)
		log_error("--net: the host's kernel does not let go of the frames of %s",
			  n->tap.name);
	return false;
}

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.option = "net",
	.arg = "tap[,...]",
	.help = "  --net tap[,ifname=I][,mac=M][,vhost=off][,queues=N][,ring=N][,mtu=N]  NIC\n",
	.keys = net_keys,
	.positional = true,
	.pci = true,
	.most = 8,
	.opts_size = sizeof(struct net_opts),
	.check = net_check,
	.open = net_open,
	.plug = net_plug,
	.unplug = net_unplug,
	.close = net_close,
};
