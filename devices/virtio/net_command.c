/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command is a class, a number, and data whose length follows from them; the answer is one byte.
 * The driver may cut both into any pieces. Everything is copied out once.
 *
 * Which frames the guest wants is noted by nobody: it gets all that the tap device has for it. The
 * device may do so (§5.1.6.5.1, "best-effort"); vhost has no filter either, and that of the tap
 * device (TUNSETTXFILTER) would stay in a device that outlives us. There is no VLAN filter
 * (VIRTIO_NET_F_CTRL_VLAN) for the same reason: without it the guest gets the frames of all VLANs.
 */
#include "devices/virtio/net_command.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>

#include "devices/virtio/virtq.h"
#include "vmm/core/addr.h"
#include "vmm/core/iov.h"

#define BIT(n)	    (1ull << (n))
#define GUEST_USO4  54 /* <linux/virtio_net.h> has them since Linux 6.2 */
#define GUEST_USO6  55
#define MAC_LEN	    6u
#define MACS_MAX    4096u /* of a table; the driver has at most a few */
#define COMMAND_HDR sizeof(struct virtio_net_ctrl_hdr)

static_assert(sizeof(struct virtio_net_ctrl_hdr) == 2, "VIRTIO 1.2 5.1.6.5");

const uint64_t net_offload_features = BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
				      BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |
				      BIT(GUEST_USO4) | BIT(GUEST_USO6);

struct command {
	const struct virtq_chain *chain;
	uint64_t features;
	const struct net_command_ops *ops;
	void *arg;
};

/* Copies all of the data, which must have this length. */
static int command_data(const struct command *c, void *data, size_t len)
{
	if (c->chain->out_len - COMMAND_HDR != len)
		return -EINVAL;
	return iov_read(c->chain->iov, c->chain->nr_out, COMMAND_HDR, data, len) == len ? 0
											: -EINVAL;
}

/* §5.1.6.5.1: the data is 0 or 1. */
static int command_rx_mode(const struct command *c)
{
	uint8_t on;

	return command_data(c, &on, sizeof(on)) || on > 1 ? -EINVAL : 0;
}

/* Skips one table of addresses at *off. */
static int mac_table(const struct command *c, size_t *off)
{
	size_t left = c->chain->out_len - *off;
	__le32 entries;
	uint32_t n;

	if (left < sizeof(entries))
		return -EINVAL;
	iov_read(c->chain->iov, c->chain->nr_out, *off, &entries, sizeof(entries));
	n = le32toh(entries);
	if (n > MACS_MAX || left - sizeof(entries) < n * MAC_LEN)
		return -EINVAL;
	*off += sizeof(entries) + n * MAC_LEN;
	return 0;
}

/* §5.1.6.5.2: unicast addresses, then those of groups. */
static int command_mac_table(const struct command *c)
{
	size_t off = COMMAND_HDR;

	if (mac_table(c, &off) || mac_table(c, &off))
		return -EINVAL;
	return off == c->chain->out_len ? 0 : -EINVAL;
}

static int command_mac_addr(const struct command *c)
{
	uint8_t mac[MAC_LEN];

	if (command_data(c, mac, sizeof(mac)) || (mac[0] & 1))
		return -EINVAL;
	return c->ops->set_mac(c->arg, mac);
}

/* §5.1.6.5.5 */
static int command_pairs(const struct command *c)
{
	__le16 pairs;

	if (command_data(c, &pairs, sizeof(pairs)) ||
	    le16toh(pairs) < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN)
		return -EINVAL;
	return c->ops->set_pairs(c->arg, le16toh(pairs));
}

/* §5.1.6.5.6 */
static int command_offloads(const struct command *c)
{
	__le64 offloads;

	if (command_data(c, &offloads, sizeof(offloads)) ||
	    (le64toh(offloads) & ~(net_offload_features & c->features)))
		return -EINVAL;
	return c->ops->set_offloads(c->arg, le64toh(offloads));
}

static const struct {
	uint8_t class, cmd;
	unsigned feature;
	int (*run)(const struct command *);
} commands[] = {
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, command_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, command_rx_mode },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX,
	  command_mac_table },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR,
	  command_mac_addr },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, command_pairs },
	{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
	  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, command_offloads },
};

static int command_run(const struct command *c)
{
	struct virtio_net_ctrl_hdr h;

	if (c->chain->out_len < COMMAND_HDR)
		return -EINVAL;
	iov_read(c->chain->iov, c->chain->nr_out, 0, &h, sizeof(h));
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].class == h.class && commands[i].cmd == h.cmd)
			return c->features & BIT(commands[i].feature) ? commands[i].run(c)
								      : -EOPNOTSUPP;
	return -EOPNOTSUPP;
}

uint32_t net_command(const struct virtq_chain *chain, uint64_t features,
		     const struct net_command_ops *ops, void *arg)
{
	const struct command c = { chain, features, ops, arg };
	uint8_t ack;

	/* Nothing is done of which nobody can be told whether it was. */
	if (chain->in_len < sizeof(ack))
		return 0;
	ack = command_run(&c) ? VIRTIO_NET_ERR : VIRTIO_NET_OK;
	return (uint32_t)iov_write(&chain->iov[chain->nr_out], chain->nr_in, 0, &ack, sizeof(ack));
}
